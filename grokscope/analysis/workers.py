"""Computes checkpoints in processes of their own, one for each core.

A plugin that crashes its process, or never ends, costs only its own cell.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from typing import Any

from grokscope.analysis.clock import Clock
from grokscope.analysis.ledger import Failure, Ledger, failure
from grokscope.analysis.plan import Place, PlannedCell
from grokscope.analysis.worker import Order, work
from grokscope.errors import GrokscopeError, SettingError
from grokscope.run import Cell
from grokscope.surroundings import SIGNALS

MOST_CRASHES = 3  # of one measure; after these its other cells are not tried
MOST_TRIES = 2  # of a checkpoint at which a process dies before it comes to a measure
PRELOADED = ["grokscope.analysis.engine", "grokscope.analysis.worker", "h5py"]
Finished = Callable[[PlannedCell], None]


@dataclass
class Chunk:
    """One checkpoint's missing cells, and the ledger of its run.

    Or, `looking`, cells whose data is only looked for; these come first, and before all are done nothing is
    computed.
    """

    ledger: Ledger
    cells: Sequence[PlannedCell]
    tries: int = 0
    looking: bool = False


def execute(
    chunks: Sequence[Chunk],
    finished: Finished,
    *,
    place: Place,
    workers: int,
    timeout: float | None = None,
    left_out: Sequence[str] = (),
    clock: Clock | None = None,
) -> None:
    """Compute all missing cells, of one run or of several, in `workers` processes of one thread each.

    Chunks that look for data come first. A run whose data is not there is in trouble, and not computed.
    The cell during which a process dies, or which takes longer than `timeout` seconds, fails and is named; a
    new process goes on behind it. A measure to which that happens three times is not tried any more. `clock`
    is told what the processes' time went to.

    Raises:
        SettingError: there is no such device.
        GrokscopeError: no process can be started.
    """
    crew = _Crew(chunks, finished, timeout, lambda: _Worker(place, left_out, clock is not None), clock)
    try:
        crew.work(workers)
    finally:  # also when the caller was stopped: nobody waits for what is under way
        crew.end()
        for chunk in chunks:
            chunk.ledger.store()


class _Worker:
    """A process that computes one checkpoint after the other, seen from here."""

    def __init__(self, place: Place, left_out: Sequence[str], clocked: bool) -> None:
        context = _context()
        self.line, theirs = context.Pipe()
        lifeline, self._held = context.Pipe(duplex=False)
        self.process = context.Process(  # type: ignore[attr-defined]
            target=work, args=(theirs, lifeline, place, tuple(left_out), clocked)
        )
        self.process.start()
        theirs.close()
        lifeline.close()
        self.ready = False
        self.chunk: Chunk | None = None
        self.left: dict[int, PlannedCell] = {}
        """The chunk's cells that nothing has been heard of, by position."""
        self.under_way: int | None = None
        self.since = 0.0

    def give(self, chunk: Chunk) -> None:
        """Give the process a checkpoint to compute."""
        self.chunk, self.under_way = chunk, None
        self.left = {} if chunk.looking else dict(enumerate(chunk.cells))
        word = "look" if chunk.looking else "compute"
        with suppress(OSError):  # it has died, and that will be seen
            self.line.send((word, (str(chunk.ledger.run.path), [Order.of(cell) for cell in chunk.cells])))

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
            return f"its process died (exit code {code})"
        more = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
        return f"its process died (killed by {signal.Signals(-code).name}{more})"


