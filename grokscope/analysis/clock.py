"""Where the time of an analysis goes: each part's own, without that of the parts within it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

OWN, SHARED = "own", "shared"


class Spent(NamedTuple):
    """What one part took.

    Attributes:
        part: a measure's title, or what it is that measures share.
        kind: `own` of a measure, or `shared`.
        times: how often it ran: of a measure at how many checkpoints.
        seconds: all of them together, by the clock on the wall.
        cpu: seconds of them in which its thread computed.
    """

    part: str
    kind: str
    times: int
    seconds: float
    cpu: float


class Clock:
    """Adds up what parts take. Parts within a part count for themselves, and not for it."""

    def __init__(self) -> None:
        self._spent: dict[tuple[str, str], list[float]] = {}
        self._open: list[tuple[str, str]] = []
        self._since = (0.0, 0.0)

    @contextmanager
    def running(self, part: str, kind: str) -> Iterator[None]:
        """Count the block's time for a part."""
        self._turn()
        self._open.append((part, kind))
        try:
            yield
        finally:
            self._turn()
            self._open.pop()
            self._spent[part, kind][0] += 1

    def _turn(self) -> None:
        """Count what has passed since the last turn for the innermost part."""
        now = (time.perf_counter(), time.thread_time())
        if self._open:
            spent = self._spent.setdefault(self._open[-1], [0, 0.0, 0.0])
            for at, (end, begin) in enumerate(zip(now, self._since, strict=True), 1):
                spent[at] += end - begin
        self._since = now

    def take(self) -> list[Spent]:
        """Return what was spent since the last time this was asked for."""
        taken, self._spent = self._spent, {}
        return [Spent(*part, int(times), *seconds) for part, (times, *seconds) in taken.items()]

    def add(self, others: Iterable[Spent]) -> None:
        """Take in what another process has spent."""
        for each in others:
            spent = self._spent.setdefault((each.part, each.kind), [0, 0.0, 0.0])
            for at, more in enumerate((each.times, each.seconds, each.cpu)):
                spent[at] += more


def timed(clock: Clock | None, part: str, kind: str = SHARED) -> AbstractContextManager[None]:
    """Count the block's time where there is a clock."""
    return nullcontext() if clock is None else clock.running(part, kind)
