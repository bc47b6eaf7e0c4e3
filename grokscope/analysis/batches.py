"""Chunks on a Dask cluster: how many travel together, and what is done where one of them is lost."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grokscope.analysis.chunks import Chunk, worth_trying
from grokscope.analysis.clock import Spent
from grokscope.analysis.ledger import Failure
from grokscope.analysis.worker import Order
from grokscope.analysis.workers import Manner, execute
from grokscope.cluster import Cluster, Job, Lost
from grokscope.cluster.there import Desk
from grokscope.errors import GrokscopeError
from grokscope.run import Cell

SECONDS = 4.0  # that a batch is to take: a process is started for each, and a worker that dies costs one
MOST_CELLS = 2000  # in a batch, so that no message grows large
BEFORE_THE_END = 2  # batches that are left for each thread when they begin to shrink, so that all end at once


@dataclass(frozen=True)
class Parcel:
    """A chunk as it travels: without who hears of it."""

    path: str
    orders: dict[int, Order]
    looking: bool


@dataclass(frozen=True)
class Report:
    """What became of a batch: of each parcel the words to be heard of it, and the seconds it took."""

    words: Sequence[Sequence[tuple[str, tuple[Any, ...]]]]
    seconds: float


def execute_on(cluster: Cluster, chunks: Iterable[Chunk], manner: Manner) -> None:
    """Compute all missing cells on a cluster, as `workers.execute` does on this machine.

    Raises GrokscopeError when the scheduler is gone, or a worker is unlike this process.
    """
    crashes: Counter[str] = Counter()
    chunks = list(chunks)
    for looking in (True, False):
        line = _Line([chunk for chunk in chunks if chunk.looking is looking], manner, crashes)
        for batch, report in cluster.work(line.give):
            line.take(batch, report)


class _Line:
    """The chunks that wait, how many of them a batch has, and what came of those that were sent."""

    def __init__(self, chunks: Sequence[Chunk], manner: Manner, crashes: Counter[str]) -> None:
        self._waiting = deque(chunks)
        self._alone: deque[Chunk] = deque()
        """Chunks that travelled with others when all were lost: which of them was it?"""
        self._manner, self._crashes = manner, crashes
        self._pace: float | None = None

    def give(self, threads: int) -> Job[list[Chunk]] | None:
        """Return the next batch."""
        while self._alone or self._waiting:
            batch = [self._alone.popleft()] if self._alone else self._next(threads)
            batch = [chunk for chunk in batch if worth_trying(chunk, self._crashes)]
            if batch:
                parcels = [Parcel(chunk.path, chunk.orders, chunk.looking) for chunk in batch]
                arguments = parcels, self._manner, dict(self._crashes)
                return Job(batch, {chunk.path for chunk in batch}, compute, arguments)
        return None

    def _next(self, threads: int) -> list[Chunk]:
        size, cells = self._size(threads), 0
        batch: list[Chunk] = []
        while self._waiting and len(batch) < size and cells < MOST_CELLS:
            batch.append(self._waiting.popleft())
            cells += len(batch[-1].orders)
        return batch

    def _size(self, threads: int) -> int:
        if self._pace is None:
            return 1
        fair = math.ceil(len(self._waiting) / (BEFORE_THE_END * threads))
        return max(1, min(fair, int(SECONDS / self._pace)))

    def take(self, batch: Sequence[Chunk], report: Report | Lost) -> None:
        """Have what became of a batch heard."""
        if isinstance(report, Lost):
            self._lose(batch)
            return
        pace = report.seconds / len(batch)
        self._pace = pace if self._pace is None else (self._pace + pace) / 2
        for chunk, words in zip(batch, report.words, strict=True):
            for word, said in words:
                if word == "crashed":
                    self._crashes[chunk.orders[said[0]].measure] += 1
                getattr(chunk.hears, word)(*said)

    def _lose(self, batch: Sequence[Chunk]) -> None:
        if len(batch) > 1:
            self._alone += batch
            return
        for chunk in batch:
            for position in () if chunk.looking else chunk.orders:
                chunk.hears.failed(position, "the Dask workers that were at its checkpoint died, one by one")
            chunk.hears.closed(None)


def compute(desk: Desk, parcels: Sequence[Parcel], manner: Manner, crashes: dict[str, int]) -> Report:
    """Compute a batch in a process of its own, where a Dask worker is told to; return what becomes of it."""
    begin = time.monotonic()
    heard = [_Noted() for _ in parcels]
    chunks = [
        Chunk(parcel.path, dict(parcel.orders), hears, parcel.looking)
        for parcel, hears in zip(parcels, heard, strict=True)
    ]
    execute(chunks, manner, 1, crashes=crashes, desk=desk)
    return Report([hears.words for hears in heard], time.monotonic() - begin)


class _Noted:
    """Notes what is to be heard of a chunk, for who has sent it."""

    def __init__(self) -> None:
        self.words: list[tuple[str, tuple[Any, ...]]] = []

    @property
    def in_trouble(self) -> bool:
        return any(word == "troubled" for word, _ in self.words)

    def ended(self, position: int, outcome: Cell | Failure) -> None:
        self.words.append(("ended", (position, outcome)))

    def foretold(self, position: int, seconds: float) -> None:
        """It would be heard when all is done."""

    def unreadable(self, failure: Failure) -> None:
        self.words.append(("unreadable", (failure,)))

    def failed(self, position: int, why: str) -> None:
        self.words.append(("failed", (position, why)))

    def crashed(self, position: int, why: str) -> None:
        self.words.append(("crashed", (position, why)))

    def troubled(self, kind: type[GrokscopeError], why: str) -> None:
        self.words.append(("troubled", (kind, why)))

    def closed(self, spent: Iterable[Spent] | None) -> None:
        self.words.append(("closed", (spent,)))
