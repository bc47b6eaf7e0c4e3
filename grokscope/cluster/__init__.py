"""Sends work to a Dask cluster: whom it reaches, what comes back, and what is said of what was lost."""

from __future__ import annotations

import json
import logging
import math
import queue
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from grokscope.cluster.origin import Origin
from grokscope.cluster.there import Unlike, do, stop
from grokscope.device import cores
from grokscope.errors import GrokscopeError, SettingError, UsageError, described, told
from grokscope.extras import from_extra
from grokscope.run.sites import Site
from grokscope.surroundings import OF_THE_GROUP, signals_blocked

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["LOCAL", "Cluster", "Job", "Lost", "reached", "require_dask"]

LOCAL = "local"
MUST_BE = f"`dask` must be {LOCAL}, the address of a Dask scheduler, or the file that it writes (.json)"
PAUSE = 0.1  # seconds between two looks at whether to stop
SECONDS_BETWEEN_COUNTS = 1.0
ANSWER_WITHIN = "10 s"
T = TypeVar("T")
log = logging.getLogger("grokscope")


@dataclass(frozen=True)
class Job(Generic[T]):
    """A piece of work: what it is about here, and the function that does it there.

    Attributes:
        about: what comes back with its result.
        paths: what must be there to be seen where it is done.
        function: called there with a `Desk` and `arguments`; all of it is pickled.
    """

    about: T
    paths: Collection[str | Site]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Lost(Exception):
    """Stands for the result of work whose workers died, again and again."""


def require_dask() -> None:
    """Raise UsageError where the extra is missing that brings Dask."""
    with from_extra("dask", "a Dask cluster"):
        import distributed  # noqa: F401


class Cluster:
    """A Dask cluster. It is reached when the first work is sent to it.

    Args:
        dask: `local` starts one on this machine; else the address of a scheduler, the file that it writes
            (`--scheduler-file`), or a `distributed.Client`.
        workers: how many computations at a time, for `local`; None is one for every core.
        notify: called with a sentence that the user should know.

    Raises:
        UsageError: Dask is not installed.
        SettingError: `dask` is nothing of that.
    """

    def __init__(self, dask: str | Client, workers: int | None, notify: Callable[[str], None]) -> None:
        require_dask()
        from distributed import Client

        if not dask or not isinstance(dask, (str, Client)):
            raise SettingError(f"{MUST_BE}, got {dask!r}")
        self._dask, self._workers, self._notify = dask, workers or cores(), notify
        self._held = ExitStack()
        self._client: Client | None = None

    @property
    def name(self) -> str:
        """What the scheduler is called in sentences."""
        where = self._dask if isinstance(self._dask, str) else self._dask.scheduler_info()["address"]
        return f"the Dask scheduler at {where}"

    def work(
        self,
        give: Callable[[int], Job[T] | None],
        *,
        spare: int = 2,
        heard: Callable[[Any], None] = lambda said: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[T, Any]]:
        """Yield what every job was about and its result, or Lost, as they come.

        Args:
            give: returns the next job, told how many threads there are; None when there is none left.
            spare: how many jobs are sent for each thread, so that none waits for the next.
            heard: called with what jobs tell.
            stopped: asked all the time; True brings all jobs to an end, and no other is sent.

        Raises:
            GrokscopeError: the scheduler is gone, or a worker is unlike this process; or what a job raised.
        """
        stream: _Stream[T] = _Stream(self._reached(), self.name, self._notify)
        try:
            while True:
                if stopped():
                    stream.stop()
                while stream.has_room(spare) and (job := give(stream.threads)) is not None:
                    stream.send(job)
                if not stream.under_way:
                    return
                yield from stream.come(heard)
        finally:
            stream.close()

    def close(self) -> None:
        """Leave the cluster; end it where it was started here."""
        self._held.close()
        self._client = None

    def _reached(self) -> Client:
        if self._client is None:
            self._client = self._held.enter_context(self._connected())
        return self._client

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        """Yield the client: the one that was given, or one for the block."""
        from distributed import Client

        if isinstance(self._dask, Client):
            yield self._dask
            return
        with _quiet(), ExitStack() as held:
            started = held.enter_context(_started(self._workers)) if self._dask == LOCAL else ""
            try:
                address = started or _address(self._dask)
                client = Client(address, timeout=ANSWER_WITHIN, set_as_default=False)
            except (OSError, ValueError, ImportError) as error:
                raise UsageError(f"{MUST_BE}, got {self._dask}: {told(error)}") from error
            held.callback(client.close)
            yield client


@contextmanager
def reached(
    dask: str | Client | Cluster | None,
    workers: int | None = 1,
    notify: Callable[[str], None] | None = None,
) -> Iterator[Cluster | None]:
    """Yield the cluster that `dask` names, as `Cluster` takes it; one that is there already is left open."""
    if dask is None or isinstance(dask, Cluster):
        yield dask
        return
    cluster = Cluster(dask, workers, notify or log.warning)
    try:
        yield cluster
    finally:
        cluster.close()


def _address(dask: str) -> str:
    """Return the address that is given, or is in the file. Raises OSError and ValueError where it is none."""
    from distributed.comm import get_address_host_port

    if dask.endswith(".json"):
        found = json.loads(Path(dask).read_bytes())
        dask = str(found.get("address") if isinstance(found, dict) else found)
    get_address_host_port(dask)  # before Dask tries to reach it, which it would for long
    return dask


