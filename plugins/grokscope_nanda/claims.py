"""What Nanda et al. 2023 claim of circuit formation and cleanup, each sentence once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

EXCLUDED, RESTRICTED = "fourier.excluded_loss", "fourier.restricted_loss"
GINI, NORM = "fourier.gini_embedding", "weight_norm.l2_all"
PAPER = "Nanda et al. 2023"
FALLEN, RISEN = "restricted loss at half of its fall", "test accuracy at half of its rise"
HALF = 0.5  # of its fall: the circuit is formed


@hypothesis(
    claim="In circuit formation excluded loss rises, while test loss stays flat.",
    columns=[EXCLUDED],
    source=f"{PAPER}, section 5.2",
    groups="that grok",
    group=courses.groks,
)
def excluded_loss_rises(results: Results) -> Found:
    """Excluded loss rises over the second half of the steps from memorisation to half of the rise.

    The rise of test accuracy; in the first half it may fall still, as it does while a network memorises.
    """
    rise = courses.rise(results)
    middle = (courses.memorised(results) + rise) / 2
    found = {
        "nats half the way": courses.at(results, EXCLUDED, middle),
        "at half of the rise": courses.at(results, EXCLUDED, rise),
    }
    return courses.slope(results, EXCLUDED, middle, rise), found


@hypothesis(
    claim="Restricted loss falls first: the circuit is formed well before grokking occurs.",
    columns=[RESTRICTED],
    source=f"{PAPER}, section 5.2",
    groups="that grok",
    group=courses.groks,
    leads=[(FALLEN, RISEN)],
)
def restricted_loss_falls_first(results: Results) -> Found:
    """Restricted loss has made half of its fall before test accuracy has made half of its rise.

    Its fall from memorisation to the end; it must fall.
    """
    rise = courses.rise(results)
    before = [step for step in results.steps if step < rise]
    first, end = courses.once_memorised(results, RESTRICTED), courses.last(results, RESTRICTED)
    then = courses.at(results, RESTRICTED, before[-1]) if before else math.nan
    found = {"nats once memorised": first, "before half of the rise": then, "at the end": end}
    half = end + HALF * (first - end)
    start = courses.memorised(results)
    found |= {FALLEN: courses.first_step(results, RESTRICTED, lambda value: value <= half, start)}
    found |= {RISEN: rise}
    if math.isnan(first) or math.isnan(then):
        return math.nan, found
    return ((first - then) / (first - end) - HALF if end < first else -1.0), found


def _sharper_in_cleanup(results: Results, column: str, sign: int) -> Found:
    """How much faster a column moves, in the direction of `sign`, in cleanup than before."""
    rise, up = courses.rise(results), courses.generalised(results)
    before = [step for step in results.steps if step < rise]
    after = [step for step in results.steps if step >= up]
    if not (before and after):
        return math.nan, {}
    forming = courses.slope(results, column, courses.memorised(results), before[-1])
    cleaning = courses.slope(results, column, before[-1], after[0])
    found = {"per 1000 steps before": 1000 * forming, "in cleanup": 1000 * cleaning}
    return courses.least(sign * cleaning, sign * (cleaning - forming)), found


@hypothesis(
    claim="The Gini coefficient of the embedding in the Fourier basis increases sharply during cleanup.",
    columns=[GINI],
    source=f"{PAPER}, section 5.2 and figure 7",
    groups="that grok",
    group=courses.groks,
)
def gini_rises_in_cleanup(results: Results) -> Found:
    """It rises in cleanup, and by more per step than from memorisation to where cleanup begins.

    Cleanup goes from the last checkpoint before half of the rise of test accuracy to the first from the
    grokking step on.
    """
    return _sharper_in_cleanup(results, GINI, 1)


@hypothesis(
    claim="The weight norm falls more sharply during cleanup than during circuit formation.",
    columns=[NORM],
    source=f"{PAPER}, section 5.2 and figure 7",
    groups="that grok",
    group=courses.groks,
)
def norm_falls_in_cleanup(results: Results) -> Found:
    """The l2 norm falls in cleanup, and by more per step than from memorisation to where cleanup begins.

    Cleanup goes from the last checkpoint before half of the rise of test accuracy to the first from the
    grokking step on. Of a run whose norm is held nothing is said.
    """
    held = courses.setting(results, "training.constrain_norm")
    return (math.nan, {}) if held else _sharper_in_cleanup(results, NORM, -1)
