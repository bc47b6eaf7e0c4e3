"""A process that computes, seen from inside: it takes checkpoints from a line and tells of every cell.

Imports no torch by itself: whoever starts such a process names this module too.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING, Any, NamedTuple

from grokscope.analysis.clock import Clock
from grokscope.analysis.plan import Place, PlannedCell
from grokscope.discovery import MEASURING, load_plugins
from grokscope.errors import DamagedFile, DataError, GrokscopeError, PluginError, RunError, told
from grokscope.registry import Registered
from grokscope.run import CellKey, Run
from grokscope.streams import guarded_streams
from grokscope.surroundings import SIGNALS, take_environment

if TYPE_CHECKING:
    from grokscope.analysis.engine import Bench, Isolation
    from grokscope.cluster.origin import Origin

SECONDS_BETWEEN_WORDS = 0.05  # about what came of cells: several cheap ones are told of together


class Order(NamedTuple):
    """A planned cell as it travels to another process: measures are named, not pickled."""

    measure: str
    step: int
    parameters: Mapping[str, Any]
    baseline: int | None
    key: CellKey

    @classmethod
    def of(cls, cell: PlannedCell) -> Order:
        """Return the order for a cell."""
        baseline = cell.baseline.step if cell.baseline else None
        return cls(cell.registered.id, cell.checkpoint.step, dict(cell.parameters), baseline, cell.key)


def work(
    line: Connection,
    underway: Underway,
    lifeline: Connection,
    variables: Mapping[str, str],
    place: Place,
    left_out: Sequence[str],
    clocked: bool = False,
    origin: Origin | None = None,
) -> None:
    """Compute what comes along `line` until it closes; end at once when `lifeline` does.

    With `clocked` it tells after every chunk what its time went to. Names mean what they mean at
    `origin`, and `variables` are the environment.
    """
    take_environment(variables)
    leave_signals_to_the_parent()
    die_with(lifeline)
    os.dup2(2, 1)  # what plugins print is no data
    from grokscope.analysis.engine import isolation
    from grokscope.device import find_device

    try:
        if origin:
            origin.enter()
        find_device(place.device, "device")
    except GrokscopeError as error:
        line.send(("refused", told(error)))
        return
    desk = _Desk(line, underway, place, left_out, Clock() if clocked else None)
    line.send(("ready", None))
    with guarded_streams(data=False), isolation() as isolated, suppress(EOFError, OSError):
        while True:
            word, content = line.recv()
            if word == "ban":
                desk.banned.add(content)
                continue
            path, orders = content
            if word == "look":
                desk.look(path, orders)
            else:
                desk.compute(path, orders, isolated)


def leave_signals_to_the_parent() -> None:
    """Ignore what reaches the whole group, as Ctrl-C and the end of a terminal do: the parent decides."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # the server that forks these blocks them
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, [getattr(signal, n) for n in SIGNALS if hasattr(signal, n)]
        )


def die_with(lifeline: Connection) -> None:
    """End this process when the other end of the pipe closes, as it does however its holder ends.

    Linux kills it even while a plugin computes in C and lets no other thread run.
    """
    import fcntl

    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    threading.Thread(target=_wait_for_the_end, args=(lifeline,), daemon=True).start()


