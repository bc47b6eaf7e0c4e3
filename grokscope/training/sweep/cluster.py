"""Trains units on a Dask cluster: a worker that dies costs what was trained since the last checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from grokscope.cluster import Cluster, Job, Lost
from grokscope.cluster.there import Desk
from grokscope.discovery import left_out
from grokscope.errors import GrokscopeError, told
from grokscope.run import Run
from grokscope.run.config import RUN_FILE
from grokscope.run.sites import Site, site_of
from grokscope.training.sweep.account import Account, FailedRun, Outcome
from grokscope.training.sweep.grid import PlannedRun
from grokscope.training.sweep.processes import train_in_processes
from grokscope.training.sweep.units import Unit, in_units

LOST = "the Dask workers that trained it died, one by one; its checkpoints are kept"


def train_on(
    cluster: Cluster,
    planned: Sequence[PlannedRun],
    account: Account,
    stop: Callable[[], bool],
    together: bool | None,
) -> None:
    """Train `planned`, as many at a time as the cluster does; when `stop` says so, all end with a checkpoint.

    Raises GrokscopeError when the scheduler is gone, or a worker is unlike this process.
    """
    waiting: deque[Unit] | None = None
    without = tuple(left_out())

    def give(threads: int) -> Job[Unit] | None:
        nonlocal waiting
        if waiting is None:
            waiting = deque(in_units(planned, threads, together, account))
        while waiting:
            unit = waiting.popleft()
            unit = replace(unit, runs=tuple(filter(made, unit.runs)))
            if unit.runs:
                paths = [run.path / RUN_FILE for run in unit.runs]
                return Job(unit, paths, train_there, (unit, without))
        return None

    def made(run: PlannedRun) -> bool:
        """Make the run's directory: a worker must see it to begin."""
        try:
            Run.create(run.path, run.config)
        except GrokscopeError as error:
            account.ended(run.path, FailedRun(run.path, told(error)))
            return False
        return True

    def heard(said: tuple[str, str, Any]) -> None:
        word, path, content = said
        getattr(account, word)(site_of(path), content)

    for unit, outcomes in cluster.work(give, spare=1, heard=heard, stopped=stop):
        for run in unit.runs:
            lost = isinstance(outcomes, Lost)
            account.ended(run.path, FailedRun(run.path, LOST) if lost else outcomes.get(run.path, False))


def train_there(desk: Desk, unit: Unit, without: tuple[str, ...]) -> dict[Site, Outcome]:
    """Train a unit in a process of its own, where a Dask worker is told to; return how its runs ended."""
    account = _Teller(desk)
    train_in_processes([unit], 1, account, lambda: desk.stopped, without=without, origin=desk.origin)
    return account.outcomes


class _Teller:
    """Tells the account, which is elsewhere, how far a run is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.outcomes: dict[Site, Outcome] = {}

    def reached(self, path: Site, step: int) -> None:
        self._desk.tell(["reached", str(path), step])

    def said(self, path: Site, message: str) -> None:
        self._desk.tell(["said", str(path), message])

    def ended(self, path: Site, outcome: Outcome) -> None:
        self.outcomes[path] = outcome
