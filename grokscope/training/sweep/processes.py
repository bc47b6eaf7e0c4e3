"""Trains units in processes of their own, one thread each: one that dies costs its unit, and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from grokscope.discovery import load_plugins
from grokscope.run.sites import Site
from grokscope.streams import guarded_streams
from grokscope.surroundings import OF_THE_GROUP, signals_blocked, take_environment
from grokscope.training.sweep.account import Accounting, FailedRun, Outcome
from grokscope.training.sweep.here import SECONDS_BETWEEN_WORDS, train_unit
from grokscope.training.sweep.units import Unit

if TYPE_CHECKING:
    from grokscope.cluster.origin import Origin

PRELOADED = ["__main__", "grokscope.training.loop", "grokscope.training.sweep.processes"]


def train_in_processes(
    units: Iterable[Unit],
    workers: int,
    account: Accounting,
    stop: Callable[[], bool],
    *,
    without: Sequence[str],
    origin: Origin | None = None,
) -> None:
    """Train `units`, at most `workers` at a time; when `stop` says so, all end with a checkpoint.

    Processes load all plugins but those `without`. Names mean there what they mean at `origin`.
    """
    waiting = deque(units)
    crew: dict[Connection, _Worker] = {}
    try:
        while crew or waiting:
            if stop():
                waiting.clear()
                for worker in crew.values():
                    worker.ask_to_stop()
            while waiting and len(crew) < workers:
                worker = _Worker(account, stop, without, origin)
                crew[worker.line] = worker
            for worker in crew.values():
                worker.give(waiting)
            for line in wait(list(crew), SECONDS_BETWEEN_WORDS):
                assert isinstance(line, Connection)
                if not crew[line].listen():
                    del crew[line]
    finally:  # also when the caller was interrupted: no process is left behind, each writes its checkpoint
        for worker in crew.values():
            worker.ask_to_stop()
        for worker in crew.values():
            worker.wait()


class _Worker:
    """A process that trains one unit after the other, seen from here."""

    def __init__(
        self, account: Accounting, stop: Callable[[], bool], without: Sequence[str], origin: Origin | None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.line, theirs = context.Pipe()
        self._account, self._stop = account, stop
        self._runs: list[Site] = []  # those of its unit that have not ended
        self._asked = False
        self._process = context.Process(
            target=_work, args=(theirs, dict(os.environ), without, origin), daemon=True
        )
        with signals_blocked(["SIGINT"]):  # Ctrl-C reaches the whole group: this process decides
            self._process.start()
        theirs.close()

    def give(self, waiting: deque[Unit]) -> None:
        """Give the process its next unit, if it has none; without one it may go."""
        if self._runs or self._asked:
            return
        if not waiting:
            self.ask_to_stop()
            return
        unit = waiting.popleft()
        self._runs = [run.path for run in unit.runs]
        with suppress(OSError):  # it has died, and `listen` will say so
            self.line.send(unit)

    def ask_to_stop(self) -> None:
        """Ask the process to finish its step, write a checkpoint and go."""
        if not self._asked:
            self._asked = True
            with suppress(OSError):
                self.line.send(None)

    def listen(self) -> bool:
        """Take what the process has to say; False when it has ended and everything is said."""
        try:
            word, path, content = self.line.recv()
        except (EOFError, OSError):
            self._end()
            return False
        if word == "ended":
            self._close(path, content)
        else:
            getattr(self._account, word)(path, content)
        return True

    def wait(self) -> None:
        """Wait until the process has gone, whatever it has to say."""
        with suppress(EOFError, OSError):
            while True:
                self.line.recv()
        self._process.join()

    def _close(self, path: Site, outcome: Outcome) -> None:
        if outcome is False and not self._asked and not self._stop():
            outcome = FailedRun(path, "its process was told to stop by a signal")
        self._account.ended(path, outcome)
        self._runs.remove(path)

    def _end(self) -> None:
        self._process.join()
        self.line.close()
        for path in tuple(self._runs):
            self._close(path, FailedRun(path, f"its process died ({self._why()}); its checkpoints are kept"))

    def _why(self) -> str:
        code = self._process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class _Line:
    """The connection to the sweep, seen from a process that trains."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._looked = time.monotonic()
        self._stop = False

    def units(self) -> Iterator[Unit]:
        """Yield the units to train until there is none, or nobody who asks for one."""
        with suppress(EOFError, OSError):
            while (unit := self._connection.recv()) is not None:
                self._stop = False
                yield unit

    def reached(self, path: Site, step: int) -> None:
        self._tell("reached", path, step)

    def said(self, path: Site, message: str) -> None:
        self._tell("said", path, message)

    def ended(self, path: Site, outcome: Outcome) -> None:
        self._tell("ended", path, outcome)

    def _tell(self, word: str, path: Site, content: Any) -> None:
        with suppress(OSError):  # nobody may be there to read it
            self._connection.send((word, path, content))

    def terminated(self, *_: object) -> None:
        self._stop = True

    def stop(self) -> bool:
        """Whether there is a word - it can only be to stop - or the sweep's process is gone."""
        if not self._stop and time.monotonic() - self._looked > SECONDS_BETWEEN_WORDS:
            self._looked = time.monotonic()
            self._stop = self._connection.poll()
        return self._stop


def _work(
    connection: Connection, variables: Mapping[str, str], without: Sequence[str], origin: Origin | None
) -> None:
    take_environment(variables)
    for name in OF_THE_GROUP:  # the sweep decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    line = _Line(connection)
    signal.signal(signal.SIGTERM, line.terminated)
    with guarded_streams(data=False):
        if origin:
            origin.enter()
        plugins = load_plugins(without=without)
        for unit in line.units():
            train_unit(unit, plugins, line, line.stop)
