"""What who waits for cells is told: how many are done, and how long those of a measure will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from grokscope.analysis.plan import PlannedCell

Progress = Callable[[int, int, str, int], None]
LONG = 2.0  # seconds that a cell takes before it is said


class Watched:
    """All cells that are to be computed, for who waits for them.

    Args:
        cells: the cells.
        processes: how many compute them side by side.
        progress: called as (done, total, measure, step), first with done 0.
        notify: called with a sentence for each measure that takes long; logged when not given.
    """

    def __init__(
        self,
        cells: Sequence[PlannedCell],
        processes: int,
        progress: Progress | None,
        notify: Callable[[str], None] | None,
    ) -> None:
        self._total, self._done, self._processes = len(cells), 0, processes
        self._progress, self._notify = progress, notify or _log
        self._left = Counter(cell.registered.id for cell in cells)
        self._told: set[str] = set()
        if progress:
            progress(0, self._total, "", min(cell.checkpoint.step for cell in cells))

    def finished(self, cell: PlannedCell) -> None:
        """Take that a cell is done."""
        self._done += 1
        self._left[cell.registered.id] -= 1
        if self._progress:
            self._progress(self._done, self._total, cell.registered.title, cell.checkpoint.step)

    def foretold(self, cell: PlannedCell, seconds: float) -> None:
        """Take how long a cell, which has begun, will take; it is said once for its measure, where long."""
        if seconds < LONG or cell.registered.id in self._told:
            return
        self._told.add(cell.registered.id)
        left = self._left[cell.registered.id]
        rounds = -(-left // min(self._processes, left)) if left else 1
        more = f", some {duration(rounds * seconds)} for the {left} that are left" if left > 1 else ""
        self._notify(f"{cell.registered.title} will take about {duration(seconds)} a checkpoint{more}")


def _log(sentence: str) -> None:
    import logging

    logging.getLogger("grokscope").info(sentence)


def duration(seconds: float) -> str:
    """Return a time in words, to two figures.

    >>> duration(9.4), duration(200), duration(30000)
    ('9 s', '3.3 min', '8.3 h')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    value, unit = (seconds / 60, "min") if seconds < 5970 else (seconds / 3600, "h")
    return f"{value:.2g} {unit}" if value < 99.5 else f"{value:.0f} {unit}"
