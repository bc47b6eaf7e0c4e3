"""Which runs groups get: trained by `sweep`, or found finished; then measured by `analyze_many`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grokscope.analysis import analyze_many
from grokscope.cluster import Cluster
from grokscope.errors import DataError, SettingError
from grokscope.figure import Group, Subnetwork, Trained
from grokscope.registry import Plugins
from grokscope.results import Comparison
from grokscope.run import Run
from grokscope.run.config import RUN_FILE
from grokscope.run.store import exists
from grokscope.statistics.courses import peak, reread
from grokscope.training import resolve_config, with_data
from grokscope.training.session import is_finished
from grokscope.training.sweep import Sweep, sweep
from grokscope.training.sweep.grid import plan_runs

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """How runs are made.

    Attributes:
        quick: the smaller variant.
        seeds: how many instead of the groups' own; None leaves these.
        out: where run directories are made.
        data_dir: where MNIST or IMDb lies; None is the environment's or the default place.
        device: where to train and measure; `cpu` leaves the recipes as they are.
        workers: processes.
        progress: called with words, done and total.
        stop: asked all the time; True ends training with a checkpoint.
        notify: called with a sentence that the user should know.
        isolate, timeout: as for `analyze`.
        cluster: where to train and measure instead of in processes.
        finished: train nothing, and take the runs that are finished of those that would be trained.
        expensive: at which of a group's steps measures are computed that declare themselves expensive.
    """

    quick: bool
    seeds: int | None
    out: Path
    data_dir: Path | None
    device: str
    workers: int | None
    plugins: Plugins
    progress: Progress
    stop: Callable[[], bool]
    notify: Callable[[str], None]
    isolate: bool = False
    timeout: float | None = None
    cluster: Cluster | None = None
    finished: bool = False
    expensive: str = "all"


@dataclass
class Gathered:
    """What has been trained and measured: by group; the task that stood in for a missing one; what failed."""

    found: dict[str, Comparison] = field(default_factory=dict)
    paths: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    stand_ins: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    stopped: bool = False


def gather(groups: Mapping[str, Group], wanted: Wanted, what: str) -> Gathered:
    """Train or find the runs of every group, in order, and measure them; `what` they are for is shown.

    Raises DataError where `wanted.data_dir` lacks the data, UsageError for what cannot be asked.
    """
    gathered = Gathered()
    for name, group in groups.items():
        if isinstance(group.runs, Subnetwork):
            _train_parts(name, group.runs, gathered, wanted)
        else:
            _train(name, group, group.runs, gathered, wanted)
        if gathered.stopped:
            break
        gathered.found[name] = _measure(f"{what}, {name}", group, gathered.paths[name], wanted)
        gathered.failures += _failures(gathered.found[name])
    return gathered


def _train(name: str, group: Group, trained: Trained, gathered: Gathered, wanted: Wanted) -> None:
    trained = _at_hand(trained, group.stand_ins, gathered, wanted)
    done = _sweep(
        name,
        trained.task,
        wanted,
        recipe=trained.recipe,
        settings=_settings(trained, wanted),
        seeds=_seeds(trained, wanted),
    )
    _keep(name, done, gathered)


def planned(group: Group, wanted: Wanted) -> list[Path]:
    """Return where the runs of a group that is trained will be, or are."""
    if not isinstance(group.runs, Trained):
        return []
    trained = group.runs
    runs = plan_runs(
        trained.task,
        trained.recipe,
        {},
        _seeds(trained, wanted),
        _settings(trained, wanted),
        wanted.out,
        wanted.plugins,
    )
    return [Path(str(run.path)) for run in runs]


def _seeds(trained: Trained, wanted: Wanted) -> int:
    return wanted.seeds or (1 if wanted.quick else trained.seeds)


def _keep(name: str, done: Sweep, gathered: Gathered) -> None:
    gathered.paths[name] = (*gathered.paths.get(name, ()), *map(Path, map(str, done.finished)))
    gathered.failures += map(str, done.failures)
    gathered.stopped = gathered.stopped or bool(done.stopped)


def _settings(trained: Trained, wanted: Wanted) -> dict[str, Any]:
    settings = {**trained.settings, **(trained.quick if wanted.quick else {})}
    if wanted.data_dir is not None and trained.task in NEEDS_FILES:
        settings["data_dir"] = str(wanted.data_dir)
    if wanted.device != "cpu":
        settings["device"] = wanted.device
    return settings


NEEDS_FILES = ("mnist", "imdb", "reviews")


def _at_hand(trained: Trained, stand_ins: tuple[Trained, ...], gathered: Gathered, wanted: Wanted) -> Trained:
    """Return what is trained: the group's own task, or where its data is missing what stands in for it.

    Where a folder is said, some of the data that needs one must be there.
    """
    if not stand_ins:
        return trained
    missing: list[DataError] = []
    for each in (trained, *stand_ins):
        if missing and wanted.data_dir is not None and each.task not in NEEDS_FILES:
            continue
        problem = _missing(each, wanted)
        if problem is None:
            if missing and trained.task not in gathered.stand_ins:
                gathered.stand_ins[trained.task] = each.task
                wanted.notify(f"{each.task} stands in for {trained.task}: {'; '.join(map(str, missing))}")
            return each
        missing.append(problem)
    raise DataError("; ".join(map(str, missing)))


def _missing(trained: Trained, wanted: Wanted) -> DataError | None:
    """Return what is wrong with the data of a task, or nothing."""
    config = resolve_config(
        trained.task,
        recipe=trained.recipe,
        settings=_settings(trained, wanted),
        tasks=wanted.plugins.tasks,
        models=wanted.plugins.models,
    )
    try:
        with_data(config, wanted.plugins.tasks)
    except DataError as error:
        return error
    return None


def _sweep(name: str, task: str, wanted: Wanted, **options: Any) -> Sweep:
    if wanted.finished:
        return _finished(task, wanted, **options)
    return sweep(
        task,
        out=wanted.out,
        workers=wanted.workers,
        dask=wanted.cluster,
        plugins=wanted.plugins,
        progress=lambda state: wanted.progress(f"training {name}", state.step, state.steps),
        stop=wanted.stop,
        notify=lambda sentence: wanted.notify(f"{name}: {sentence}"),
        **options,
    )


def _finished(task: str, wanted: Wanted, **options: Any) -> Sweep:
    """Return of a sweep the runs that are finished, as if they were all of it."""
    asked = {"recipe": None, "grid": {}, "seeds": None, "settings": {}, **options}
    planned = plan_runs(task, out=wanted.out, plugins=wanted.plugins, **asked)
    there = [run.path for run in planned if exists(run.path / RUN_FILE)]
    ended = tuple(path for path in there if is_finished(Run.open(path)))
    return Sweep(ended, ended, ())


def _train_parts(name: str, part: Subnetwork, gathered: Gathered, wanted: Wanted) -> None:
    """Train the sub-network of every run of the group that it is of, at that run's synergy peak."""
    gathered.paths[name] = ()
    of = gathered.found[part.of]
    for path in gathered.paths[part.of]:
        if path.name not in of.runs:
            continue
        step = peak(of.runs[path.name], part.column, start=1)[0]  # as in the authors' released code
        if math.isnan(step):
            gathered.failures.append(f"{path.name}: it has no {part.column}, so no sub-network")
            continue
        _analyze([path], (part.measure,), str(int(step)), part.parameters, f"{name}", wanted)
        where = "".join(f":{key.partition('.')[2]}={value}" for key, value in part.parameters.items())
        source = f"{path}@{int(step)}{':inverse' if part.inverse else ''}{where}"
        try:
            done = _sweep(
                name, of.runs[path.name].config["task"]["name"], wanted, grid={"subnetwork": [source]}
            )
        except SettingError as error:  # the multiplet has all units, or none is stored
            gathered.failures.append(str(error))
            continue
        _keep(name, done, gathered)
        if gathered.stopped:
            return


