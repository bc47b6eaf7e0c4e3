"""Analysis after the fact: plan what is wanted, compute what is missing, store it, hand it back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grokscope.analysis.assemble import assemble
from grokscope.analysis.ledger import Ledger
from grokscope.analysis.plan import UNFIT, Place, Plan, PlannedCell, make_plan, resolve_parameters
from grokscope.discovery import left_out, load_plugins
from grokscope.errors import GrokscopeError, SettingError
from grokscope.registry import Plugins
from grokscope.results import Comparison, Results
from grokscope.run import Cell, CellKey, Run
from grokscope.run.code import Trusted

__all__ = ["analyze", "analyze_many"]

CHECKPOINTS_PER_WORKER = 4  # starting a process costs more than computing fewer
Progress = Callable[[int, int, str, int], None]


def analyze(
    run: Run | str | Path,
    measures: str | Iterable[str] | None = None,
    *,
    steps: str = "all",
    settings: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    refresh: bool = False,
    device: str = "cpu",
    workers: int = 1,
    isolate: bool = False,
    timeout: float | None = None,
    data_dir: str | Path | None = None,
    model: str | None = None,
    data: str | None = None,
    trust: bool = False,
    plugins: Plugins | None = None,
    progress: Progress | None = None,
) -> Results:
    """Measure the checkpoints of a run; what is stored already is not computed again.

    Args:
        run: a run or its directory.
        measures: names of measures, families, globs, `all`, or one comma-separated text; None is every
            measure that does not declare itself expensive.
        steps: which checkpoints, see `select_steps`.
        settings: parameters by `measure.parameter`.
        baseline: `first`, `last`, `previous` or a step, for measures that compare two checkpoints.
        refresh: compute and store again what is stored.
        device: where to compute, for example `cpu` or `cuda`.
        workers: processes, at most one for every four checkpoints; 1 computes in this one. Processes of
            their own load the installed plugins anew, and need a script with a `__main__` guard.
        isolate: compute in processes of their own also with one worker or few checkpoints, as the command
            line does: a measure that ends its process, or never comes to an end, costs only its own cell,
            and one that does so three times is not tried any more.
        timeout: seconds after which a cell is stopped, and fails; this needs processes of their own too.
        data_dir: where the task's data lies now, if no longer where the run found it.
        model: the run's network, `package.module:factory`, where no plugin brings it: named by the run alone
            it is not imported.
        data: the run's task, in the same way.
        trust: import whatever code the run names.
        plugins: from `load_plugins`; loaded when not given.
        progress: called as (done, total, measure, step), first with done 0, then after every computed cell.

    Raises:
        UsageError: an unknown name or step, or a parameter out of bounds.
        SettingError: there is no such device, or no such timeout.
        RunError: `run` is no run directory, or names code that was not repeated here.
        DataError: the data that the run was trained on is gone, or is another now.
        StorageError: results cannot be stored.
    """
    found = analyze_many(
        [run],
        measures,
        steps=steps,
        settings=settings,
        baseline=baseline,
        refresh=refresh,
        device=device,
        workers=workers,
        isolate=isolate,
        timeout=timeout,
        data_dir=data_dir,
        model=model,
        data=data,
        trust=trust,
        plugins=plugins,
        progress=progress,
    )
    for error in found.failed.values():
        raise error
    return next(iter(found.runs.values()))


def analyze_many(
    runs: Iterable[Run | str | Path],
    measures: str | Iterable[str] | None = None,
    *,
    steps: str = "all",
    settings: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    refresh: bool = False,
    device: str = "cpu",
    workers: int = 1,
    isolate: bool = False,
    timeout: float | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    model: str | None = None,
    data: str | None = None,
    trust: bool = False,
    plugins: Plugins | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure the checkpoints of several runs, as `analyze` does those of one, and put them side by side.

    Results are stored in each run. Processes are shared by all runs. A run that cannot be opened, read or
    stored to is named in the comparison's `failed`, and the others go on.

    Args:
        runs: runs or their directories; one that comes twice is taken once.
        out: keep results in this directory instead, for runs given as directories.
        measures, steps, settings, baseline, refresh, device, workers, isolate, timeout, data_dir, model,
            data, trust, plugins, progress: as for `analyze`.

    Raises:
        UsageError: an unknown measure, or a parameter out of bounds.
        SettingError: there is no such device, or no such timeout.
    """
    if timeout is not None and not 0 < timeout < math.inf:
        raise SettingError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    plugins = plugins or load_plugins()
    wanted = _Wanted(_names(measures), steps, settings, baseline)
    wanted.check(plugins)
    parts: dict[Path, _Part] = {}
    failed: dict[str, GrokscopeError] = {}
    for run in runs:
        try:
            opened = _opened(run, out)
            if opened.path.resolve() not in parts:
                parts[opened.path.resolve()] = _Part.of(opened, wanted, plugins, refresh)
        except GrokscopeError as error:
            failed[str(run.path if isinstance(run, Run) else run)] = error
    crew = _Crew(workers, isolate or timeout is not None, timeout)
    place = Place.of(device, data_dir, Trusted.of(model, data, trust))
    left = list(parts.values())
    while left:
        _compute(left, plugins, place, crew, progress)
        left = [part for part in left if part.turned_to_other_baselines(wanted, plugins)]
    sound = []
    for part in parts.values():
        try:
            sound.append((part.run, part.results()))
        except GrokscopeError as error:
            failed[str(part.run.path)] = error
    return Comparison.of(sound, failed)


