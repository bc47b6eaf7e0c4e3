"""Which phase a training is in: Clauw et al.'s five, from synergy, redundancy and test loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from grokscope.results.columns import column_of
from grokscope.statistics.turns import FLAT, LEAST, NOISE, SPACING, WEIGHT, Turning, turning

if TYPE_CHECKING:
    from grokscope.results import Results

SYNERGY, REDUNDANCY, LOSS = "synergy", "redundancy", "test_loss"  # two roles and a column of the curve
FEWEST = 12  # checkpoints
FEATURES, EMERGENCE, DIVERGENCE = "feature learning", "emergence", "divergence"
DELAYED, DECOUPLING = "delayed emergence", "decoupling"
NAMES = (FEATURES, EMERGENCE, DIVERGENCE, DELAYED, DECOUPLING)

RULE = (
    "Phases are the rises and falls of synergy, smoothed as in the authors' plots (exponential mean, weight "
    f"{WEIGHT} for every {SPACING} steps, step 0 left out), that are at least {FLAT:.0%} of its range, "
    f"{NOISE:g} standard errors of its noise and {10**LEAST - 1:.0%} of the step. It is feature learning "
    "until the network has memorised, as long after that as test loss and synergy go on rising, and where "
    "synergy has not risen yet. A rise is then emergence, or delayed emergence once there was divergence. A "
    "fall is divergence where test loss rises in it or redundancy falls, and decoupling where redundancy "
    "rises; where neither changes that much, it is divergence if synergy later rises above where it fell "
    "from, and else decoupling. Where synergy has no such rise or fall there is nothing to see."
)
NOTHING = (
    f"nothing to see: no rise or fall of synergy is more than {FLAT:.0%} of its range, its noise and a moment"
)


@dataclass(frozen=True)
class Phase:
    """One phase: its name, and its first and last step, both included."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Phases:
    """The phases of a run in order, the rule in words, and why there are none."""

    found: tuple[Phase, ...]
    rule: str = RULE
    note: str = ""


def phases(results: Results, *, synergy: str | None = None, redundancy: str | None = None) -> Phases:
    """Return the phases of a run after Clauw et al. 2024, section 5.

    Feature learning, emergence, divergence, delayed emergence and decoupling.

    The names are the paper's; the rule that finds them, `RULE`, is grokscope's. Rises and falls are those of
    `turning`; a phase begins where a mean from both sides turns, which does not lag. Courses of known phases
    are found in at least 90 of 100 seeds at noise of 0, 2 and 5 % of the range, and white noise has none in
    at least 95 of 100. A random walk does rise and fall, and gets phases nearly always: no uncertainty is
    given, so run several seeds and compare. A dip that lasts for 100 steps needs checkpoints every 10.

    Args:
        results: of `analyze`, with the two columns.
        synergy, redundancy: the columns to read; None are those that a measure declares so, see `Column`.
    """
    synergy = synergy or column_of(results, SYNERGY) or SYNERGY
    redundancy = redundancy or column_of(results, REDUNDANCY) or REDUNDANCY
    found = _courses(results, synergy, redundancy)
    if isinstance(found, str):
        return Phases((), note=found)
    steps, (rises, other, loss) = found
    if len(rises.turns) == 2 and abs(rises.goes(0, len(steps) - 1)) < 1:
        return Phases((), note=NOTHING)
    memorised = results.memorisation_step
    if memorised is None or memorised > steps[-1]:
        return Phases((Phase(FEATURES, steps[0], steps[-1]),))
    learned = _learned(rises, loss, next(at for at, step in enumerate(steps) if step >= memorised))
    named = _named(rises, other, loss, learned)
    return Phases(_joined([name for name, _ in named], [start for _, start in named], steps))


def _courses(results: Results, synergy: str, redundancy: str) -> tuple[list[int], list[Turning]] | str:
    """The steps where all three are known, with their rises and falls, or why there are none."""
    import numpy as np

    missing = [name for name in (synergy, redundancy) if name not in results.declared]
    if missing:
        return f"phases need {' and '.join(missing)}, which were not measured"
    if not results.curve:
        return "phases need the test loss, and the run has none"
    raw = np.array([results.course(name) for name in (synergy, redundancy, LOSS)])
    kept = np.isfinite(raw).all(axis=0) & (np.array(results.steps) > 0)
    if kept.sum() < FEWEST:
        return f"phases need {FEWEST} checkpoints after step 0 with all three numbers, there are {kept.sum()}"
    if not np.ptp(raw[:, kept], axis=1).all():
        return "phases need courses that change, and one of them is constant"
    steps = [step for step, keep in zip(results.steps, kept, strict=True) if keep]
    return steps, [turning(steps, course) for course in raw[:, kept]]


def _learned(rises: Turning, loss: Turning, memorised: int) -> int:
    """The index where feature learning ends.

    The network has memorised, and test loss or synergy has stopped rising.
    """
    stops = [_first_top(course, memorised) for course in (rises, loss)]
    return max(memorised, min(stops))


def _first_top(course: Turning, start: int) -> int:
    """Where a course that rises at `start` stops doing so; `start` itself where it does not rise."""
    for (begin, end), (_, place) in zip(pairwise(course.turns), pairwise(course.places), strict=True):
        if place > start:
            return place if course.goes(begin, end) >= 1 else start
    return start


def _named(rises: Turning, other: Turning, loss: Turning, learned: int) -> list[tuple[str, int]]:
    """The name of every rise and fall, with the index where it begins."""
    named = [(FEATURES, 0)]
    for (begin, end), (start, stop) in zip(pairwise(rises.turns), pairwise(rises.places), strict=True):
        if stop <= learned:
            continue
        names = [name for name, _ in named]
        if rises.smooth[end] > rises.smooth[begin]:
            if rises.goes(max(begin, learned), end) >= 1:
                named.append((DELAYED if DIVERGENCE in names else EMERGENCE, max(start, learned)))
        elif begin > 0:
            named.append((_fall(rises, other, loss, begin, end), max(start, learned)))
    return named


def _fall(rises: Turning, other: Turning, loss: Turning, begin: int, end: int) -> str:
    """Divergence or decoupling: what a fall of synergy from one turn to the next is."""
    highest = begin + int(loss.smooth[begin : end + 1].argmax())
    if loss.goes(begin, highest) >= 1:
        return DIVERGENCE
    redundancy = other.goes(begin, end)
    if abs(redundancy) < 1:
        return DIVERGENCE if rises.smooth[end:].max() > rises.smooth[begin] else DECOUPLING
    return DECOUPLING if redundancy > 0 else DIVERGENCE


def _joined(names: Sequence[str], starts: Sequence[int], steps: Sequence[int]) -> tuple[Phase, ...]:
    """Neighbours of one name made one; a phase ends at the evaluation before the next begins."""
    kept = [at for at in range(len(names)) if at == 0 or names[at] != names[at - 1]]
    ends = [starts[at] - 1 for at in kept[1:]] + [len(steps) - 1]
    return tuple(Phase(names[at], steps[starts[at]], steps[end]) for at, end in zip(kept, ends, strict=True))
