"""The progress family's measure of how many hidden units a network can do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, NotApplicable, Param, measure
from grokscope_progress.measures import CHUNK

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

RATES = tuple(tenths / 10 for tenths in range(1, 10))


@measure(
    columns=[
        Column("area", "mean accuracy over r = 0.1 ... 0.9", direction="up", min=0, max=1),
        Column("stderr", "standard error of `area` over masks", min=0, missing="when repeats is 1"),
        Column(
            "half",
            "share of dropped units at which accuracy is half of the whole network's",
            direction="up",
            min=0,
            max=0.9,
            missing="when it is never that low, or the whole network has none",
        ),
    ],
    per=["split"],
    arrays={"drop_curve": "mean accuracy at r = 0, 0.1, ... 0.9, (10,)"},
    expensive=True,
    source="Salah & Yevick 2025, arXiv 2507.11645",
    knows=["labels", "test"],
)
def dropout_robustness(
    probe: Probe,
    rng: torch.Generator,
    *,
    repeats: Annotated[int, Param("random masks averaged over", min=1)] = 5,
) -> Iterator[dict[str, Any]]:
    """How well the network does without a share of its hidden units: accuracy as they are dropped.

    With a share r = 0.1, 0.2 ... 0.9 of every hidden layer's units at zero, and the others times d / (units
    left), accuracy a(r) is the mean over random masks. `area` is the integral of a from 0.1 to 0.9 by
    trapezoids, over 0.8; `half` the first r with a(r) = a(0) / 2, between the rates on a straight line.

    Shapes and units:
        Hidden layers of d units each; round(r d) units of each are dropped, one at least stays. One row per
        split, shares of examples.

    How it is computed:
        At inference, the same units for all examples. The masks of one repeat are nested, what is dropped at
        r is dropped at every larger r, and are the same at every checkpoint. `stderr` speaks of the choice of
        masks only. An LSTM's units are dropped from what the next layer and the head read, and not
        from their own state.

    Cost:
        9 x repeats forward passes over both splits: 1.2 s for `clauw`, hence `expensive`.

    Traps:
        Rescaling keeps the mean of what is summed, and not the place of a bias. Of a recurrent module of
        one's own the outputs are dropped, and not the final state that it returns beside them. Where one
        layer has several rows per example, `--positions` of the import says what a unit is.

    Source:
        Salah & Yevick 2025, "Tracing the path to grokking: embeddings, dropout, and network activation",
        whose dropout robustness curve this is; they draw a mask per example.

    Raises:
        MeasureError: logits that are not finite.
        NotApplicable: labels are no classes, there is no hidden layer or no example, or hidden units cannot
            be scaled.
    """
    import torch

    from grokscope_progress import functional

    probe.require_classes()
    sizes = {name: probe.trace("train")[name].shape[1] for name in probe.require_hidden()}
    splits = [split for split in ("train", "test") if len(probe.labels(split))]
    if not splits:
        raise NotApplicable("there is no example")
    orders = [
        {name: torch.randperm(units, generator=rng) for name, units in sizes.items()} for _ in range(repeats)
    ]
    for split in splits:
        probe.require_finite("dropout_robustness: the logits", "logits", split)
        whole = probe.accuracy(split)
        accuracies = torch.tensor(
            [
                [
                    _accuracy(
                        probe, split, {name: functional.kept(order, rate) for name, order in each.items()}
                    )
                    for rate in RATES
                ]
                for each in orders
            ],
            dtype=torch.float64,
        )
        areas = torch.trapezoid(accuracies, dx=1 / (len(RATES) - 1), dim=1)
        mean, stderr = functional.mean_and_error(areas.tolist())
        curve = torch.cat([torch.tensor([whole], dtype=torch.float64), accuracies.mean(dim=0)])
        yield {
            "split": split,
            "area": mean,
            "stderr": stderr,
            "half": functional.first_below_half(curve, 0.1),
            "drop_curve": curve,
        }


def _accuracy(probe: Probe, split: str, factors: Mapping[str, torch.Tensor]) -> float:
    """Return the accuracy with each hidden unit times its factor."""
    import torch

    inputs, counted = probe.inputs(split), probe.counted(split)
    moved = {name: factor.to(probe.logits(split)) for name, factor in factors.items()}
    with torch.no_grad():
        logits = torch.cat([probe.model.logits_with(moved, chunk) for chunk in inputs.split(CHUNK)])
    return probe.accuracy_of(logits if counted is None else logits[counted], split)
