"""Analysis after the fact: plan what is wanted, compute what is missing, store it, hand it back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.analysis.clock import Clock, timed
from grokscope.analysis.own_code import code_of
from grokscope.analysis.plan import Place, Request
from grokscope.analysis.session import Crew, Session
from grokscope.analysis.watched import Progress
from grokscope.discovery import load_plugins
from grokscope.errors import GrokscopeError, SettingError
from grokscope.memory import bytes_each
from grokscope.registry import Plugins
from grokscope.results import Comparison, Results
from grokscope.run import Run
from grokscope.run.code import Trusted, check_repeated
from grokscope.run.sites import Site

if TYPE_CHECKING:
    from grokscope.cluster import Cluster

__all__ = ["analyze", "analyze_many"]


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
    max_memory: int | str | None = None,
    dask: Any = None,
    data_dir: str | Path | None = None,
    model: Any = None,
    data: str | None = None,
    loss: Any = None,
    trust: bool = False,
    plugins: Plugins | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> Results:
    """Measure the checkpoints of a run; what is stored already is not computed again.

    Args:
        run: a run, its directory, or the URL where it lies, such as s3://bucket/runs/x.
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
        dask: compute on a Dask cluster, in processes of their own there: `local` starts one on this machine,
            with `workers` threads; else the address of a scheduler, its file, or a `distributed.Client`. Its
            workers must see the same files, and have the same grokscope and plugins.
        max_memory: bytes of memory that all processes together take at most, or a text such as `2GB`; None
            is what $GROKSCOPE_MAX_MEMORY says, or else a quarter of the machine. What does not fit is
            computed again when it is asked for; no number depends on it.
        data_dir: where the task's data lies now, if no longer where the run found it.
        model: the run's network, `package.module:factory`, where no plugin brings it: named by the run alone
            it is not imported.
        data: the run's task, in the same way.
        loss: the run's loss where it is the user's own, `package.module:function`, or the function itself.
        trust: import whatever code the run names.
        plugins: from `load_plugins`; loaded when not given.
        progress: called as (done, total, measure, step), first with done 0, then after every computed cell.
        notify: called with a sentence that the user should know: of the cluster, or how long a measure that
            takes long will take. When it is not given these are logged.
        clock: adds up what the time goes to.

    Raises:
        UsageError: an unknown name or step, or a parameter out of bounds.
        SettingError: there is no such device, or no such timeout.
        RunError: `run` is no run directory, or names code that was not repeated here.
        DataError: the data that the run was trained on is gone, or is another now.
        StorageError: results cannot be stored.
        GrokscopeError: the Dask scheduler is gone, or a worker cannot compute what this process would. All
            that had come back is stored.
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
        max_memory=max_memory,
        dask=dask,
        data_dir=data_dir,
        model=model,
        data=data,
        loss=loss,
        trust=trust,
        plugins=plugins,
        progress=progress,
        notify=notify,
        clock=clock,
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
    expensive: str = "all",
    baseline: str | None = None,
    refresh: bool = False,
    device: str = "cpu",
    workers: int = 1,
    isolate: bool = False,
    timeout: float | None = None,
    max_memory: int | str | None = None,
    dask: Any = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    model: Any = None,
    data: str | None = None,
    loss: Any = None,
    trust: bool = False,
    plugins: Plugins | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> Comparison:
    """Measure the checkpoints of several runs, as `analyze` does those of one, and put them side by side.

    Results are stored in each run. Processes are shared by all runs. A run that cannot be opened, read or
    stored to is named in the comparison's `failed`, and the others go on.

    Args:
        runs: runs or their directories; one that comes twice is taken once.
        expensive: at which of the checkpoints that `steps` selects measures are computed that declare
            themselves expensive, in the same words: `every:2` is every second one of them.
        out: keep results in this directory instead, for runs given as directories.
        measures, steps, settings, baseline, refresh, device, workers, isolate, timeout, max_memory, dask,
            data_dir, model, data, loss, trust, plugins, progress, notify, clock: as for `analyze`.

    Raises:
        UsageError: an unknown measure, a parameter out of bounds, or a name for `model`, `data` or `loss`
            that no run has.
        SettingError: there is no such device, or no such timeout.
        GrokscopeError: as for `analyze`.
    """
    if timeout is not None and not 0 < timeout < math.inf:
        raise SettingError(f"timeout must be a number of seconds above 0, got {timeout!r}")
    plugins = plugins or load_plugins()
    request = Request.of(
        plugins, _names(measures), steps=steps, settings=settings, baseline=baseline, expensive=expensive
    )
    sessions: dict[Site, Session] = {}
    failed: dict[str, GrokscopeError] = {}
    memory = bytes_each(max_memory, workers)
    place = Place.of(device, data_dir, Trusted.of(model, data, trust, loss), memory)
    for run in runs:
        try:
            opened = _opened(run, out)
            if opened.path.resolve() not in sessions:
                code = code_of(opened, plugins, place)
                with timed(clock, "reading what is stored"):
                    sessions[opened.path.resolve()] = Session(
                        opened, request.with_outcome(opened, plugins, place), refresh, code
                    )
        except GrokscopeError as error:
            failed[str(run.path if isinstance(run, Run) else run)] = error
    check_repeated((each.run.config for each in sessions.values()), model=model, data=data, loss=loss)
    with _reached(dask, workers, notify) as cluster:
        crew = Crew(plugins, place, workers, isolate, timeout, clock, cluster, notify)
        crew.compute(list(sessions.values()), progress)
    sound = []
    for session in sessions.values():
        try:
            with timed(clock, "putting results together"):
                sound.append((session.run, session.results()))
        except GrokscopeError as error:
            failed[str(session.run.path)] = error
    return Comparison.of(sound, failed)


def _reached(
    dask: Any, workers: int, notify: Callable[[str], None] | None
) -> AbstractContextManager[Cluster | None]:
    if dask is None:  # what a cluster needs takes its time to be loaded
        return nullcontext()
    from grokscope.cluster import reached

    return reached(dask, workers, notify)


def _opened(run: Run | str | Path, results: str | Path | None) -> Run:
    return run if isinstance(run, Run) else Run.open(run, results=results)


def _names(measures: str | Iterable[str] | None) -> list[str] | None:
    if measures is None:
        return None
    return measures.split(",") if isinstance(measures, str) else list(measures)
