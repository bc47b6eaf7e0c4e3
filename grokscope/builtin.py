"""What grokscope itself brings, through the same door as anyone: the measure `fit`, its tasks and models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope.declare import Factory
from grokscope.hookspecs import hookimpl
from grokscope.measure import Column, Measure, measure
from grokscope.models import MODELS
from grokscope.tasks import TASKS

if TYPE_CHECKING:
    from grokscope.probe import Probe


_MISSING = "when a logit is not finite"


@measure(
    columns=[
        Column("train_loss", "mean loss on the training split", min=0, missing=_MISSING, knows=["labels"]),
        Column("test_loss", "mean loss on the test split", direction="down", min=0, missing=_MISSING),
        Column(
            "train_accuracy",
            "share of the training split that is right",
            min=0,
            max=1,
            missing=_MISSING,
            knows=["labels"],
        ),
        Column(
            "test_accuracy", "share of the test split that is right", "", "up", min=0, max=1, missing=_MISSING
        ),
    ],
    source="Power et al. 2022, arXiv 2201.02177, figure 1",
    knows=["labels", "test"],
)
def fit(probe: Probe) -> dict[str, float]:
    """Loss and accuracy on the training and the test split, recomputed from the checkpoint.

    The loss is the one that the run was trained with: the mean cross-entropy, or the squared error on one-hot
    labels, mean over examples and outputs. Accuracy is the share of examples whose largest logit is at their
    label; a single logit z stands for the two classes (0, z).

    Shapes and units:
        Logits (n, K) of each split. Cross-entropy is in nats, the squared error in squared logits, accuracies
        are shares.

    How it is computed:
        Forward passes in float32, sums in float64.

    Cost:
        One pass over each split, shared with every other measure.

    Traps:
        Where a logit is NaN or infinite there is no largest one to trust: loss and accuracy are NaN.

    Source:
        Power et al. 2022, "Grokking: generalization beyond overfitting on small algorithmic datasets", arXiv
        2201.02177, figure 1, which shows both accuracies over the steps.
    """
    values = {}
    for split in ("train", "test"):
        finite = probe.all_finite("logits", split)
        values[f"{split}_loss"] = probe.loss(split) if finite else math.nan
        values[f"{split}_accuracy"] = probe.accuracy(split)
    return values


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the measure `fit`."""
    return [fit]


@hookimpl
def grokscope_tasks() -> Sequence[Factory]:
    """Return the built-in tasks."""
    return list(TASKS.values())


@hookimpl
def grokscope_models() -> Sequence[Factory]:
    """Return the built-in networks."""
    return list(MODELS.values())
