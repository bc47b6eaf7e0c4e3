"""What is computed in one go, apart from this process, and who hears what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from grokscope.analysis.clock import Clock, Spent
from grokscope.analysis.ledger import Failure, Ledger, failure
from grokscope.analysis.plan import PlannedCell
from grokscope.analysis.watched import Watched
from grokscope.analysis.worker import Order
from grokscope.errors import GrokscopeError
from grokscope.run import Cell

MOST_TOGETHER = 32  # checkpoints in a chunk
CHUNKS_EACH = 4  # that a process gets at least where checkpoints travel together
MOST_CRASHES = 3  # of one measure; after these its other cells are not tried
UNTRIED = f"not tried, since it crashed or ran out of time {MOST_CRASHES} times"


class Hears(Protocol):
    """Hears what becomes of a chunk's cells, which it knows by their positions."""

    @property
    def in_trouble(self) -> bool:
        """Whether the run cannot be computed or stored to, so that its other cells need not be tried."""

    def ended(self, position: int, outcome: Cell | Failure) -> None:
        """Take what came of a cell."""

    def foretold(self, position: int, seconds: float) -> None:
        """Take how long a cell, which has begun, will take."""

    def unreadable(self, failure: Failure) -> None:
        """Take why the checkpoint cannot be read."""

    def failed(self, position: int, why: str) -> None:
        """Take why there is nothing of a cell; without a reason it was not tried, see `UNTRIED`."""

    def crashed(self, position: int, why: str) -> None:
        """Take how the process ended that computed a cell."""

    def troubled(self, kind: type[GrokscopeError], why: str) -> None:
        """Take why the run cannot be computed."""

    def closed(self, spent: Iterable[Spent] | None) -> None:
        """Take that for now there is no more to hear of the chunk, and what its time went to."""


@dataclass
class Chunk:
    """Missing cells of one checkpoint of a run, or of several that take little, as they travel.

    Or, `looking`, cells whose data is only looked for; these come first, and before all are done nothing is
    computed.

    Attributes:
        path: the run's directory.
        orders: what nothing has been heard of yet, by position, in the order of their checkpoints.
        hears: who is told.
        tries: how many processes in a row died before they came to a measure.
        died: the positions of cells at which a process died once.
    """

    path: str
    orders: dict[int, Order]
    hears: Hears
    looking: bool = False
    tries: int = 0
    died: set[int] = field(default_factory=set)

    @property
    def steps(self) -> set[int]:
        """The steps of the checkpoints."""
        return {order.step for order in self.orders.values()}

    def leave_out(self, step: int) -> None:
        """Take all cells of a checkpoint out."""
        self.orders = {at: order for at, order in self.orders.items() if order.step != step}

    def apart(self) -> list[Chunk]:
        """Return a chunk for each checkpoint."""
        own = {step: [at for at, order in self.orders.items() if order.step == step] for step in self.steps}
        return [
            replace(self, orders={at: self.orders[at] for at in own[step]}, tries=0) for step in sorted(own)
        ]


def worth_trying(chunk: Chunk, crashes: Mapping[str, int]) -> bool:
    """Take the cells that are not tried any more out of the chunk; return whether any is left."""
    if chunk.hears.in_trouble:
        return False
    hopeless = [at for at, order in chunk.orders.items() if crashes.get(order.measure, 0) >= MOST_CRASHES]
    for position in hopeless:
        del chunk.orders[position]
        chunk.hears.failed(position, "")
    return bool(chunk.orders)


class Entry:
    """Enters what becomes of a chunk's cells into the ledger of their run."""

    def __init__(
        self,
        ledger: Ledger,
        cells: Sequence[PlannedCell],
        watched: Watched,
        clock: Clock | None,
    ) -> None:
        self._ledger, self._cells, self._watched, self._clock = ledger, cells, watched, clock

    @property
    def in_trouble(self) -> bool:
        """Whether the ledger takes nothing more."""
        return self._ledger.trouble is not None

    def ended(self, position: int, outcome: Cell | Failure) -> None:
        """Enter what came of a cell."""
        self._ledger.take(outcome)
        self._watched.finished(self._cells[position])

    def foretold(self, position: int, seconds: float) -> None:
        """Have it said how long a cell will take."""
        self._watched.foretold(self._cells[position], seconds)

    def unreadable(self, failure: Failure) -> None:
        """Enter why the checkpoint cannot be read."""
        self._ledger.take(failure)

    def failed(self, position: int, why: str) -> None:
        """Enter why there is nothing of a cell."""
        self.ended(position, failure(self._cells[position], why or UNTRIED, tried=bool(why)))

    crashed = failed

    def troubled(self, kind: type[GrokscopeError], why: str) -> None:
        """Have the ledger take nothing more."""
        self._ledger.trouble = kind(why)

    def closed(self, spent: Iterable[Spent] | None) -> None:
        """Store what has come together."""
        if self._clock and spent:
            self._clock.add(spent)
        self._ledger.checkpoint_done()


def together(missing: Mapping[int, Sequence[PlannedCell]], processes: int) -> list[list[PlannedCell]]:
    """Return the cells of each chunk, by step.

    Checkpoints of which weights alone are looked at take less than a chunk's way to a process and back:
    several travel together, as long as every process gets some chunks, so that all end at once.
    """
    found: list[list[PlannedCell]] = []
    most = max(1, min(MOST_TOGETHER, len(missing) // (CHUNKS_EACH * processes)))
    size = most
    for step in sorted(missing):
        cheap = not any(cell.needs_network for cell in missing[step])
        if cheap and size < most:
            found[-1] += missing[step]
            size += 1
        else:
            found.append(list(missing[step]))
            size = 1 if cheap else most
    return found


def chunk_of(
    ledger: Ledger,
    cells: Sequence[PlannedCell],
    watched: Watched,
    clock: Clock | None,
    *,
    looking: bool = False,
) -> Chunk:
    """Return the chunk of some cells, or of cells whose data is looked for."""
    orders = {position: Order.of(cell) for position, cell in enumerate(cells)}
    return Chunk(str(ledger.run.path), orders, Entry(ledger, cells, watched, clock), looking)
