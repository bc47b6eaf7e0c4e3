"""A sweep: every combination of a grid and its seeds is a run of its own, and what is missing is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from grokscope.cluster import reached
from grokscope.device import cores
from grokscope.discovery import left_out, load_plugins
from grokscope.registry import Plugins
from grokscope.run.sites import site_of
from grokscope.training.config import known
from grokscope.training.sweep.account import Account, FailedRun, Sweep, SweepProgress
from grokscope.training.sweep.grid import PlannedRun, plan_runs
from grokscope.training.sweep.here import train_unit
from grokscope.training.sweep.processes import train_in_processes
from grokscope.training.sweep.units import in_units

__all__ = ["FailedRun", "Sweep", "SweepProgress", "sweep"]

log = logging.getLogger("grokscope")


def sweep(
    task: str,
    *,
    recipe: str | None = None,
    grid: Mapping[str, str | Iterable[Any]] | None = None,
    seeds: int | str | Iterable[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    workers: int | None = 1,
    dask: Any = None,
    together: bool | None = None,
    plugins: Plugins | None = None,
    progress: Callable[[SweepProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Sweep:
    """Train a run for every combination of the grid's values and the seeds; return where they all are.

    Each is the run that `train` makes of the same settings, in a directory of the same name: bit for bit, or
    to rounding where seeds are trained together. The same call again skips finished runs and continues
    interrupted ones. A run that fails costs only itself. Everything asked for is checked before anything is
    trained.

    Args:
        task: the task's name, for example `modadd`.
        recipe: a recipe's name, or the path of a TOML file; the task's default recipe when not given.
        grid: the values of every swept setting: `{"weight_decay": [0.1, 2]}`, or as text `"0.1,2"`. Names are
            bare where that is clear, or dotted (`training.weight_decay`). In text `;` separates instead
            where values have commas themselves: `{"betas": "0.9,0.98;0.9,0.999"}`.
        seeds: a number N for seeds 0 to N - 1, or the seeds; as text `"5"` or `"0,3,7"`. The recipe's seed
            alone when not given.
        settings: what differs from the recipe in every run, by name as in `grid`.
        out: the directory that the run directories are made in.
        workers: processes of one thread each; 1 trains in this one. None is one for every core where all
            runs train on the CPU, else 1. More than one needs a script with a `__main__` guard.
        dask: train on a Dask cluster instead, as many runs at a time as it has threads: `local` starts one on
            this machine, with `workers` threads; else the address of a scheduler, its file, or a
            `distributed.Client`. Its workers must see the same files.
        together: train the seeds of a setting as one computation, as far as no process is left without work;
            what cannot be so is trained one by one, and that is said. False trains all one by one; None
            together on CUDA alone, so that on the CPU no run depends on how many processes there are.
        plugins: from `load_plugins`; loaded when not given. Processes load them anew.
        progress: called now and then, and when a run ends.
        stop: asked all the time; True ends every run under way with a checkpoint.
        notify: called with a sentence that the user should know; logged as a warning when not given.

    Raises:
        UnknownName, SettingError: what was asked for cannot be; nothing was written.
        GrokscopeError: the Dask scheduler is gone. The same call goes on from there.
    """
    plugins, notify = plugins or load_plugins(), notify or log.warning
    for sentence in plugins.slow:
        notify(sentence)
    known("task", task, plugins.tasks)
    planned = plan_runs(task, recipe, grid or {}, seeds, settings or {}, site_of(out), plugins)
    account = Account(planned, progress or (lambda _: None), notify)
    asked = stop or (lambda: False)
    left = account.unfinished()
    workers = min(workers or _worthwhile(planned), len(left))
    with reached(dask, workers, notify) as cluster:
        if cluster and left:
            from grokscope.training.sweep.cluster import train_on

            train_on(cluster, left, account, asked, together)
        elif workers > 1:
            train_in_processes(
                in_units(left, workers, together, account), workers, account, asked, without=left_out()
            )
        elif left:
            for unit in in_units(left, 1, together, account):
                train_unit(unit, plugins, account, asked)
    return account.closed()


def _worthwhile(planned: Iterable[PlannedRun]) -> int:
    """Return how many processes are worth it: a GPU is shared badly."""
    return cores() if all(run.config["training"]["device"] == "cpu" for run in planned) else 1
