"""Which phase a training is in: Clauw et al.'s five, from synergy, redundancy and test loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokscope.analysis import Results
from grokscope.statistics.extras import from_extra
from grokscope.statistics.transition import FEWEST, MOST_ENDS, Scale, axis_of, axis_shares

if TYPE_CHECKING:
    import numpy as np

    from grokscope.statistics.costs import WeightedLine

SYNERGY, REDUNDANCY, LOSS = "oinfo.synergy", "oinfo.redundancy", "test_loss"
EARNS = 0.03  # share of the squared deviation that a further boundary must take away
FLAT = 0.1  # of a course's range: less is no trend
SHORTEST = 3  # evaluations in a segment
FEATURES, EMERGENCE, DIVERGENCE = "feature learning", "emergence", "divergence"
DELAYED, DECOUPLING = "delayed emergence", "decoupling"
NAMES = (FEATURES, EMERGENCE, DIVERGENCE, DELAYED, DECOUPLING)

RULE = (
    "Synergy, redundancy and test loss, each scaled to its range over the run, are cut together into straight "
    f"pieces over the log step axis; a boundary must take away {EARNS:.0%} of their squared deviation. Until the "
    "network has memorised it is feature learning, and while test loss and synergy go on rising. Then: test loss "
    "falls and synergy rises, emergence, or delayed emergence once there was divergence; test loss rises, "
    "divergence; both fall, decoupling. Where synergy is flat, falling redundancy counts as its rise and rising "
    f"redundancy as its fall; where test loss is flat too (a change below {FLAT:.0%} of the range), the phase "
    "goes on."
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


def phases(
    results: Results, *, synergy: str = SYNERGY, redundancy: str = REDUNDANCY, scale: Scale = "log"
) -> Phases:
    """Return the phases of a run after Clauw et al. 2024, section 5: feature learning, emergence, divergence,
    delayed emergence and decoupling.

    The paper names the phases and shows them in figures; `RULE` that finds them is grokscope's. Boundaries are
    ruptures' (Killick, Fearnhead & Eckley 2012, *Optimal detection of changepoints with a linear computational
    cost*, JASA 107; `Pelt`, exact for its penalty) for pieces that are straight over the step axis, each
    evaluation weighted by its share of it, after a running median of three. A boundary lies at the first
    evaluation of the new piece. What is found depends on how densely `results` were measured.

    Args:
        results: of `analyze`, with the two columns.
        synergy, redundancy: the columns to read.
        scale: `log` or `linear` step axis.
    """
    found = _courses(results, synergy, redundancy)
    if isinstance(found, str):
        return Phases((), note=found)
    steps, courses = found
    pieces, cost = _pieces(steps, courses, scale)
    memorised = results.memorisation_step
    names: list[str] = []
    for start, end in pieces:
        before = memorised is None or steps[end - 1] <= memorised
        names.append(FEATURES if before or not names else _name(cost.change(start, end), names))
    return Phases(_joined(names, [start for start, _ in pieces], steps))


def _courses(results: Results, synergy: str, redundancy: str) -> tuple[list[int], np.ndarray] | str:
    """The steps where all three are known and the scaled courses there, or why there are none."""
    import numpy as np
    from scipy.ndimage import median_filter

    missing = [name for name in (synergy, redundancy) if name not in results.declared]
    if missing:
        return f"phases need {' and '.join(missing)}, which were not measured"
    if not results.curve:
        return "phases need the test loss, and the run has none"
    raw = np.array([results.course(name) for name in (synergy, redundancy, LOSS)])
    kept = np.isfinite(raw).all(axis=0)
    if kept.sum() < 2 * FEWEST:
        return f"phases need {2 * FEWEST} checkpoints with all three numbers, there are {kept.sum()}"
    smooth = median_filter(raw[:, kept], size=(1, 3), mode="nearest")
    low, span = smooth.min(axis=1, keepdims=True), np.ptp(smooth, axis=1, keepdims=True)
    if not span.all():
        return "phases need courses that change, and one of them is constant"
    return [step for step, keep in zip(results.steps, kept, strict=True) if keep], ((smooth - low) / span).T


def _pieces(
    steps: Sequence[int], courses: np.ndarray, scale: Scale
) -> tuple[list[tuple[int, int]], WeightedLine]:
    """The straight pieces, as half-open ranges, and their cost."""
    with from_extra("phases"):
        from ruptures import Pelt

        from grokscope.statistics.costs import WeightedLevel, WeightedLine
    axis = axis_of(steps, scale)
    weights = axis_shares(axis)
    cost = WeightedLine(weights, axis)
    whole = WeightedLevel(weights).fit(courses).error(0, len(steps))
    search = Pelt(custom_cost=cost, min_size=SHORTEST, jump=-(-len(steps) // MOST_ENDS)).fit(courses)
    ends = search.predict(pen=EARNS * whole)
    return list(zip([0, *ends], ends, strict=False)), cost


def _name(change: Sequence[float], earlier: Sequence[str]) -> str:
    """The phase of a piece after memorisation, by how far each course goes in it."""
    synergy, redundancy, loss = map(_direction, change)
    rising = synergy or -redundancy
    if loss > 0:
        learning = rising > 0 and set(earlier) == {FEATURES}
        return FEATURES if learning else DIVERGENCE
    if loss == 0 or rising == 0:
        return earlier[-1]
    if rising > 0:
        return DELAYED if DIVERGENCE in earlier else EMERGENCE
    return DECOUPLING


def _direction(change: float) -> int:
    return 0 if abs(change) < FLAT else int(math.copysign(1, change))


def _joined(names: Sequence[str], starts: Sequence[int], steps: Sequence[int]) -> tuple[Phase, ...]:
    """Neighbours of one name made one; a phase ends at the evaluation before the next begins."""
    kept = [at for at in range(len(names)) if at == 0 or names[at] != names[at - 1]]
    ends = [starts[at] - 1 for at in kept[1:]] + [len(steps) - 1]
    return tuple(Phase(names[at], steps[starts[at]], steps[end]) for at, end in zip(kept, ends, strict=True))