def _wait_for_the_end(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()
    os._exit(1)


class Underway:
    """Which of a chunk's cells a process computes, and since when: seen by who started it, however it ends.

    It is memory that both processes have: a word along the line for each cell would take as long as a cheap
    cell does.
    """

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    @classmethod
    def made(cls, context: BaseContext) -> Underway:
        """Return one that can be handed to a process of this context."""
        found = cls(context.RawArray("d", 2))
        found.end()
        return found

    def begin(self, position: int) -> None:
        """Note that a cell begins."""
        self._shared[1] = time.monotonic()
        self._shared[0] = position

    def end(self) -> None:
        """Note that nothing is computed."""
        self._shared[0] = -1

    @property
    def position(self) -> int | None:
        """The cell that is computed; None between two."""
        return None if self._shared[0] < 0 else int(self._shared[0])

    def since(self) -> float | None:
        """Return when the cell began, by the monotonic clock; None between two."""
        return None if self._shared[0] < 0 else float(self._shared[1])


class _Desk:
    """What one process keeps between checkpoints: the plugins, and the run that it was at last."""

    def __init__(
        self, line: Connection, underway: Underway, place: Place, left_out: Sequence[str], clock: Clock | None
    ) -> None:
        self.banned: set[str] = set()
        self._line, self._underway, self._place, self._clock = line, underway, place, clock
        self._words = select.poll()  # asked before each cell, which `line.poll` takes 30 us for
        self._words.register(line, select.POLLIN)
        self._plugins = load_plugins(without=left_out, hooks=MEASURING)
        self._registered: dict[str, Registered] = {r.id: r for r in self._plugins.registered}
        self._path = ""
        self._outcomes: list[tuple[int, Any]] = []
        self._told = 0.0

    def look(self, path: str, orders: Sequence[Order]) -> None:
        """Tell whether the data that cells need is there."""
        if self._ready(path, dict(enumerate(orders))) is not None:
            self._line.send(("done", None))

    def compute(self, path: str, orders: Sequence[Order], isolated: Isolation) -> None:
        """Compute the cells, which are in the order of their checkpoints, and tell what came of them."""
        for _, own in itertools.groupby(enumerate(orders), key=lambda each: each[1].step):
            if not self._compute_checkpoint(path, dict(own), isolated):
                return
        self._tell()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        self._line.send(("done", self._clock.take() if self._clock else None))

    def _compute_checkpoint(self, path: str, orders: Mapping[int, Order], isolated: Isolation) -> bool:
        """Compute one checkpoint's cells; return False where their run is in trouble, which has been told."""
        from grokscope.analysis.engine import compute_checkpoint

        ready = self._ready(path, orders)
        if ready is None:
            return False
        bench, cells = ready
        positions = {id(cell): position for position, cell in cells.items()}
        at = -1

        def begun(cell: PlannedCell) -> bool:
            nonlocal at
            while self._words.poll(0):  # what can come now is that a measure is not to be tried any more
                self.banned.add(self._line.recv()[1])
            if cell.registered.id in self.banned:
                return False
            at = positions[id(cell)]
            self._underway.begin(at)
            return True

        def foretold(cell: PlannedCell, seconds: float) -> None:
            self._line.send(("foretold", (at, float(seconds))))

        found = compute_checkpoint(bench, list(cells.values()), isolated, begun, foretold) if cells else ()
        for outcome in found:
            self._underway.end()
            self._outcomes.append((at, outcome))
            if time.monotonic() - self._told >= SECONDS_BETWEEN_WORDS:
                self._tell()
        return True

    def _tell(self) -> None:
        """Tell what came of cells since the last time."""
        if self._outcomes:
            self._line.send(("ended", self._outcomes))
        self._outcomes, self._told = [], time.monotonic()

    def _ready(self, path: str, orders: Mapping[int, Order]) -> tuple[Bench, dict[int, PlannedCell]] | None:
        """Return the bench and the cells ordered, by position; where the run has neither, tell that.

        Cells that cannot be had alone are told of, and left out.
        """
        from grokscope.analysis.engine import look_for_data

        try:
            bench = self._at(path)
            cells = {position: self._planned(order) for position, order in orders.items()}
            look_for_data(bench, list(cells.values()))
        except (DataError, RunError) as error:
            self._tell()
            self._line.send(("trouble", (type(error), told(error))))
            return None
        except GrokscopeError as error:
            self._tell()
            self._line.send(("failed", (list(orders), told(error))))
            return bench, {}
        return bench, cells

    def _at(self, path: str) -> Bench:
        """Return the bench of the run at `path`; work comes run by run, so one is kept."""
        from grokscope.analysis.engine import Bench

        if path != self._path:
            run = Run.open(path)
            self._bench = Bench(run, self._plugins.tasks, self._plugins.models, self._place, self._clock)
            self._checkpoints = {checkpoint.step: checkpoint for checkpoint in run.checkpoints}
            self._path = path
        return self._bench

    def _planned(self, order: Order) -> PlannedCell:
        """Return the cell that `order` means, of the run that the bench is at."""
        if order.measure not in self._registered:
            raise PluginError(
                f"{order.measure} is not known to processes of their own: they load installed plugins; "
                "compute with workers=1, or install the plugin"
            )
        checkpoint = self._checkpoints.get(order.step)
        if checkpoint is None or checkpoint.sha256 != order.key.checkpoint:
            raise DamagedFile(
                f"{self._path}: the checkpoint at step {order.step} is gone, or was replaced meanwhile"
            )
        return PlannedCell(
            self._registered[order.measure],
            checkpoint,
            order.parameters,
            None if order.baseline is None else self._checkpoints[order.baseline],
            order.key,
        )
