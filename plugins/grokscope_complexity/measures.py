"""The complexity family's measure: thin adapter from a checkpoint to the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe
    from grokscope_complexity.functional import Exact

CHUNK = 2048  # examples per forward pass
SOME = 512  # examples of which it is first seen how coarse weights may be
OCTAVE = 8  # steps tried in a factor of two
FINEST, COARSEST = -24 * OCTAVE, 4 * OCTAVE  # of the relative step: as float32 has it, and everything zero

Parts = Mapping[str, tuple["torch.Tensor", ...]]
Allowed = Callable[[float], float]  # of a loss, the largest that it may become


@measure(
    columns=[
        Column(
            "packed_bytes", "bytes of all weights, rounded and compressed by bzip2", direction="down", min=0
        ),
        Column("ratio", "the same over the bytes of the weights as float32", direction="down", min=0),
        Column(
            "rounding",
            "the coarsest rounding step, in root mean squares of each tensor",
            direction="up",
            min=0,
            missing="when not even the finest step keeps the loss",
        ),
    ],
    source="DeMoss et al. 2024, arXiv 2412.09810",
    knows=["labels"],
)
def compression(
    probe: Probe,
    *,
    tolerance: Annotated[float, Param("relative rise of the training loss that is allowed", min=0)] = 0.01,
    rank: Annotated[bool, Param("truncate singular values first")] = False,
    rise: Annotated[
        float | None,
        Param("rise of the training loss that is allowed instead, in its own units", above=0, later=True),
    ] = None,
) -> dict[str, float]:
    """How short a description of the weights is enough for the training loss: an upper bound of complexity.

    Every tensor is rounded to steps of s times the root mean square of its entries, with the coarsest s at
    which the training loss is at most 1 + `tolerance` times its own; `packed_bytes` is the length of the
    whole numbers after bzip2 at level 9.

    Shapes and units:
        All parameters, biases too, tensor by tensor in their order; each in the narrowest of 1, 2, 4 or 8
        bytes a number. Bytes; the steps themselves are not counted.

    How it is computed:
        s = 2^(k/8), from 2^-24 to 16: at s the loss is kept and at the next coarser it is not; k is looked
        for near that of the first 512 examples. Where the loss does not rise evenly with s, a coarser one
        further up may be as good. With `rank`, singular values below a share of the largest, one share for
        all matrices, found likewise with half of the tolerance, are left out first, and a matrix is its two
        factors where they are smaller. Where even the finest step loses too much, `packed_bytes` are of the
        weights as they are.

    Cost:
        Three or four forward passes over the training split and one bzip2: 25 ms for `clauw`, 0.2 s with
        `rank`.

    Traps:
        The tolerance is relative: the nearer the loss is to 0, the finer its weights must be kept, so that
        `packed_bytes` grows while a network only grows surer. DeMoss et al. allow a rise of the mean loss by
        1 nat, which is `rise=1`, and search a step and a rank for every tensor by Bayesian optimisation; one
        step for all is an upper bound of what that finds.

    Source:
        DeMoss et al. 2024, "The complexity dynamics of grokking", sections 3 and 4: complexity rises with
        memorisation and falls as networks generalise.

    Raises:
        MeasureError: weights or a training loss that are not finite.
        NotApplicable: the network has no parameters.
    """
    from grokscope_complexity import functional

    weights = probe.weights
    if not weights:
        raise NotApplicable("the network has no parameters")
    for name, weight in weights.items():
        numbers.require_finite(f"compression: {name}", weight)
    numbers.require_finite("compression: the training loss", probe.loss("train"))
    parts: Parts = {name: (weight,) for name, weight in weights.items()}
    if rank:
        parts = _truncated(probe, _allowed(tolerance / 2, rise and rise / 2))

    exact = {name: tuple(map(functional.exact, some)) for name, some in parts.items()}
    found = _coarsest(probe, lambda exponent: _rounded(exact, exponent), _allowed(tolerance, rise), COARSEST)
    if found is None:
        size = functional.bzipped(b"".join(w.detach().cpu().numpy().tobytes() for w in weights.values()))
    else:
        step = 2 ** (found / OCTAVE)
        whole = (each.rounded(step)[0] for some in exact.values() for each in some)
        size = functional.bzipped(functional.packed(whole))
    return {
        "packed_bytes": size,
        "ratio": size / (4 * sum(weight.numel() for weight in weights.values())),
        "rounding": math.nan if found is None else 2 ** (found / OCTAVE),
    }


def _allowed(tolerance: float, rise: float | None) -> Allowed:
    return lambda loss: loss * (1 + tolerance) if rise is None else loss + rise


def _rounded(parts: Mapping[str, tuple[Exact, ...]], exponent: int) -> dict[str, tuple[torch.Tensor, ...]]:
    def back(part: Exact) -> torch.Tensor:
        whole, step = part.rounded(2 ** (exponent / OCTAVE))
        return whole.mul_(step)

    return {name: tuple(map(back, some)) for name, some in parts.items()}


def _truncated(probe: Probe, allowed: Allowed) -> Parts:
    """Return each matrix as factors of the lowest ranks, by one share, at which the loss is kept."""
    from grokscope_complexity import functional

    def at(exponent: int) -> Parts:
        share = 2 ** (exponent / OCTAVE)
        return {
            name: functional.factors(weight, share) if weight.ndim > 1 and weight.any() else (weight,)
            for name, weight in probe.weights.items()
        }

    found = _coarsest(probe, at, allowed, 0)
    return {name: (weight,) for name, weight in probe.weights.items()} if found is None else at(found)


def _coarsest(probe: Probe, at: Callable[[int], Parts], allowed: Allowed, high: int) -> int | None:
    """Return the coarsest exponent at which the loss is kept; it is looked for near that of some examples."""
    from grokscope_complexity import functional

    losses = _Losses(probe, allowed)
    some = len(losses.inputs) > SOME
    start = (
        functional.coarsest(lambda exponent: losses.keeps(at(exponent), SOME), FINEST, high) if some else None
    )
    return functional.coarsest(lambda exponent: losses.keeps(at(exponent)), FINEST, high, start)


class _Losses:
    """The training loss with other weights, and whether that is allowed."""

    def __init__(self, probe: Probe, allowed: Allowed) -> None:
        self._probe, self._allowed, self.inputs = probe, allowed, probe.inputs("train")
        self._most: dict[int, float] = {}
        self._counted, self._labels = probe.counted("train"), probe.labels("train")
        self._simple = len(self._labels) == len(self.inputs) and self._counted is None

    def keeps(self, parts: Parts, examples: int | None = None) -> bool:
        """Return whether the loss, of all or the first examples, is at most what is allowed."""
        from grokscope_complexity import functional

        if examples is None or not self._simple:
            examples = len(self.inputs)
        if examples not in self._most:
            self._most[examples] = self._allowed(self._own(examples))
        weights = {name: functional.product(some, self._probe.weights[name]) for name, some in parts.items()}
        return self._loss(weights, examples) <= self._most[examples]

    def _own(self, examples: int) -> float:
        """Return the loss of the first examples, or of all, with the weights as they are."""
        if examples == len(self.inputs):
            return self._probe.loss("train")
        first = self._probe.logits("train")[:examples].double()
        return self._probe.loss_of(first, self._labels[:examples]).item()

    def _loss(self, weights: Mapping[str, torch.Tensor], examples: int) -> float:
        import torch

        def logits(inputs: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return self._probe.logits_at(weights, inputs, quick=True)

        parts = self.inputs[:examples].split(CHUNK)
        if self._simple:
            pairs = zip(parts, self._labels[:examples].split(CHUNK), strict=True)
            return self._probe.loss_over((logits(inputs).double(), own) for inputs, own in pairs)
        whole = torch.cat([logits(part) for part in parts])
        counted = whole if self._counted is None else whole[self._counted]
        return self._probe.loss_of(counted.double(), self._labels).item()
