"""What is done behind training's back: checkpoints are written while the next steps are computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType


class Behind:
    """Does jobs in a thread of its own, one after the other; at most one waits while one is done.

    What a job raises the next call here raises, or else the end of the block; jobs given after it are not
    done. The block ends when all is done.
    """

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="grokscope checkpoints", daemon=True)

    def __enter__(self) -> Behind:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def give(self, job: Callable[[], None]) -> None:
        """Have a job done; wait where two are given already."""
        self._raise()
        self._jobs.put(job)

    def wait(self) -> None:
        """Return when all that was given is done."""
        self._jobs.join()
        self._raise()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if self._error is None:
                    job()
            except BaseException as error:  # it is raised where somebody hears it
                self._error = error
            finally:
                self._jobs.task_done()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