@contextmanager
def _started(threads: int) -> Iterator[str]:
    """Yield the address of a scheduler with one worker that lasts for the block.

    Its computations are processes of their own, as everywhere: so one process of Dask's is enough.
    """
    from multiprocessing import resource_tracker

    from distributed import LocalCluster

    resource_tracker.ensure_running()  # who starts it has its signals unblocked
    with signals_blocked(OF_THE_GROUP):  # Ctrl-C reaches the whole group: this process decides
        cluster = LocalCluster(
            n_workers=1,
            threads_per_worker=threads,
            processes=True,
            memory_limit=0,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )
    with cluster:
        yield cluster.scheduler_address


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave it to this package to say what becomes of the cluster; each part of Dask has its own logger."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    loggers = [each for each in map(logging.getLogger, names) if not each.disabled]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False


class _Stream(Generic[T]):
    """All that is sent for one call, while it is under way."""

    def __init__(self, client: Client, scheduler: str, notify: Callable[[str], None]) -> None:
        self._client, self._scheduler, self._notify = client, scheduler, notify
        self._name, self._origin = f"grokscope-{secrets.token_hex(8)}", Origin.here()
        self._arrived: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._stopped = -math.inf
        self._counted, self._threads, self._waits = -math.inf, 0, False
        self.under_way: dict[str, tuple[Future, T]] = {}
        for topic, word in self._topics.items():
            self._ask(client.subscribe_topic, topic, partial(self._hear, word))

    @property
    def _topics(self) -> dict[str, str]:
        """What the scheduler tells of: what jobs say, and what becomes of workers."""
        return {self._name: "said", "all": "event"}

    def _hear(self, word: str, event: tuple[float, Any]) -> None:
        self._arrived.put((word, event[1]))

    @property
    def threads(self) -> int:
        """How many computations the cluster does at a time, at least 1: workers may be yet to come."""
        if time.monotonic() - self._counted > SECONDS_BETWEEN_COUNTS:
            self._threads = sum(self._ask(self._client.nthreads).values())
            self._counted = time.monotonic()
        if not self._threads and self.under_way and not self._waits:
            self._notify(f"{self._scheduler} has no workers: waiting for some")
        self._waits = not self._threads and bool(self.under_way)
        return max(1, self._threads)

    def has_room(self, spare: int) -> bool:
        """Whether another job is to be sent."""
        return self._stopped < 0 and len(self.under_way) < spare * self.threads

    def send(self, job: Job[T]) -> None:
        """Send a job."""
        key = f"{self._name}-{secrets.token_hex(8)}"
        arguments = self._origin, self._name, tuple(job.paths), job.function, job.arguments
        future = self._ask(self._client.submit, do, *arguments, key=key, pure=False)
        self.under_way[key] = future, job.about
        future.add_done_callback(lambda done: self._arrived.put(("done", done.key)))

    def stop(self) -> None:
        """Send no more, bring what is under way to an end, and forget what no worker is at."""
        if time.monotonic() - self._stopped < SECONDS_BETWEEN_COUNTS:
            return
        self._stopped = time.monotonic()
        self._ask(self._client.run, stop, self._name, on_error="ignore")  # again, for workers that join
        at_work = {key for keys in self._ask(self._client.processing).values() for key in keys}
        waiting = [key for key, (future, _) in self.under_way.items() if future.status == "pending"]
        for key in set(waiting) - at_work:
            del self.under_way[key]  # nobody waits for it now, so Dask forgets it too

    def come(self, heard: Callable[[Any], None]) -> Iterator[tuple[T, Any]]:
        """Yield what has come, if anything has; wait a moment for it."""
        try:
            word, content = self._arrived.get(timeout=PAUSE)
        except queue.Empty:
            return
        if word == "said":
            heard(content)
        elif word == "event":
            self._take_event(content)
        elif content in self.under_way:
            future, about = self.under_way.pop(content)
            yield about, self._result(future)

    def _take_event(self, event: dict[str, Any]) -> None:
        if event.get("action") != "remove-worker" or event.get("expected"):
            return
        if set(event["processing-tasks"]) & self.under_way.keys():
            self._notify(
                f"the Dask worker at {event['worker']} was lost: what it was at is computed again elsewhere"
            )

    def _result(self, future: Future) -> Any:
        """Return what a job gave, or Lost. Raises what it raised."""
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise self._gone()
        error = self._ask(future.exception)
        if isinstance(error, KilledWorker):
            return Lost()
        if isinstance(error, GrokscopeError):
            raise error
        if error is not None:
            raise GrokscopeError(
                f"a Dask worker cannot do its work: {described(error)}; it must have the grokscope that is "
                "installed where the command runs"
            ) from error
        found = self._ask(future.result)
        if isinstance(found, Unlike):
            raise GrokscopeError(f"the Dask worker at {found.worker} cannot do its work: {found.difference}")
        return found

    def _ask(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Return what the scheduler answers. Raises GrokscopeError when it is gone."""
        from concurrent.futures import CancelledError

        if self._client.status != "running":
            raise self._gone()
        try:
            return call(*arguments, **options)
        except (OSError, CancelledError) as error:
            raise self._gone() from error

    def _gone(self) -> GrokscopeError:
        return GrokscopeError(
            f"{self._scheduler} is gone: all that had come back is stored, and the same command goes on from "
            "there"
        )

    def close(self) -> None:
        """Have nothing more computed."""
        if self._client.status != "running":
            return
        with suppress(OSError):
            for topic in self._topics:
                self._client.unsubscribe_topic(topic)
            if self.under_way:
                self._client.cancel([future for future, _ in self.under_way.values()])
