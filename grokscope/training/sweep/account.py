"""What is known of a sweep's runs while it goes, and what is left of it at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from grokscope.errors import GrokscopeError
from grokscope.run import Run
from grokscope.run.config import RUN_FILE
from grokscope.run.sites import Site
from grokscope.run.store import exists
from grokscope.training.session import is_finished
from grokscope.training.sweep.grid import PlannedRun


@dataclass(frozen=True)
class FailedRun:
    """A run that could not be trained to its end; `detail` is the traceback of an error not foreseen."""

    path: Site
    message: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path.name}: {self.message}"


Outcome = bool | FailedRun  # whether the run is finished or was stopped; or why it failed


@dataclass(frozen=True)
class Sweep:
    """What a sweep leaves.

    Attributes:
        paths: the directories of all its runs, in the grid's order, seeds changing fastest.
        finished: those trained to the end, now or before.
        failures: the runs that could not be, and why.
    """

    paths: tuple[Site, ...]
    finished: tuple[Site, ...]
    failures: tuple[FailedRun, ...]

    @property
    def stopped(self) -> tuple[Site, ...]:
        """The runs that are neither finished nor failed: the sweep was stopped before their end."""
        ended = {*self.finished, *(failure.path for failure in self.failures)}
        return tuple(path for path in self.paths if path not in ended)


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep is: `step` of `steps` updates over all runs, and `finished` and `failed` of `runs`."""

    step: int
    steps: int
    runs: int
    finished: int
    failed: int


class Accounting(Protocol):
    """Takes what becomes of runs, as `Account` does."""

    def reached(self, path: Site, step: int) -> None:
        """Take how far a run is."""

    def said(self, path: Site, message: str) -> None:
        """Take what the training of a run had to say."""

    def ended(self, path: Site, outcome: Outcome) -> None:
        """Take how the training of a run ended."""


class Account:
    """Keeps how far every run is, and tells whoever watches."""

    def __init__(
        self,
        planned: Sequence[PlannedRun],
        progress: Callable[[SweepProgress], None],
        notify: Callable[[str], None],
    ) -> None:
        self._planned = {run.path: run for run in planned}
        self._progress, self._notify = progress, notify
        self._reached = dict.fromkeys(self._planned, 0)
        self._finished: set[Site] = set()
        self._failures: dict[Site, FailedRun] = {}
        self._steps, self._done = sum(run.steps for run in planned), 0

    def unfinished(self) -> list[PlannedRun]:
        """Return the runs that are left to train; a directory that holds something else counts as failed."""
        for run in self._planned.values():
            if exists(run.path / RUN_FILE):
                self._look_at(run)
        if self._finished:
            self._notify(f"{len(self._finished)} of {len(self._planned)} runs are finished already")
        self._tell()
        ended = self._finished | self._failures.keys()
        return [run for path, run in self._planned.items() if path not in ended]

    def _look_at(self, planned: PlannedRun) -> None:
        try:
            run = Run.create(planned.path, planned.config)
        except GrokscopeError as error:
            self._fail(planned.path, FailedRun(planned.path, str(error)))
            return
        self._reach(planned.path, max(run.steps, default=0))
        if is_finished(run):
            run.refresh_index()
            self._finished.add(planned.path)

    def standing(self, path: Site) -> int:
        """Return how far a run is."""
        return self._reached[path]

    def reached(self, path: Site, step: int) -> None:
        """Take how far a run is; what comes late, of one that has ended, is no news."""
        if path not in self._finished and path not in self._failures:
            self._reach(path, step)
            self._tell()

    def _reach(self, path: Site, step: int) -> None:
        self._done += step - self._reached[path]
        self._reached[path] = step

    def _fail(self, path: Site, failure: FailedRun) -> None:
        """What a failed run has left will never be trained: it is no part of the whole."""
        self._failures[path] = failure
        self._steps -= self._planned[path].steps - self._reached[path]

    def said(self, path: Site, message: str) -> None:
        """Pass on what the training of a run had to say."""
        self._notify(f"{path.name}: {message}")

    def ended(self, path: Site, outcome: Outcome) -> None:
        """Take how the training of a run ended."""
        if isinstance(outcome, FailedRun):
            self._fail(path, outcome)
        elif outcome:
            self._finished.add(path)
            self._reach(path, self._planned[path].steps)
        self._tell()

    def closed(self) -> Sweep:
        """Return what the sweep leaves."""
        return Sweep(
            paths=tuple(self._planned),
            finished=tuple(path for path in self._planned if path in self._finished),
            failures=tuple(self._failures[path] for path in self._planned if path in self._failures),
        )

    def _tell(self) -> None:
        counts = len(self._planned), len(self._finished), len(self._failures)
        self._progress(SweepProgress(self._done, self._steps, *counts))
