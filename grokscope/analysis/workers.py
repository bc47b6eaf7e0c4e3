"""Computes checkpoints in processes of their own, one for each core.

A plugin that crashes its process, or never ends, costs only its own cell.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from grokscope.analysis.chunks import MOST_CRASHES, Chunk, worth_trying
from grokscope.analysis.plan import Place
from grokscope.analysis.server import context
from grokscope.analysis.worker import Underway, work
from grokscope.errors import GrokscopeError, SettingError

if TYPE_CHECKING:
    from grokscope.cluster.origin import Origin
    from grokscope.cluster.there import Desk

MOST_TRIES = 2  # of a checkpoint at which a process dies before it comes to a measure
SECONDS_BETWEEN_LOOKS = 1.0  # at whether the work is still wanted


@dataclass(frozen=True)
class Manner:
    """How cells are computed apart from this process.

    Attributes:
        place: where.
        timeout: seconds after which a cell is stopped, and fails.
        left_out: names of plugins that are not loaded.
        clocked: whether chunks hear what their time went to.
    """

    place: Place
    timeout: float | None = None
    left_out: tuple[str, ...] = ()
    clocked: bool = False


def execute(
    chunks: Sequence[Chunk],
    manner: Manner,
    workers: int,
    crashes: Mapping[str, int] = MappingProxyType({}),
    desk: Desk | None = None,
) -> None:
    """Compute all missing cells, of one run or of several, in `workers` processes of one thread each.

    Chunks that look for data come first. A run whose data is not there is in trouble, and not computed.
    The cell during which a process dies is tried once more, in another. One that dies again, or takes too
    long, fails and is named; a new process goes on behind it. A measure to which that happens three times is
    not tried any more; `crashes` says how often it has happened before. A `desk` says for whom it is done: in
    whose folder, and until when it is wanted.

    Raises:
        SettingError: there is no such device.
        GrokscopeError: no process can be started.
    """
    crew = _Crew(chunks, manner, Counter(crashes), desk)
    try:
        crew.work(workers)
    finally:  # also when the caller was stopped: nobody waits for what is under way
        crew.end()


class _Worker:
    """A process that computes one chunk after the other, seen from here."""

    def __init__(self, manner: Manner, origin: Origin | None) -> None:
        forking = context()
        self.line, theirs = forking.Pipe()
        lifeline, self._held = forking.Pipe(duplex=False)
        self._underway = Underway.made(forking)
        how = manner.place, manner.left_out, manner.clocked, origin
        arguments = theirs, self._underway, lifeline, dict(os.environ), *how
        self.process = forking.Process(target=work, args=arguments)  # type: ignore[attr-defined]
        self.process.start()
        theirs.close()
        lifeline.close()
        self.ready = False
        self.chunk: Chunk | None = None
        self.positions: list[int] = []
        """The positions of the chunk's cells, which the process counts from 0 on."""

    @property
    def under_way(self) -> int | None:
        """The position of the cell that is computed; None between two."""
        at = self._underway.position
        return None if at is None or self.chunk is None else self.positions[at]

    @property
    def since(self) -> float | None:
        """When that cell began."""
        return self._underway.since()

    def give(self, chunk: Chunk) -> None:
        """Give the process a chunk to compute."""
        self.chunk, self.positions = chunk, list(chunk.orders)
        word = "look" if chunk.looking else "compute"
        with suppress(OSError):  # it has died, and that will be seen
            self.line.send((word, (chunk.path, list(chunk.orders.values()))))

    def ban(self, measure: str) -> None:
        """Tell the process not to try a measure any more."""
        with suppress(OSError):
            self.line.send(("ban", measure))

    def heard(self) -> Iterator[tuple[str, Any]]:
        """Yield what the process has said."""
        with suppress(EOFError, OSError):
            while self.line.poll():
                yield self.line.recv()

    def end(self) -> None:
        """Kill the process; also one that computes in C and hears nothing."""
        self.process.kill()
        self.process.join()
        self.line.close()
        self._held.close()

    def why(self) -> str:
        """Return how the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        more = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{more}"


@dataclass
class _Crew:
    """All processes, and what is left to compute."""

    chunks: Sequence[Chunk]
    manner: Manner
    crashes: Counter[str]
    desk: Desk | None = None

    def __post_init__(self) -> None:
        self._waiting = deque(self.chunks)
        self._workers: list[_Worker] = []

    def work(self, workers: int) -> None:
        """Compute everything, or as much as is wanted."""
        while self.desk is None or self.desk.wanted():
            self._hand_out(workers)
            busy = [worker for worker in self._workers if worker.chunk]
            if not busy:
                return
            ready = wait([end for w in busy for end in (w.line, w.process.sentinel)], self._patience())
            for worker in busy:
                if worker.line in ready or worker.process.sentinel in ready:
                    self._listen(worker)
                if worker.process.sentinel in ready:  # a child of a plugin's may still hold the line
                    self._mourn(worker)
            self._stop_overdue()

    def end(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _hand_out(self, workers: int) -> None:
        while self._waiting:
            if not worth_trying(self._waiting[0], self.crashes):
                self._waiting.popleft()
                continue
            if not self._waiting[0].looking and any(w.chunk and w.chunk.looking for w in self._workers):
                return
            idle = [worker for worker in self._workers if not worker.chunk]
            if not idle and len(self._workers) >= workers:
                return
            if not idle:
                self._workers.append(_Worker(self.manner, self.desk.origin if self.desk else None))
                idle = self._workers[-1:]
            idle[0].give(self._waiting.popleft())

    def _patience(self) -> float | None:
        """Return how long to wait for a word at most."""
        most = None if self.desk is None else SECONDS_BETWEEN_LOOKS
        if self.manner.timeout is None:
            return most
        now = time.monotonic()
        begun = [worker.since for worker in self._workers]
        first = min(now if since is None else since for since in begun)  # what begins later is late later
        left = max(0.0, first + self.manner.timeout - now)
        return left if most is None else min(left, most)

    def _stop_overdue(self) -> None:
        for worker in list(self._workers):
            if self._late(worker) is not None:
                self._listen(worker)  # it may have ended just now
                late = self._late(worker)
                if late is not None:
                    why = f"it took longer than {self.manner.timeout:g} s, the timeout, and was stopped"
                    self._bury(worker, why, late)

    def _late(self, worker: _Worker) -> int | None:
        """Return the position of the cell that the process has been at for too long, if it has."""
        at, since = worker.under_way, worker.since
        if self.manner.timeout is None or at is None or since is None:
            return None
        return at if time.monotonic() - since >= self.manner.timeout else None

    def _listen(self, worker: _Worker) -> None:
        for word, content in worker.heard():
            if word == "ready":
                worker.ready = True
            elif word == "refused":
                raise SettingError(content)
            elif word == "ended":
                for at, outcome in content:
                    self._take(worker, at, outcome)
            elif word == "foretold" and worker.chunk:
                at, seconds = content
                worker.chunk.hears.foretold(worker.positions[at], seconds)
            elif word == "failed":
                self._fail(worker, *content)
            elif word == "trouble":
                self._close(worker, *content)
            else:
                self._close(worker, spent=content)

    def _take(self, worker: _Worker, at: int, outcome: Any) -> None:
        """Pass on what came of one cell, or that the checkpoint cannot be read."""
        assert worker.chunk is not None
        if at < 0:
            worker.chunk.hears.unreadable(outcome)
            worker.chunk.leave_out(outcome.step)
        else:
            worker.chunk.hears.ended(worker.positions[at], outcome)
            del worker.chunk.orders[worker.positions[at]]

    def _fail(self, worker: _Worker, places: Sequence[int], why: str) -> None:
        """Pass on why there is nothing of some cells."""
        assert worker.chunk is not None
        for position in () if worker.chunk.looking else [worker.positions[at] for at in places]:
            worker.chunk.hears.failed(position, why)
            del worker.chunk.orders[position]

    def _close(
        self,
        worker: _Worker,
        of_the_run: type[GrokscopeError] | None = None,
        trouble: str = "",
        spent: Any = None,
    ) -> None:
        """The chunk is done: cells of which nothing was heard were not tried, or the run is in trouble."""
        chunk = worker.chunk
        assert chunk is not None
        if of_the_run:
            chunk.hears.troubled(of_the_run, trouble)
        elif not chunk.looking:
            for position in chunk.orders:
                chunk.hears.failed(position, "")
        worker.chunk = None
        chunk.hears.closed(spent)

    def _mourn(self, worker: _Worker) -> None:
        """A process has died: the cell that it was at is tried once more."""
        at, chunk, how = worker.under_way, worker.chunk, worker.why()
        if chunk is None or at is None or at in chunk.died:
            self._bury(worker, f"its process died {'' if at is None else 'twice '}({how})", at)
        else:
            chunk.died.add(at)
            self._bury(worker)

    def _bury(self, worker: _Worker, why: str = "", guilty: int | None = None) -> None:
        """A process has come to its end.

        The cell that is `guilty` fails; all that nothing is known of waits for another process.
        """
        worker.end()
        self._workers.remove(worker)
        chunk = worker.chunk
        if not worker.ready:
            raise GrokscopeError(
                f"a process to compute in cannot be started: {why}; a script that asks for such needs "
                "`if __name__ == '__main__':` around what it does"
            )
        if chunk is None or chunk.looking:
            return
        if guilty is not None:
            measure = chunk.orders.pop(guilty).measure
            chunk.hears.crashed(guilty, why)
            self._count(measure)
        chunk.tries = chunk.tries + 1 if why and guilty is None else 0
        if chunk.tries < MOST_TRIES:
            self._waiting.extendleft([chunk] if chunk.orders else [])
        elif len(chunk.steps) > 1:  # which of them is it?
            self._waiting.extendleft(reversed(chunk.apart()))
        else:
            for position in chunk.orders:
                chunk.hears.failed(position, f"{why} while the checkpoint was opened")
        chunk.hears.closed(None)

    def _count(self, measure: str) -> None:
        self.crashes[measure] += 1
        if self.crashes[measure] == MOST_CRASHES:
            for worker in self._workers:
                worker.ban(measure)
