"""What Tan & Huang (2023, appendix B.2.2) say of MID and ED before the training split is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import hypothesis

if TYPE_CHECKING:
    from grokscope import Results

SHARPLY = 2  # a fall, or smallness, by this factor at least
SOURCE = "Tan & Huang 2023, appendix B.2.2"


def _small_or_falling(results: Results, column: str) -> float | None:
    """How far the mean over the second half of the checkpoints up to memorisation lies below half the mean
    over the first half (it falls sharply), or the mean up to memorisation below half the mean after it (it is
    small), whichever is farther; over the largest of these means."""
    memorised = results.memorisation_step
    if memorised is None:
        return None
    before, after = results.values(column, end=memorised), results.values(column, memorised + 1)
    half = len(before) // 2
    if not half or not len(after):
        return None
    first, second, early, late = (
        float(part.mean()) for part in (before[:half], before[-half:], before, after)
    )
    scale = max(first, second, early, late)
    return max(first - SHARPLY * second, late - SHARPLY * early) / scale if scale > 0 else 0.0


@hypothesis(
    claim="MID is small, or falls sharply, before train accuracy is 100 %.",
    columns=["mid.mid"],
    source=SOURCE,
)
def mid_small_or_falling_early(results: Results) -> float | None:
    """MID up to memorisation: its second half below half of its first, or all of it below half of what comes
    later; the larger of the two differences over the largest mean."""
    return _small_or_falling(results, "mid.mid")


@hypothesis(
    claim="ED is small, or falls sharply, before train accuracy is 100 %.",
    columns=["ed.ed"],
    source=SOURCE,
)
def ed_small_or_falling_early(results: Results) -> float | None:
    """As for MID."""
    return _small_or_falling(results, "ed.ed")
