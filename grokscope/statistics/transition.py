"""Where a course changes: the one most likely change point, over a log or linear step axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grokscope.errors import UsageError
from grokscope.extras import from_extra

if TYPE_CHECKING:
    import numpy as np

    from grokscope.statistics.costs import WeightedLevel

Scale = Literal["log", "linear"]

FEWEST = 6  # evaluations: three on either side
CLEAR = 0.5  # share of the squared deviation that the change must account for
STEEPER = (
    0.85  # ... of what a straight line accounts for: 0.75 is what the best two levels make of an even ramp
)
MOST_ENDS = 120  # a peak's two flanks are looked for among so many evaluations: the search is quadratic
ROUNDING = 1e-12  # a course that varies by less of its size is constant

RULE = (
    "A course's transition is its one change of level: of the split into two levels, over the log (or "
    "linear) step axis, that leaves the least squared deviation, the nearest point where the course crosses "
    "the middle between the medians on either side. A column that is said to peak is split into three "
    "levels; where the middle one is the highest, the transition is its highest point. A running median of "
    "three evaluations is taken first, so that single spikes do not count. The change is clear when the "
    f"levels account for at least {CLEAR:.0%} of the squared deviation, and for {STEEPER:.0%} of what a "
    "straight line accounts for: an even ramp (75 %) changes nowhere."
)


@dataclass(frozen=True)
class Between:
    """The evaluations between which something happened: after the step `after`, and by `until`."""

    after: int
    until: int

    @property
    def middle(self) -> float:
        """The middle in log steps: the estimate that no grid biases.

        From step 0 on steps count as in `axis_of`.

        >>> Between(50, 200).middle
        100.0
        """
        offset = 0 if self.after > 0 else self.until
        return math.sqrt((self.after + offset) * (self.until + offset)) - offset


@dataclass(frozen=True)
class Transition:
    """A course's change point.

    Attributes:
        step: the first evaluation on the new level, or a peak's highest point.
        at: its index among the steps given.
        between: the evaluations between which the change lies: the one before `step`, and `step`; of a peak,
            those on either side.
        place: how many evaluations with a value come before `step`.
        before, after: the levels on either side; of a peak, its flanks.
        size: how far it rises (falls, below 0) from level to level, or from the higher flank to the peak's
            level, as a share of the course's range.
        explained: the share of the course's squared deviation that its levels account for, 0 to 1.
        line: the share that a straight line over the axis accounts for; of an even ramp 1, its levels 0.75.
        shape: `rise`, `fall` or `peak`.
    """

    step: int
    at: int
    between: Between
    place: int
    before: float
    after: float
    size: float
    explained: float
    line: float
    shape: Literal["rise", "fall", "peak"]

    @property
    def clear(self) -> bool:
        """Whether it is a change, and not the best place to cut noise or a ramp."""
        return self.explained >= max(CLEAR, STEEPER * self.line)


def transition(
    steps: Sequence[int], values: Sequence[float], *, scale: Scale = "log", peak: bool = False
) -> Transition | None:
    """Return the one most likely change point of a course.

    None where it is constant or has fewer than six finite values.

    ruptures' exact search (`Dynp`; Truong, Oudre & Vayatis 2020, *Selective review of offline change point
    detection methods*, Signal Processing 167) for the split with least squared deviation from the levels on
    either side. It lies where the course, next to that split, crosses the middle between the medians on
    either side: at the jump of a step, the steep part of a sigmoid, the middle of a ramp. An evaluation
    counts by its share of the axis, so that the answer is about the axis and not about where checkpoints
    happen to lie. The scale and sign of the values do not matter; those that are not finite are left out.

    Args:
        steps: ascending.
        values: at these steps.
        scale: `log` or `linear` step axis; log10(step + first gap) where step 0 is among them.
        peak: look for a maximum, as the columns that declare the direction `peak` have; where the middle of
            three levels is not the highest, the change of level is returned instead.

    >>> transition([0, 10, 20, 30, 40, 50, 60], [0, 0, 0, 0, 1, 1, 1]).step
    40
    """
    import numpy as np
    from scipy.ndimage import median_filter

    given = np.asarray(values, np.float64)
    kept = np.flatnonzero(np.isfinite(given))
    if len(kept) < FEWEST:
        return None
    course = given[kept]
    size, low = np.abs(course).max(), course.min()
    if course.max() - low <= ROUNDING * size:
        return None
    smooth = median_filter(course / size, size=3, mode="nearest")
    lowest, span = float(smooth.min()), float(np.ptp(smooth))
    if span <= ROUNDING:
        return None
    smooth = (smooth - lowest) / span  # squares of a small change on a large level would be rounding
    at_steps = np.asarray(steps, np.int64)[kept]
    axis = axis_of(at_steps, scale)
    found = (_peak(smooth, axis) if peak else None) or _change(smooth, axis)
    at, before, after, height, explained, shape = found
    return Transition(
        step=int(at_steps[at]),
        at=int(kept[at]),
        between=Between(int(at_steps[at - 1]), int(at_steps[at + 1 if shape == "peak" else at])),
        place=at,
        before=(lowest + before * span) * float(size),
        after=(lowest + after * span) * float(size),
        size=height,
        explained=explained,
        line=_line(smooth, axis),
        shape=shape,
    )


def axis_of(steps: Sequence[int] | np.ndarray, scale: Scale = "log") -> np.ndarray:
    """Return where steps lie on the axis; step 0 has a place on the log axis, one first gap before step one.

    >>> axis_of([0, 10, 30, 90]).round(3).tolist()
    [1.0, 1.301, 1.602, 2.0]
    """
    import numpy as np

    if scale not in ("log", "linear"):
        raise UsageError(f"the step axis must be log or linear, got {scale!r}")
    places = np.asarray(steps, np.float64)
    if scale == "linear":
        return places
    first = places[1] - places[0] if len(places) > 1 else 1.0
    return np.log10(places + (first if places[0] <= 0 else 0.0))


def axis_shares(axis: np.ndarray) -> np.ndarray:
    """Return each point's share of the axis: half the way to its neighbours on either side; they sum to 1.

    >>> axis_shares(axis_of([0, 10, 20, 40], "linear")).tolist()
    [0.125, 0.25, 0.375, 0.25]
    """
    import numpy as np

    ends = np.concatenate([axis[:1], (axis[1:] + axis[:-1]) / 2, axis[-1:]])
    return np.diff(ends) / (axis[-1] - axis[0])


_Found = tuple[int, float, float, float, float, Literal["rise", "fall", "peak"]]


def _change(course: np.ndarray, axis: np.ndarray) -> _Found:
    """One change of level."""
    cost, ends = _split(course, axis, 1)
    before, after = _levels(cost, ends)
    at = _crossing(course, axis, ends[0])
    return at, before, after, after - before, _explained(cost, ends), "rise" if after > before else "fall"


def _crossing(course: np.ndarray, axis: np.ndarray, split: int) -> int:
    """The point nearest to the split from which the course is beyond the middle of the medians beside it."""
    import numpy as np

    before, after = np.median(course[:split]), np.median(course[split:])
    beyond = (course - (before + after) / 2) * np.sign(after - before) >= 0
    crossings = np.flatnonzero(beyond[1:] & ~beyond[:-1]) + 1
    return int(crossings[np.abs(axis[crossings] - axis[split]).argmin()]) if len(crossings) else split


def require_ruptures() -> None:
    """Raise UsageError where ruptures is missing, which finds change points."""
    with from_extra("report", "a change point"):
        import ruptures  # noqa: F401


def _peak(course: np.ndarray, axis: np.ndarray) -> _Found | None:
    """The highest point between two changes of level, if the level between them is the highest."""
    cost, ends = _split(course, axis, 2)
    before, middle, after = _levels(cost, ends)
    if middle <= max(before, after):
        return None
    at = ends[0] + int(course[ends[0] : ends[1]].argmax())
    return at, before, after, middle - max(before, after), _explained(cost, ends), "peak"


def _split(course: np.ndarray, axis: np.ndarray, changes: int) -> tuple[WeightedLevel, list[int]]:
    """Return the cost and the ends of the segments of the best split into levels."""
    with from_extra("report", "a change point"):
        from ruptures import Dynp

        from grokscope.statistics.costs import WeightedLevel
    cost = WeightedLevel(axis_shares(axis))
    if changes == 1:
        return cost, [cost.fit(course).split(), len(course)]
    jump = -(-len(course) // MOST_ENDS)
    search = Dynp(custom_cost=cost, min_size=1, jump=jump).fit(course)
    return cost, search.predict(n_bkps=changes)


def _levels(cost: WeightedLevel, ends: Sequence[int]) -> list[float]:
    return [float(cost.level(start, end)[0]) for start, end in zip([0, *ends], ends, strict=False)]


def _explained(cost: WeightedLevel, ends: Sequence[int]) -> float:
    return 1.0 - cost.sum_of_costs(list(ends)) / cost.error(0, ends[-1])


def _line(course: np.ndarray, axis: np.ndarray) -> float:
    from grokscope.statistics.costs import WeightedLevel, WeightedLine

    weights, size = axis_shares(axis), len(course)
    whole = WeightedLevel(weights).fit(course).error(0, size)
    return 1.0 - WeightedLine(weights, axis).fit(course).error(0, size) / whole
