"""Five seeds of one setting as `sweep` trains them: a step of one after the other, and of all together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from grokscope.discovery import load_plugins
from grokscope.training.config import resolve_config
from grokscope.training.loop import Loop
from grokscope.training.recipes import load_recipe
from grokscope.training.session import prepared, torch_state, with_data
from grokscope.training.sweep.together import Together, hindrance

SEEDS = 5
NEVER = 10**7  # steps: nothing is evaluated but at the start, and nothing saved


def prepare(recipe: str, folder: Path, settings: dict[str, Any], together: bool) -> list[Loop]:
    """Return a run of each seed, ready to be trained; raises DataError where the data is not at hand."""
    plugins, quiet = load_plugins(), dict.fromkeys(("steps", "checkpoint_every", "log_every"), NEVER)
    tables = {"tasks": plugins.tasks, "models": plugins.models}
    found = []
    for seed in range(SEEDS):
        given = {**quiet, **settings, "seed": seed}
        config = resolve_config(load_recipe(recipe).task, recipe=recipe, settings=given, **tables)
        silent = {"progress": lambda state: None, "stop": lambda: False, "notify": lambda sentence: None}
        path, seeds = folder / f"{'together' if together else 'alone'} {seed}", SEEDS if together else 1
        with torch_state(config, threads=1):
            found.append(prepared(path, with_data(config, tables["tasks"]), **tables, seeds=seeds, **silent))
    return found


def one_by_one(runs: list[Loop]) -> Callable[[], None]:
    """Return a step of each run."""

    def update(step: int) -> None:
        for run in runs:
            run.update(step)

    return _step(runs, update)


def together(runs: list[Loop]) -> Callable[[], None]:
    """Return a step of all runs as one computation. Raises ValueError where there is none."""
    if why := hindrance(runs):
        raise ValueError(why)
    return _step(runs, Together(runs).update)


def _step(runs: list[Loop], update: Callable[[int], None]) -> Callable[[], None]:
    courses = [run.steps() for run in runs]
    following = [next(course) for course in courses]

    def step() -> None:
        update(following[0])
        following[:] = [next(course) for course in courses]

    return step


def weights(runs: list[Loop]) -> list[float]:
    """Return the squared norm of each run's first weight."""
    return [next(run.network.parameters()).square().sum().item() for run in runs]
