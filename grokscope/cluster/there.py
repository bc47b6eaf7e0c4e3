"""Work as a Dask worker sees it: whether it may do it, whether it is still wanted, whom to tell of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from grokscope.cluster.origin import Origin
from grokscope.run.sites import Site

_stopped: set[str] = set()
"""The works that are to be brought to an end."""


@dataclass(frozen=True)
class Unlike:
    """Why a Dask worker did not do its work: in what it is unlike the process that sent it."""

    worker: str
    difference: str


@dataclass(frozen=True)
class Desk:
    """What work needs to know of where it is done, and of who has sent it.

    Attributes:
        origin: the process that has sent it.
        work: names all that was sent together.
        wanted: whether anybody still waits for it.
        tell: sends a message, of plain values, to who has sent the work.
    """

    origin: Origin
    work: str
    wanted: Callable[[], bool]
    tell: Callable[[Any], None]

    @property
    def stopped(self) -> bool:
        """Whether the work is to be brought to an end."""
        return self.work in _stopped or not self.wanted()


def stop(work: str) -> None:
    """Have all work of that name in this process come to an end."""
    _stopped.add(work)


def do(
    origin: Origin,
    work: str,
    paths: Iterable[str | Site],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> Any:
    """Return what `function` gives for a desk and `arguments`, in a process that is like the origin.

    Else return in what it is unlike; `paths` must be there to be seen.
    """
    from distributed import get_worker

    worker = get_worker()
    difference = origin.unlike() or next(filter(None, map(origin.unseen, paths)), "")
    if difference:
        return Unlike(worker.address, difference)
    _allow_children()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    return function(Desk(origin, work, wanted, lambda said: worker.log_event(work, said)), *arguments)


def _allow_children() -> None:
    """Let this process start others: a Dask worker is a daemon, which may not, lest it leaves them behind.

    Those that compute end with the process that started them, however that ends.
    """
    import multiprocessing

    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
