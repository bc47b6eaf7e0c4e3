"""How far from being answered otherwise the training examples are, and in which unit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import Column, measure
from grokscope_robustness.splits import Split, finite_logits

if TYPE_CHECKING:
    from grokscope import Probe

PROVEN_ON = 16  # examples
NOT_HOMOGENEOUS = "when the network is not homogeneous in its weights: `note` says so"
OR_ZERO = "when the network is not homogeneous in its weights, or all are zero: `note` says so"


@measure(
    columns=[
        Column("minimum", "smallest margin", "logits", "up"),
        Column("p10", "10th percentile of the margins", "logits", "up"),
        Column("median", "median of the margins", "logits", "up"),
        Column("normalised", "minimum / ||theta||^degree", direction="up", missing=OR_ZERO),
        Column(
            "degree",
            "the degree in which the logits grow with the weights",
            missing=NOT_HOMOGENEOUS,
            knows=[],
        ),
        Column("note", "why there is no normalised margin, or nothing", text=True),
    ],
    source="Lyu & Li 2020, arXiv 1906.05890; Lyu et al. 2023, arXiv 2311.18817",
    knows=["labels"],
)
def margin(probe: Probe, *, split: Split = "train") -> dict[str, float | str]:
    """How far the right logit is ahead of the others, and that in units of the weights' norm.

    The margin of an example is f_y - max_{c != y} f_c: positive where it is answered rightly. `normalised` =
    min_i margin_i / ||theta||_2^L over all parameters theta, for networks with f(c theta) = c^L f(theta):
    what gradient flow raises once everything is fitted, though loss and accuracy stand still.

    Shapes and units:
        f (n, K) logits of the split; a single logit z stands for the classes (0, z). Logits; `normalised` is
        unchanged when all weights are scaled.

    How it is computed:
        Percentiles by linear interpolation, float64. That the network is homogeneous, and its degree L, is
        seen in its logits when all of some drawn weights are doubled: bias-free chains of ReLU, of any depth,
        and with a bias in the first layer only. With biases in further layers, softmax attention or tanh a
        network is not, and `normalised` is NaN.

    Cost:
        One forward pass, shared with other measures, and two on 16 examples.

    Traps:
        `minimum` is one example. Under cross-entropy margins grow for as long as one trains; under MSE they
        end at 1. Margins of networks that are not homogeneous have no scale of their own: compare steps, not
        runs.

    Source:
        Lyu & Li 2020, "Gradient descent maximizes the margin of homogeneous neural networks", section 3; of
        grokking: Lyu et al. 2023, "Dichotomy of early and late phase implicit biases can provably induce
        grokking".

    Raises:
        MeasureError: logits that are not finite.
        NotApplicable: labels are no classes, or the split is empty.
    """
    from grokscope_robustness import functional

    probe.require_classes()
    margins = functional.margins(finite_logits(probe, split), probe.labels(split))
    lowest = margins.min().item()
    degree = probe.shared(("robustness", "degree"), lambda: _degree(probe))
    found: dict[str, float | str] = {
        "minimum": lowest,
        "p10": margins.quantile(0.1).item(),
        "median": margins.quantile(0.5).item(),
        "normalised": math.nan,
        "degree": math.nan if degree is None else degree,
        "note": "",
    }
    norm = functional.l2_norm(probe.weights.values())
    if degree is None:
        found["note"] = "its logits do not grow by a power when all weights are doubled: not homogeneous"
    elif norm == 0:
        found["note"] = "all weights are zero: there is no norm to divide by"
    else:
        found["normalised"] = lowest / norm**degree
    return found


def _degree(probe: Probe) -> int | None:
    """Return L where f(2 theta) = 2^L f(theta) at drawn weights theta, None where it is not so.

    Drawn, because a bias that is zero at the start would make a network homogeneous at that step alone.
    """
    import torch

    from grokscope_robustness import functional

    draw = torch.Generator().manual_seed(0)
    drawn = {}
    for name, weight in probe.weights.items():
        fan = weight[0].numel() if weight.ndim > 1 else 1
        drawn[name] = (torch.randn(weight.shape, generator=draw) / fan**0.5).to(weight)
    inputs = probe.inputs("all")[:PROVEN_ON]
    with torch.no_grad():
        once, twice = (
            probe.logits_at({name: scale * weight for name, weight in drawn.items()}, inputs)
            for scale in (1, 2)
        )
    return functional.homogeneity(once, twice)
