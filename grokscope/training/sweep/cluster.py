"""Trains runs on a Dask cluster: a worker that dies costs what its run trained since its last checkpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
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

LOST = "the Dask workers that trained it died, one by one; its checkpoints are kept"


def train_on(
    cluster: Cluster, planned: Iterable[PlannedRun], account: Account, stop: Callable[[], bool]
) -> None:
    """Train `planned`, as many at a time as the cluster does; when `stop` says so, all end with a checkpoint.

    Raises GrokscopeError when the scheduler is gone, or a worker is unlike this process.
    """
    waiting = deque(planned)
    without = tuple(left_out())

    def give(threads: int) -> Job[PlannedRun] | None:
        while waiting:
            run = waiting.popleft()
            try:
                Run.create(run.path, run.config)  # a worker must see it to begin
            except GrokscopeError as error:
                account.ended(run.path, FailedRun(run.path, told(error)))
            else:
                return Job(run, [run.path / RUN_FILE], train_there, (run, without))
        return None

    def heard(said: tuple[str, str, Any]) -> None:
        word, path, content = said
        getattr(account, word)(site_of(path), content)

    for run, outcome in cluster.work(give, spare=1, heard=heard, stopped=stop):
        account.ended(run.path, FailedRun(run.path, LOST) if isinstance(outcome, Lost) else outcome)


def train_there(desk: Desk, planned: PlannedRun, without: tuple[str, ...]) -> Outcome:
    """Train a run in a process of its own, where a Dask worker is told to; return how it ended."""
    account = _Teller(desk)
    train_in_processes([planned], 1, account, lambda: desk.stopped, without=without, origin=desk.origin)
    return account.outcome


class _Teller:
    """Tells the account, which is elsewhere, how far a run is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.outcome: Outcome = False

    def reached(self, path: Site, step: int) -> None:
        self._desk.tell(["reached", str(path), step])

    def said(self, path: Site, message: str) -> None:
        self._desk.tell(["said", str(path), message])

    def ended(self, path: Site, outcome: Outcome) -> None:
        self.outcome = outcome
