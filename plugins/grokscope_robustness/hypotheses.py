"""What Tan & Huang (2023) say of sensitivity to noise and of the weight norm as a network groks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import hypothesis

if TYPE_CHECKING:
    from grokscope import Results

CD, NORM = "cd.cd", "weight_norm.l2_all"


@hypothesis(
    claim="The confidence difference CD falls between memorisation and grokking.",
    columns=[CD],
    source="Tan & Huang 2023",
)
def cd_falls(results: Results) -> float | None:
    """Mean of CD over the first half of the checkpoints from memorisation to grokking, less that over the
    second half, over their sum. Only runs that grok after memorising."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None:
        return None
    course = results.values(CD, memorised, grokked)
    half = len(course) // 2
    if not half:
        return None
    first, second = course[:half].mean(), course[-half:].mean()
    return float((first - second) / (first + second)) if first + second > 0 else 0.0


@hypothesis(
    claim="The norm need not fall: networks grok without their weight norm falling.",
    columns=[NORM],
    source="Tan & Huang 2023; Golechha 2024",
)
def norm_not_needed(results: Results) -> float | None:
    """log10 of the norm at grokking over that at memorisation, the first checkpoints from each on; positive
    where the norm did not fall. Only runs that grok after memorising."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None or grokked <= memorised:
        return None
    start, end = results.values(NORM, memorised, grokked - 1)[:1], results.values(NORM, grokked)[:1]
    if not (len(start) and len(end)) or min(start[0], end[0]) <= 0:
        return None
    return math.log10(end[0] / start[0])
