"""What Clauw et al. (2024) say of synergy: it peaks between memorisation and grokking, and only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import hypothesis

if TYPE_CHECKING:
    from grokscope import Results

SYNERGY = "oinfo.synergy"
FEWEST = 3  # checkpoints that can show a peak


@hypothesis(
    claim="Synergy peaks early: it is higher between memorisation and grokking than before and after.",
    columns=[SYNERGY],
    source="Clauw et al. 2024, sections 5 and 6",
)
def early_synergy_peak(results: Results) -> float | None:
    """Mean synergy from memorisation to just before grokking, less the larger of the means before and after,
    over the range of the course. Only runs that grok after memorising; noise holds in one of three runs."""
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None:
        return None
    before = results.values(SYNERGY, end=memorised - 1)
    between = results.values(SYNERGY, memorised, grokked - 1)
    after = results.values(SYNERGY, grokked)
    if not (len(before) and len(between) and len(after)):
        return None
    spread = max(before.max(), between.max(), after.max()) - min(before.min(), between.min(), after.min())
    return float((between.mean() - max(before.mean(), after.mean())) / spread) if spread > 0 else 0.0


@hypothesis(
    claim="Synergy has an early peak in networks that grok, and not in those that do not.",
    columns=[SYNERGY],
    about="grokking",
    source="Clauw et al. 2024, section 6",
)
def synergy_peak_tells(results: Results) -> float | None:
    """How far synergy falls again: its largest value in the first half of the steps, less the mean over the
    last tenth, over that largest value; 0 where no multiplet is synergistic in the first half. This looks at
    the whole course, whose shape is the claim; what its height foretells is in `predict`'s table."""
    last = results.steps[-1]
    early, late = results.values(SYNERGY, end=last / 2), results.values(SYNERGY, 0.9 * last)
    if len(results.steps) < FEWEST or not (len(early) and len(late)):
        return None
    return float(1 - late.mean() / early.max()) if early.max() > 0 else 0.0
