"""Tells a signal that reached this process from an exception that a measure raised itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """What signal handlers have raised; `raised` is the latest of it."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None

    def raise_any(self) -> None:
        """Raise what a handler raised, also when a measure has caught it on the way."""
        if self.raised is not None:
            raise self.raised

    def noting(self, handler: Callable[[int, FrameType | None], Any]) -> Callable[..., None]:
        """Return the handler, noting what it raises."""

        def note(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                self.raised = error
                raise

        return note


@contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """Note for the block what signal handlers raise: Ctrl-C, or whatever the program does with signals."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():  # no handler runs here
        yield interrupts
        return
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    replaced = {}
    for number, handler in handlers.items():
        if callable(handler):
            replaced[number] = interrupts.noting(handler)
            signal.signal(number, replaced[number])
    try:
        yield interrupts
    finally:
        for number, note in replaced.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handlers[number])
