"""Trains runs in processes of their own, one thread each: one that dies costs its run, and no other."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Protocol

from grokscope.discovery import load_plugins
from grokscope.errors import GrokscopeError, described, told
from grokscope.registry import Plugins
from grokscope.run.sites import Site
from grokscope.streams import guarded_streams
from grokscope.surroundings import OF_THE_GROUP, signals_blocked
from grokscope.training.progress import Progress
from grokscope.training.session import is_finished, train
from grokscope.training.sweep.account import FailedRun, Outcome
from grokscope.training.sweep.grid import PlannedRun

if TYPE_CHECKING:
    from grokscope.cluster.origin import Origin

SECONDS_BETWEEN_WORDS = 0.1  # a step may take less than telling of it
PRELOADED = ["__main__", "grokscope.training.loop", "grokscope.training.sweep.processes"]


def train_one(
    planned: PlannedRun,
    plugins: Plugins,
    *,
    progress: Callable[[int], None],
    stop: Callable[[], bool],
    notify: Callable[[str], None],
) -> Outcome:
    """Train one run in this process; whatever goes wrong with it is returned and not raised."""
    last = time.monotonic()

    def watch(state: Progress) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_WORDS:
            progress(state.step)
            last = time.monotonic()

    try:
        run = train(
            planned.task,
            recipe=planned.recipe,
            settings=planned.settings,
            out=str(planned.path),
            tasks=plugins.tasks,
            models=plugins.models,
            progress=watch,
            stop=stop,
            notify=notify,
        )
    except GrokscopeError as error:
        return FailedRun(planned.path, told(error))
    except (Exception, SystemExit) as error:  # a plugin's task that calls sys.exit must not end the others
        return FailedRun(planned.path, described(error), traceback.format_exc())
    return is_finished(run)


class Accounting(Protocol):
    """Takes what becomes of runs, as `Account` does."""

    def reached(self, path: Site, step: int) -> None:
        """Take how far a run is."""

    def said(self, path: Site, message: str) -> None:
        """Take what the training of a run had to say."""

    def ended(self, path: Site, outcome: Outcome) -> None:
        """Take how the training of a run ended."""


def train_in_processes(
    planned: Iterable[PlannedRun],
    workers: int,
    account: Accounting,
    stop: Callable[[], bool],
    *,
    without: Sequence[str],
    origin: Origin | None = None,
) -> None:
    """Train `planned`, at most `workers` at a time; when `stop` says so, all end with a checkpoint.

    Processes load all plugins but those `without`. Names mean there what they mean at `origin`.
    """
    waiting = deque(planned)
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
    """A process that trains one run after the other, seen from here."""

    def __init__(
        self, account: Accounting, stop: Callable[[], bool], without: Sequence[str], origin: Origin | None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.line, theirs = context.Pipe()
        self._account, self._stop = account, stop
        self._run: PlannedRun | None = None
        self._asked = False
        self._process = context.Process(target=_work, args=(theirs, without, origin), daemon=True)
        with signals_blocked(["SIGINT"]):  # Ctrl-C reaches the whole group: this process decides
            self._process.start()
        theirs.close()

    def give(self, waiting: deque[PlannedRun]) -> None:
        """Give the process its next run, if it has none; without one it may go."""
        if self._run is not None or self._asked:
            return
        if not waiting:
            self.ask_to_stop()
            return
        self._run = waiting.popleft()
        with suppress(OSError):  # it has died, and `listen` will say so
            self.line.send(self._run)

    def ask_to_stop(self) -> None:
        """Ask the process to finish its step, write a checkpoint and go."""
        if not self._asked:
            self._asked = True
            with suppress(OSError):
                self.line.send(None)

    def listen(self) -> bool:
        """Take what the process has to say; False when it has ended and everything is said."""
        try:
            kind, content = self.line.recv()
        except (EOFError, OSError):
            self._end()
            return False
        assert self._run is not None
        if kind == "step":
            self._account.reached(self._run.path, content)
        elif kind == "said":
            self._account.said(self._run.path, content)
        else:
            self._close(content)
        return True

    def wait(self) -> None:
        """Wait until the process has gone, whatever it has to say."""
        with suppress(EOFError, OSError):
            while True:
                self.line.recv()
        self._process.join()

    def _close(self, outcome: Outcome) -> None:
        assert self._run is not None
        if outcome is False and not self._asked and not self._stop():
            outcome = FailedRun(self._run.path, "its process was told to stop by a signal")
        self._account.ended(self._run.path, outcome)
        self._run = None

    def _end(self) -> None:
        self._process.join()
        self.line.close()
        if self._run is not None:
            self._close(
                FailedRun(self._run.path, f"its process died ({self._why()}); its checkpoints are kept")
            )

    def _why(self) -> str:
        code = self._process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class _Line:
    """The connection to the sweep, seen from a process that trains."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._looked = time.monotonic()
        self._stop = False

    def runs(self) -> Iterator[PlannedRun]:
        """Yield the runs to train until there is none, or nobody who asks for one."""
        with suppress(EOFError, OSError):
            while (planned := self._connection.recv()) is not None:
                self._stop = False
                yield planned

    def tell(self, kind: str, content: Any) -> None:
        with suppress(OSError):  # nobody may be there to read it
            self._connection.send((kind, content))

    def terminated(self, *_: object) -> None:
        self._stop = True

    def stop(self) -> bool:
        """Whether there is a word - it can only be to stop - or the sweep's process is gone."""
        if not self._stop and time.monotonic() - self._looked > SECONDS_BETWEEN_WORDS:
            self._looked = time.monotonic()
            self._stop = self._connection.poll()
        return self._stop


def _work(connection: Connection, without: Sequence[str], origin: Origin | None) -> None:
    for name in OF_THE_GROUP:  # the sweep decides
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    line = _Line(connection)
    signal.signal(signal.SIGTERM, line.terminated)
    with guarded_streams(data=False):
        if origin:
            origin.enter()
        plugins = load_plugins(without=without)
        for planned in line.runs():
            outcome = train_one(
                planned,
                plugins,
                progress=lambda step: line.tell("step", step),
                stop=line.stop,
                notify=lambda message: line.tell("said", message),
            )
            line.tell("ended", outcome)