def _measure(words: str, group: Group, paths: tuple[Path, ...], wanted: Wanted) -> Comparison:
    steps = group.quick_steps if wanted.quick and group.quick_steps else group.steps
    has_files = isinstance(group.runs, Trained) and group.runs.task in NEEDS_FILES
    data_dir = wanted.data_dir if has_files else None
    found = _analyze(list(paths), group.measures, steps, group.parameters, words, wanted, data_dir)
    if not group.columns:
        return found
    return replace(found, runs={run: reread(results, group.columns) for run, results in found.runs.items()})


def _analyze(
    paths: list[Path],
    measures: tuple[str, ...],
    steps: str,
    parameters: Mapping[str, Any],
    words: str,
    wanted: Wanted,
    data_dir: Path | None = None,
) -> Comparison:
    return analyze_many(
        paths,
        measures,
        steps=steps,
        expensive=wanted.expensive,
        settings=parameters,
        workers=wanted.workers or 1,
        dask=wanted.cluster,
        isolate=wanted.isolate,
        timeout=wanted.timeout,
        device=wanted.device,
        data_dir=data_dir,
        plugins=wanted.plugins,
        progress=lambda done, total, measure, step: wanted.progress(f"measuring {words}", done, total),
    )


def _failures(found: Comparison) -> list[str]:
    failed = [f"{path}: {error}" for path, error in found.failed.items()]
    for run, results in found.runs.items():
        failed += [f"{run}: {failure}" for failure in list(results.failures)[:1]]
    return failed
