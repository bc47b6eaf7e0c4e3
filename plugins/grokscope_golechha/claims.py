"""What Golechha (2024) says of weight entropy, activation sparsity and the norm as a network groks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import hypothesis

if TYPE_CHECKING:
    from grokscope import Results

ENTROPY, SPARSITY, NORM = "weight_entropy.total", "activation_sparsity.mean", "weight_norm.l2_all"
PLATEAU = 0.25  # of the range so far; a course that goes on evenly in log steps covers a third
LAST_PART = 1 / 3  # of the log steps from memorisation to grokking
FEWEST = 3


@hypothesis(
    claim="Weight entropy falls as the network generalises.",
    columns=[ENTROPY],
    source="Golechha 2024",
)
def weight_entropy_falls(results: Results) -> float | None:
    """Mean from memorisation to just before grokking, less the mean after, over the sum of their sizes.
    Only runs that grok after memorising."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None:
        return None
    before, after = results.values(ENTROPY, memorised, grokked - 1), results.values(ENTROPY, grokked)
    if not (len(before) and len(after)):
        return None
    size = abs(before.mean()) + abs(after.mean())
    return float((before.mean() - after.mean()) / size) if size > 0 else 0.0


@hypothesis(
    claim="Activation sparsity reaches a plateau before the network groks.",
    columns=[SPARSITY],
    source="Golechha 2024",
)
def sparsity_plateaus_before(results: Results) -> float | None:
    """A quarter, less the share of the range up to grokking that the course still covers in the last third
    of the log steps between memorisation and grokking. Only runs that grok after memorising; noise goes on
    covering its whole range."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None or grokked <= memorised:
        return None
    start = math.exp(math.log(1 + grokked) - LAST_PART * math.log((1 + grokked) / (1 + memorised))) - 1
    course, last = results.values(SPARSITY, end=grokked), results.values(SPARSITY, start, grokked)
    if len(last) < FEWEST or len(course) <= len(last):
        return None
    covered = float(course.max() - course.min())
    return PLATEAU - float(last.max() - last.min()) / covered if covered > 0 else None


@hypothesis(
    claim="Trained against a small norm, networks still generalise: norm and test accuracy grow together.",
    columns=[NORM],
    source="Golechha 2024",
)
def generalises_with_growing_norm(results: Results) -> float | None:
    """The smaller of the relative growth of the norm and the growth of test accuracy, from memorisation to
    the last checkpoint. Only runs trained with the anti-norm term."""
    memorised = results.memorisation_step
    if memorised is None or not results.config.get("training", {}).get("anti_norm"):
        return None
    norm, accuracy = results.values(NORM, memorised), results.values("test_accuracy", memorised)
    if len(norm) < 2 or len(accuracy) < 2 or norm[0] <= 0:
        return None
    return float(min(norm[-1] / norm[0] - 1, accuracy[-1] - accuracy[0]))