def _opened(run: Run | str | Path, results: str | Path | None) -> Run:
    return run if isinstance(run, Run) else Run.open(Path(run), results=results)


def _names(measures: str | Iterable[str] | None) -> list[str] | None:
    if measures is None:
        return None
    return measures.split(",") if isinstance(measures, str) else list(measures)


@dataclass(frozen=True)
class _Wanted:
    """What is asked of every run."""

    names: list[str] | None
    steps: str
    settings: Mapping[str, Any] | None
    baseline: str | None

    def check(self, plugins: Plugins) -> None:
        """Raise UsageError for what no run can give."""
        resolve_parameters(plugins.select(self.names), plugins, self.settings or {})

    def plan(self, run: Run, plugins: Plugins, stored: Mapping[CellKey, Cell]) -> Plan:
        """Return the plan for one run."""
        return make_plan(
            run,
            plugins,
            self.names,
            steps=self.steps,
            settings=self.settings,
            baseline=self.baseline,
            stored=stored,
        )


@dataclass
class _Part:
    """One run's part of an analysis: what is wanted, what is stored, what is missing, what was computed."""

    run: Run
    plan: Plan
    stored: dict[CellKey, Cell]
    missing: dict[int, list[PlannedCell]]
    rebuilt: str
    ledger: Ledger | None = None
    earlier: list[Ledger] = field(default_factory=list)

    @classmethod
    def of(cls, run: Run, wanted: _Wanted, plugins: Plugins, refresh: bool) -> _Part:
        rebuilt = run.refresh_index()
        stored = {} if refresh else dict(run.cells())
        plan = wanted.plan(run, plugins, stored)
        return cls(run, plan, stored, plan.missing(stored), rebuilt)

    def turned_to_other_baselines(self, wanted: _Wanted, plugins: Plugins) -> bool:
        """Plan anew what was compared with a last checkpoint that proved unfit; return if any is left."""
        if self.ledger is None or self.ledger.trouble:
            return False
        unfit = {cell.key.measure for cell in self.ledger.cells if cell.note.startswith(UNFIT)}
        self.stored |= {cell.key: cell for cell in self.ledger.cells}
        if not unfit:
            return False
        self.plan = wanted.plan(self.run, plugins, self.stored)
        left = self.plan.missing(self.stored).items()
        again = {step: [cell for cell in cells if cell.registered.id in unfit] for step, cells in left}
        self.missing = {step: cells for step, cells in again.items() if cells}
        if self.missing:
            self.earlier.append(self.ledger)
        return bool(self.missing)

    def results(self) -> Results:
        """Return what is there now. Raises what kept the run from being measured or stored."""
        new: list[Cell] = []
        failures: list[Any] = []
        for ledger in [*self.earlier, *([self.ledger] if self.ledger else [])]:
            if ledger.trouble:
                raise ledger.trouble
            new += ledger.cells
            failures += ledger.failures
        if self.ledger is not None:
            self.run.refresh_index()
        return assemble(
            self.run,
            self.plan,
            {**self.stored, **{cell.key: cell for cell in new}},
            failures=failures,
            messages=self._messages(bool(new)),
            computed=len(new),
        )

    def _messages(self, computed: bool) -> list[str]:
        messages = [self.rebuilt] if self.rebuilt else []
        if computed and not self.run.keeps_results:
            messages.append(
                f"{self.run.path} is read-only, so nothing was stored; --out DIRECTORY keeps the results"
            )
        return [*messages, *self.plan.messages, *self.run.remarks, *self.run.conflicts]


@dataclass(frozen=True)
class _Crew:
    """In how many processes cells are computed, and whether in ones of their own at any rate."""

    workers: int
    isolate: bool
    timeout: float | None

    def processes(self, checkpoints: int) -> int:
        """Return how many; 0 is none but this one."""
        most = min(self.workers, checkpoints // CHECKPOINTS_PER_WORKER)
        return max(1, most) if self.isolate else most if most > 1 else 0


def _compute(
    parts: Iterable[_Part], plugins: Plugins, place: Place, crew: _Crew, progress: Progress | None
) -> None:
    parts = [part for part in parts if part.missing]
    if not parts:
        return
    total, done = sum(len(cells) for part in parts for cells in part.missing.values()), 0

    def finished(cell: PlannedCell) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total, cell.registered.title, cell.checkpoint.step)

    if progress is not None:
        progress(0, total, "", min(parts[0].missing))
    for part in parts:
        part.ledger = Ledger(part.run, keep=part.run.keeps_results)
    processes = crew.processes(sum(len(part.missing) for part in parts))
    if processes:
        _compute_elsewhere(parts, place, processes, crew.timeout, finished)
    else:
        _compute_here(parts, plugins, place, finished)


def _compute_elsewhere(
    parts: Sequence[_Part], place: Place, processes: int, timeout: float | None, finished: Any
) -> None:
    from grokscope.analysis import workers

    chunks = [
        workers.Chunk(part.ledger, part.missing[step])
        for part in parts
        if part.ledger
        for step in sorted(part.missing)
    ]
    workers.execute(chunks, finished, place=place, workers=processes, timeout=timeout, left_out=left_out())


def _compute_here(parts: Sequence[_Part], plugins: Plugins, place: Place, finished: Any) -> None:
    from grokscope.analysis import engine
    from grokscope.device import find_device

    find_device(place.device, "device")
    for part in parts:
        assert part.ledger is not None
        bench = engine.Bench(part.run, plugins.tasks, plugins.models, place)
        engine.execute(bench, part.missing, part.ledger, finished)
