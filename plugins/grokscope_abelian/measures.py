"""The measure `abelian`: which pairs count in which row, and what is compared on them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from grokscope import Column, NotApplicable, measure

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

EMPTY = "when there is no such pair"


@measure(
    columns=[
        Column(
            "agreement",
            "share of pairs on which argmax f(a, b) = argmax f(b, a)",
            direction="up",
            min=0,
            max=1,
            missing=EMPTY,
        ),
        Column(
            "logit_distance",
            "mean over pairs of ||f(a, b) - f(b, a)||^2, summed over logits",
            min=0,
            missing=EMPTY,
        ),
    ],
    per=["pairs"],
    source="Tan & Huang 2023, section 5",
    knows=["labels", "test", "task"],
)
def abelian(probe: Probe) -> Iterator[dict[str, Any]]:
    """Whether the network answers (a, b) as it answers (b, a): on training, test and half-trained pairs.

    `agreement` is the share of pairs whose largest logit is at the same class for (a, b) and (b, a), right or
    wrong; `logit_distance` is the mean of ||f(a, b) - f(b, a)||^2, the squared distance of the two logit
    vectors, not divided by the number of classes. One row for each set of ordered pairs (a, b), a != b:

    - `train`: (a, b) is a training pair, wherever (b, a) is;
    - `test`: (a, b) is a test pair, wherever (b, a) is;
    - `train_only_test`: (a, b) is a training pair and (b, a) is a test pair.

    The last are the informative ones: where both are trained, agreement follows from fitting the training
    split.

    Shapes and units:
        Logits (N, K) of all N pairs. Agreement is a share, the distance is in squared logits.

    How it is computed:
        Where a set holds both orders of a pair, both count; a pair whose mirror image is no example of the
        task is left out; a set without pairs gives NaN. Only for tasks that declare a symmetric operation on
        two tokens, and for data of one's own that is one by its labels. The operands are found where tokens
        differ from example to example, also inside a longer sequence (`a + b =`).

    Cost:
        One forward pass over all pairs, shared with other measures.

    Traps:
        A network that answers everything alike always agrees with itself, and an untrained transformer
        attends almost evenly, hence starts near agreement 1: read the curve from memorisation on. Under
        cross-entropy a constant added to all logits of a pair changes no answer, and yet logit_distance.

    Source:
        Tan & Huang 2023 (arXiv 2311.06597), section 5.
    """
    from grokscope import objective
    from grokscope_abelian.functional import mirror, mirrored_distance

    tokens = _symmetric_pairs(probe)
    image = probe.of_task(("abelian", "mirror"), lambda: mirror(tokens))
    logits = probe.logits("all")
    probe.require_finite("abelian: logits", "logits", "all")
    predicted = objective.predictions(logits)
    agrees = (predicted == predicted[image]).double()
    distance = mirrored_distance(logits, image)
    for name, chosen in _sets(probe, tokens, image).items():
        yield {"pairs": name, "agreement": _mean(agrees[chosen]), "logit_distance": _mean(distance[chosen])}


def _symmetric_pairs(probe: Probe) -> torch.Tensor:
    """Return the pairs of a symmetric operation. Raises NotApplicable where they are none."""
    from grokscope_abelian.functional import mirror

    task = probe.task
    if task.kind != "own" and not task.symmetric:
        raise NotApplicable(f"task {task.name} does not declare its operation symmetric")
    pairs = probe.require_pairs()
    if task.kind != "own":
        return pairs
    labels, image = probe.labels("all"), mirror(pairs)
    mirrored = (image >= 0) & (pairs[:, 0] != pairs[:, 1])
    if not mirrored.any():
        raise NotApplicable("no pair (a, b) of the examples is there as (b, a) too")
    unequal = (mirrored & (labels != labels[image])).nonzero()[:, 0]
    if len(unequal):
        a, b = pairs[unequal[0]].tolist()
        raise NotApplicable(f"the operation is not symmetric: ({a}, {b}) and ({b}, {a}) have other labels")
    return pairs


def _sets(probe: Probe, tokens: torch.Tensor, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the pairs that count in each row, (N,) bool by name."""
    import torch

    first, second = tokens.unbind(dim=1)
    counts = (image >= 0) & (first != second)
    train, test = torch.zeros_like(counts), torch.zeros_like(counts)
    train[probe.task.train] = True
    test[probe.task.test] = True
    return {"train": counts & train, "test": counts & test, "train_only_test": counts & train & test[image]}


def _mean(values: torch.Tensor) -> float:
    return values.mean().item() if len(values) else math.nan
