"""Who is at work on a run just now: the process that records it, and the one that watches it and measures.

Told by locks that end with their process, however it ends. Nothing that is stored rests on them: where a file
system has none, work may be done twice, and that is all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from grokscope.run.config import RUN_FILE
from grokscope.run.sites import Site, Url

WRITING = "checkpoints"  # locked by who records


class Hold:
    """A lock on a file or folder until `release`, or until this process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


def hold(path: Site, *, alone: bool, wait: bool = True) -> Hold | None:
    """Return a lock on `path`, `alone` or together with others; None where there is none to be had.

    With `wait` it is waited for.
    """
    if isinstance(path, Url):
        return None
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BaseException as error:  # also the signal that ends the waiting
        os.close(descriptor)
        if isinstance(error, OSError):
            return None
        raise
    return Hold(descriptor)


@contextmanager
def by_turns(runs: Iterable[Site]) -> Iterator[None]:
    """Let one process at a time that asks for it work on the runs; another waits."""
    with ExitStack() as stack:
        for run in sorted({path.resolve() for path in runs}, key=str):
            held = hold(run / RUN_FILE, alone=True)
            if held:
                stack.callback(held.release)
        yield


def is_written(run: Path) -> bool:
    """Return whether a living process on this machine records the run."""
    held = hold(run / WRITING, alone=True, wait=False)
    if held:
        held.release()
    return held is None and (run / WRITING).is_dir()
