"""Which examples a measure is asked about, and what must be true of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from grokscope import NotApplicable, Param

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

PAPER_LOSSES = ("cross_entropy", "mse")

Split = Annotated[Literal["train", "test", "all"], Param("examples to measure on")]


def finite_logits(probe: Probe, split: str, sigma: float = 0.0) -> torch.Tensor:
    """Return the logits. Raises NotApplicable for an empty split, MeasureError where they are not finite."""
    require_examples(probe, split)
    probe.require_finite(f"the logits of the {split} split", "logits", split, sigma)
    return probe.logits(split, sigma)


def require_examples(probe: Probe, split: str) -> None:
    """Raise NotApplicable for an empty split."""
    if not len(probe.labels(split)):
        raise NotApplicable(f"the {split} split is empty")


def require_paper_loss(probe: Probe) -> None:
    """Raise NotApplicable for a loss that Tan & Huang 2023 say nothing of."""
    if probe.loss_name not in PAPER_LOSSES:
        raise NotApplicable(f"it is defined for cross-entropy and MSE; this run's loss is {probe.loss_name}")
