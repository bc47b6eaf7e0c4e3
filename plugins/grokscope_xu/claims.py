"""What Xu 2026 claims of the commutator defect: curvature grows before a network generalises."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

DEFECT = "commutator_defect.defect"
DECAY = "training.weight_decay"
PAPER = "Xu 2026"
EARLY, TIMES, LEAST = 3, 10, 20  # checkpoints of the baseline, times it, and a defect at least: the onset
GROKS_AT = 0.9  # test accuracy, in the paper


def _baseline(results: Results) -> float:
    import numpy as np

    values = results.values(DEFECT)[:EARLY]
    return float(np.median(values)) if len(values) == EARLY else math.nan


def onset(results: Results) -> float:
    """Return the first step at which the defect is above 20 and ten times the median of its first three."""
    enough = max(LEAST, TIMES * _baseline(results))
    return courses.first_step(results, DEFECT, lambda value: value > enough)


@hypothesis(
    claim="The onset of the commutator defect's growth precedes generalisation.",
    columns=[DEFECT],
    source=f"{PAPER}, section 4.4",
    groups="that grok",
    group=courses.groks,
    leads=[("onset at step", "test accuracy is there at")],
)
def defect_grows_first(results: Results) -> Found:
    """The defect's onset comes before test accuracy is at 90 %, or 95 % of its best where it is never there.

    The onset is the first step at which the defect is above 20, and above ten times the median of its first
    three values, which the paper measures at steps 0, 100 and 200.
    """
    begins, up = onset(results), courses.reached(results, GROKS_AT)
    up = courses.generalised(results) if math.isnan(up) else up
    found = {"onset at step": begins, "test accuracy is there at": up}
    if math.isnan(_baseline(results)) or math.isnan(up):
        return math.nan, found
    return (-1.0 if math.isnan(begins) else up - begins), found


@hypothesis(
    claim="The defect grows by far more where a network groks than where it does not.",
    columns=[DEFECT],
    about="grokking",
    source=f"{PAPER}, section 4.4",
)
def defect_growth_tells(results: Results) -> float | None:
    """Log10 of the largest defect over the median of the first three."""
    values, baseline = results.values(DEFECT), _baseline(results)
    return math.log10(values.max() / baseline) if len(values) and baseline > 0 else None


def by_decay(results: Results) -> str | None:
    """Tell runs with weight decay from those without."""
    return "decay" if courses.setting(results, DECAY) else "no decay"


@hypothesis(
    claim="Runs that grok by weight decay show at least 10 times the defect of the same without decay.",
    columns=[DEFECT],
    about="pairs",
    groups=("decay", "no decay"),
    group=by_decay,
    source=f"{PAPER}, section 4.3",
)
def defect_larger_with_decay(decay: Results, without: Results) -> Found:
    """The largest defect with decay is at least ten times that without.

    Of runs that differ in nothing but their weight decay, of which the one with decay groks.
    """
    large, small = (courses.peak(run, DEFECT)[1] for run in (decay, without))
    found = {"largest defect with decay": large, "without": small}
    alike = courses.differ_only_in(decay, without, DECAY) and courses.groks(decay) is not None
    if not alike or not min(large, small) > 0:
        return math.nan, found
    return math.log10(large / small) - 1, found
