"""Runs while they are measured: what is planned, what is stored already, and who computes the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from grokscope.analysis.assemble import assemble
from grokscope.analysis.clock import Clock
from grokscope.analysis.ledger import Ledger
from grokscope.analysis.own_code import NO_CODE, Code
from grokscope.analysis.plan import UNFIT, Place, Request, make_plan, needing_data
from grokscope.analysis.watched import Progress, Watched
from grokscope.discovery import left_out
from grokscope.errors import StorageError
from grokscope.registry import Plugins
from grokscope.results import Results
from grokscope.run import Run
from grokscope.run.sites import Url

if TYPE_CHECKING:
    from grokscope.analysis.chunks import Chunk
    from grokscope.cluster import Cluster

CHECKPOINTS_PER_WORKER = 4  # starting a process costs more than computing fewer


class Session:
    """One run while it is measured.

    Attributes:
        run: the run.
        missing: the cells that are to be computed, by step.
    """

    def __init__(self, run: Run, request: Request, refresh: bool = False, code: Code = NO_CODE) -> None:
        self.run, self._request, self._code = run, request, code
        self._rebuilt = run.refresh_index()
        self._known = {} if refresh else dict(run.cells())
        self._ledgers: list[Ledger] = []
        self._plan = make_plan(run, request, self._known, code.fingerprint)
        self.missing = self._plan.missing(self._known)
        if self.missing and isinstance(run.path, Url) and not run.keeps_results:
            raise StorageError(f"{run.path} is read-only: `out` must say where results are kept instead")

    def begin(self, clock: Clock | None = None) -> Ledger:
        """Return the ledger that takes what becomes of the missing cells."""
        self._ledgers.append(Ledger(self.run, self.run.keeps_results, clock))
        return self._ledgers[-1]

    def end(self) -> None:
        """Take in what was computed.

        Missing are now cells whose last checkpoint proved unfit to be compared with: they are planned anew,
        with another.
        """
        ledger, self.missing = self._ledgers[-1], {}
        if ledger.trouble:
            return
        self._known |= {cell.key: cell for cell in ledger.cells}
        unfit = {cell.key.measure for cell in ledger.cells if cell.note.startswith(UNFIT)}
        if not unfit:
            return
        self._plan = make_plan(self.run, self._request, self._known, self._code.fingerprint)
        for step, cells in self._plan.missing(self._known).items():
            again = [cell for cell in cells if cell.registered.id in unfit]
            if again:
                self.missing[step] = again

    def results(self) -> Results:
        """Return what is there now. Raises what kept the run from being measured or stored."""
        for ledger in self._ledgers:
            if ledger.trouble:
                raise ledger.trouble
        if self._ledgers:
            with suppress(StorageError):  # all is stored, in more pieces
                self.run.gather()
            self.run.refresh_index()
        computed = sum(len(ledger.cells) for ledger in self._ledgers)
        failures = [failure for ledger in self._ledgers for failure in ledger.failures]
        return assemble(
            self.run,
            self._plan,
            self._known,
            failures=sorted(failures, key=lambda failure: failure.step),  # not as processes came to them
            messages=self._messages(computed > 0),
            computed=computed,
        )

    def _messages(self, computed: bool) -> list[str]:
        messages = [said for said in (self._rebuilt, self._code.remark) if said]
        if computed and not self.run.keeps_results:
            messages.append(
                f"{self.run.path} is read-only, so nothing was stored; `out` keeps the results elsewhere"
            )
        return [*messages, *self._plan.messages, *self.run.remarks, *self.run.conflicts]


class Crew(NamedTuple):
    """Who computes: where, in how many processes, and whether in ones of their own at any rate.

    Or, where there is a `cluster`, who sends what is to be computed there.
    """

    plugins: Plugins
    place: Place
    workers: int = 1
    isolate: bool = False
    timeout: float | None = None
    clock: Clock | None = None
    cluster: Cluster | None = None
    notify: Callable[[str], None] | None = None

    def compute(self, sessions: Sequence[Session], progress: Progress | None = None) -> None:
        """Compute all that is missing, until nothing is left to be tried.

        Raises:
            SettingError: there is no such device.
            GrokscopeError: no process can be started, or the cluster is gone.
        """
        left = [session for session in sessions if session.missing]
        while left:
            self._compute(left, progress)
            for session in left:
                session.end()
            left = [session for session in left if session.missing]

    def _compute(self, sessions: Sequence[Session], progress: Progress | None) -> None:
        ledgers = [session.begin(self.clock) for session in sessions]
        processes = self._processes(sum(len(session.missing) for session in sessions))
        every = [cell for session in sessions for cells in session.missing.values() for cell in cells]
        watched = Watched(every, processes or 1, progress, self.notify)
        if not processes:
            self._compute_here(sessions, ledgers, watched)
            return
        try:
            self._compute_apart(self._chunks(sessions, ledgers, watched, processes), processes)
        finally:
            for ledger in ledgers:
                ledger.store()

    def _chunks(
        self, sessions: Sequence[Session], ledgers: Sequence[Ledger], watched: Watched, processes: int
    ) -> list[Chunk]:
        from grokscope.analysis.chunks import chunk_of, together

        pairs = list(zip(sessions, ledgers, strict=True))
        looks = [
            chunk_of(ledger, cells, watched, self.clock, looking=True)
            for session, ledger in pairs
            if (cells := needing_data(session.run, self.place, session.missing))
        ]
        chunks = [
            chunk_of(ledger, cells, watched, self.clock)
            for session, ledger in pairs
            for cells in together(session.missing, processes)
        ]
        return [*looks, *chunks]

    def _compute_apart(self, chunks: Sequence[Chunk], processes: int) -> None:
        from grokscope.analysis.workers import Manner, execute

        manner = Manner(self.place, self.timeout, tuple(left_out()), self.clock is not None)
        if self.cluster:
            from grokscope.analysis.batches import execute_on

            execute_on(self.cluster, chunks, manner)
        else:
            execute(chunks, manner, processes)

    def _processes(self, checkpoints: int) -> int:
        """Return how many; 0 is none but this one."""
        if self.cluster:
            return 1
        most = min(self.workers, checkpoints // CHECKPOINTS_PER_WORKER)
        return max(1, most) if self.isolate or self.timeout is not None else most if most > 1 else 0

    def _compute_here(self, sessions: Sequence[Session], ledgers: Sequence[Ledger], watched: Watched) -> None:
        from grokscope.analysis import engine, here
        from grokscope.device import find_device

        find_device(self.place.device, "device")

        def bench(session: Session) -> engine.Bench:
            plugins = self.plugins
            return engine.Bench(session.run, plugins.tasks, plugins.models, self.place, self.clock)

        pairs = list(zip(sessions, ledgers, strict=True))
        for session, ledger in pairs if len(pairs) > 1 else ():  # of one run it is looked for below
            here.look(bench(session), needing_data(session.run, self.place, session.missing), ledger)
        for session, ledger in pairs:
            if not ledger.trouble:
                here.execute(bench(session), session.missing, ledger, watched)
