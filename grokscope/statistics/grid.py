"""Runs with unequal checkpoints are read alike: as many evaluations of each, at like places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from grokscope.results import Results

if TYPE_CHECKING:
    import numpy as np

Read = tuple[str, int]  # a column, and how many reads of it came before


def alike(steps: Sequence[np.ndarray], one: int = 0) -> list[np.ndarray]:
    """Return for each run the indices of the evaluations to read, as many as the run with fewest has.

    Each is at the place nearest to that run's, as a share of the steps from its first evaluation to its last.

    The largest of many values is larger than that of few, though nothing but noise is in them: what is
    compared must be read equally often.

    Args:
        steps: of each run, ascending; one evaluation at least.
        one: where the fewest are one, which is read of the others: 0 the first, -1 the last.

    >>> import numpy as np
    >>> [each.tolist() for each in alike([np.array([0, 10, 20, 30, 40]), np.array([0, 300, 600])])]
    [[0, 2, 4], [0, 1, 2]]
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    if not steps:
        return []
    fewest = min(steps, key=len)
    if len(fewest) == 1:
        return [np.array([0 if one == 0 else len(each) - 1]) for each in steps]
    wanted = _shares(fewest)
    found = []
    for each in steps:
        apart = np.abs(wanted[:, None] - _shares(each))
        found.append(np.sort(linear_sum_assignment(apart)[1]))
    return found


def _shares(steps: np.ndarray) -> Any:
    return (steps - steps[0]) / (steps[-1] - steps[0])


@dataclass(frozen=True)
class Reading(Results):
    """A run's results for a hypothesis.

    What it reads by `values` is noted in `asked`, and where `chosen` has the read, only these of the
    evaluations are given.
    """

    asked: dict[Read, Any] = field(default_factory=dict)
    chosen: Mapping[Read, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Results, chosen: Mapping[Read, Any] | None = None) -> Reading:
        """Return a run's results, of which only `chosen` is read."""
        return cls(
            **{each.name: getattr(results, each.name) for each in fields(Results)}, chosen=chosen or {}
        )

    def values(self, name: str, start: float = -math.inf, end: float = math.inf) -> np.ndarray:
        """As those of `Results`, noted in `asked` and thinned to `chosen`."""
        import numpy as np

        steps, course = np.array(self.steps), self.course(name)
        kept = (steps >= start) & (steps <= end) & np.isfinite(course)
        read = (name, sum(column == name for column, _ in self.asked))
        self.asked[read] = steps[kept]
        values = course[kept]
        chosen = self.chosen.get(read)
        return values if chosen is None or len(chosen) > len(values) else values[chosen]


def levelled(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """Return the runs so that each read which was noted gives as many evaluations of every run."""
    chosen: dict[str, dict[Read, Any]] = {run: {} for run in readings}
    for read in dict.fromkeys(read for reading in readings.values() for read in reading.asked):
        steps = {run: each.asked[read] for run, each in readings.items() if len(each.asked.get(read, ()))}
        for run, kept in zip(steps, alike(list(steps.values())), strict=True):
            chosen[run][read] = kept
    return {run: Reading.of(each, chosen[run]) for run, each in readings.items()}
