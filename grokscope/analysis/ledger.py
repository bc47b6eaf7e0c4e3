"""What becomes of cells: results are put away in segments, failures are kept with their reason.

Imports no torch: the process that asks for results need not be the one that computes them.
"""

from __future__ import annotations

import time

from grokscope.analysis.clock import Clock, timed
from grokscope.analysis.plan import PlannedCell
from grokscope.errors import GrokscopeError, StorageError
from grokscope.results import Failure
from grokscope.run import Cell, Run

SECONDS_BETWEEN_SEGMENTS = 2.0


def failure(cell: PlannedCell, message: str, detail: str = "", tried: bool = True) -> Failure:
    """Return the failure of one cell, with where its measure comes from."""
    registered = cell.registered
    return Failure(
        registered.plugin,
        f"{registered.distribution} {registered.version}",
        registered.title,
        cell.checkpoint.step,
        message,
        detail,
        tried,
    )


class Ledger:
    """Puts results away: one segment per finished checkpoint or every two seconds, whichever is later.

    Attributes:
        cells: what was computed.
        failures: what could not be.
        trouble: why nothing can be computed or stored, None while it can.
    """

    def __init__(self, run: Run, keep: bool = True, clock: Clock | None = None) -> None:
        self.run = run
        self._clock = clock
        self.cells: list[Cell] = []
        self.failures: list[Failure] = []
        self.trouble: GrokscopeError | None = None
        self._keep = keep
        self._unstored: list[Cell] = []
        self._last = time.monotonic()

    def take(self, outcome: Cell | Failure) -> None:
        """Take one result or failure."""
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            return
        self.cells.append(outcome)
        self._unstored.append(outcome)

    def checkpoint_done(self) -> None:
        """Store what has come together, unless the last segment is younger than two seconds."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_SEGMENTS:
            self.store()

    def store(self) -> None:
        """Store everything not stored yet."""
        if self._unstored and self._keep and self.trouble is None:
            try:
                with timed(self._clock, "storing results"):
                    self.run.store(self._unstored)
            except StorageError as error:
                self.trouble = error
        self._unstored = []
        self._last = time.monotonic()