@dataclass
class _Crew:
    """All processes, and what is left to compute."""

    chunks: Sequence[Chunk]
    finished: Finished
    timeout: float | None
    hire: Callable[[], _Worker]
    clock: Clock | None = None
    crashes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._waiting = deque(self.chunks)
        self._workers: list[_Worker] = []

    def work(self, workers: int) -> None:
        """Compute everything."""
        while True:
            self._hand_out(workers)
            busy = [worker for worker in self._workers if worker.chunk]
            if not busy:
                return
            ready = wait([end for w in busy for end in (w.line, w.process.sentinel)], self._patience())
            for worker in busy:
                if worker.line in ready or worker.process.sentinel in ready:
                    self._listen(worker)
                if worker.process.sentinel in ready:  # a child of a plugin's may still hold the line
                    self._bury(worker, worker.why())
            self._stop_overdue()

    def end(self) -> None:
        """Leave no process behind."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _hand_out(self, workers: int) -> None:
        while self._waiting:
            if not self._worth_trying(self._waiting[0]):
                self._waiting.popleft()
                continue
            if not self._waiting[0].looking and any(w.chunk and w.chunk.looking for w in self._workers):
                return
            idle = [worker for worker in self._workers if not worker.chunk]
            if not idle and len(self._workers) >= workers:
                return
            if not idle:
                self._workers.append(self.hire())
                idle = self._workers[-1:]
            idle[0].give(self._waiting.popleft())

    def _worth_trying(self, chunk: Chunk) -> bool:
        """Take the cells that are not tried any more out of the chunk; return whether any is left."""
        if chunk.ledger.trouble:
            return False
        hopeless = [c for c in chunk.cells if self.crashes[c.registered.id] >= MOST_CRASHES]
        for cell in hopeless:
            self._fail(chunk, cell, "")
        chunk.cells = [cell for cell in chunk.cells if cell not in hopeless]
        return bool(chunk.cells)

    def _patience(self) -> float | None:
        if self.timeout is None:
            return None
        begun = [worker.since for worker in self._workers if worker.under_way is not None]
        return max(0.0, min(begun) + self.timeout - time.monotonic()) if begun else None

    def _stop_overdue(self) -> None:
        for worker in list(self._workers):
            late = self.timeout is not None and time.monotonic() - worker.since >= self.timeout
            if late and worker.under_way is not None:
                self._listen(worker)  # it may have ended just now
                if worker.under_way is not None:
                    self._bury(
                        worker, f"it took longer than {self.timeout:g} s, the timeout, and was stopped"
                    )

    def _listen(self, worker: _Worker) -> None:
        for word, content in worker.heard():
            if word == "ready":
                worker.ready = True
            elif word == "refused":
                raise SettingError(content)
            elif word == "begun":
                worker.under_way, worker.since = content, time.monotonic()
            elif word == "ended":
                self._take(worker, *content)
            elif word == "trouble":
                self._close(worker, *content)
            else:
                if self.clock:
                    self.clock.add(content)
                self._close(worker)

    def _take(self, worker: _Worker, position: int, outcome: Cell | Failure) -> None:
        """Put away what came of one cell, or that the checkpoint cannot be read."""
        assert worker.chunk is not None
        worker.chunk.ledger.take(outcome)
        worker.under_way = None
        if position in worker.left:
            self.finished(worker.left.pop(position))
        else:
            worker.left.clear()

    def _close(
        self, worker: _Worker, of_the_run: type[GrokscopeError] | None = None, trouble: str = ""
    ) -> None:
        """The chunk is done: cells of which nothing was heard were not tried, or the run is in trouble."""
        chunk = worker.chunk
        assert chunk is not None
        if of_the_run:
            chunk.ledger.trouble = of_the_run(trouble)
        else:
            for cell in worker.left.values():
                self._fail(chunk, cell, trouble)
        worker.chunk, worker.left = None, {}
        chunk.ledger.checkpoint_done()

    def _fail(self, chunk: Chunk, cell: PlannedCell, message: str) -> None:
        untried = f"not tried, since it crashed or ran out of time {MOST_CRASHES} times"
        chunk.ledger.take(failure(cell, message or untried, tried=bool(message)))
        self.finished(cell)

    def _bury(self, worker: _Worker, why: str) -> None:
        """Name the cell during which the process ended; the checkpoint's other cells wait for another."""
        worker.end()
        self._workers.remove(worker)
        chunk = worker.chunk
        if not worker.ready:
            raise GrokscopeError(
                f"a process to compute in cannot be started: {why}; a script that asks for such needs "
                "`if __name__ == '__main__':` around what it does"
            )
        if chunk is None:
            return
        tries = chunk.tries + 1
        if worker.under_way is not None:
            guilty = worker.left.pop(worker.under_way)
            self._fail(chunk, guilty, why)
            self._count(guilty.registered.id)
            tries = 0
        if tries >= MOST_TRIES:
            for cell in worker.left.values():
                self._fail(chunk, cell, f"{why} while the checkpoint was opened")
        elif worker.left:
            self._waiting.appendleft(Chunk(chunk.ledger, list(worker.left.values()), tries))
        chunk.ledger.checkpoint_done()

    def _count(self, measure: str) -> None:
        self.crashes[measure] += 1
        if self.crashes[measure] == MOST_CRASHES:
            for worker in self._workers:
                worker.ban(measure)


def _context() -> BaseContext:
    """Return how processes are started: forked from a server that has torch loaded, where there is such."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with _signals_blocked():
        forkserver.ensure_running()
    return context


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """What is started in the block does not get the signals that reach the whole group."""
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
