"""Which runs a sweep is made of: every combination of the grid's values and the seeds, checked at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from grokscope.errors import SettingError
from grokscope.registry import Plugins
from grokscope.run import default_directory
from grokscope.run.sites import Site
from grokscope.training.config import Config, config_and_effects
from grokscope.training.session import lasting, with_data

SEED = "training.seed"


@dataclass(frozen=True)
class PlannedRun:
    """One combination: what `train` is called with, and the directory and configuration that come of it."""

    path: Site
    task: str
    recipe: str | None
    settings: Mapping[str, Any]
    config: Config

    @property
    def steps(self) -> int:
        """How many steps it trains."""
        steps: int = self.config["training"]["steps"]
        return steps


def plan_runs(
    task: str,
    recipe: str | None,
    grid: Mapping[str, str | Iterable[Any]],
    seeds: int | str | Iterable[int] | None,
    settings: Mapping[str, Any],
    out: Site,
    plugins: Plugins,
) -> list[PlannedRun]:
    """Return the runs, seeds changing fastest; combinations that come to the same configuration are one.

    A setting that acts beside another one is left out of combinations where it has no effect.

    Raises UnknownName and SettingError for what cannot be, in whichever combination, and for a setting that
    has an effect in none.
    """
    axes = {name: _values(name, values) for name, values in grid.items()}
    if seeds is not None:
        if SEED in axes or "seed" in axes:
            raise SettingError("`seeds` must be given once, got a grid of seeds too")
        axes[SEED] = _seeds(seeds)
    twice = [axis for axis in sorted(axes) if any(_same(axis, name) for name in settings)]
    if twice:
        raise SettingError(f"{twice[0]} must be swept or fixed, got it in `grid` and in `settings`")
    runs: dict[Site, PlannedRun] = {}
    effects: list[dict[str, str]] = []
    for combination in product(*axes.values()):
        given = {**settings, **dict(zip(axes, combination, strict=True))}
        config, acting = config_and_effects(task, recipe, given, plugins.tasks, plugins.models)
        effects.append(acting)
        if any(acting.values()):
            given = _without(given, [name for name, why in acting.items() if why])
            config, _ = config_and_effects(task, recipe, given, plugins.tasks, plugins.models)
        config = lasting(with_data(config, plugins.tasks))
        path = out / default_directory(config).name
        runs.setdefault(path, PlannedRun(path, task, recipe, given, config))
    _refuse_in_vain(effects)
    return list(runs.values())


def _refuse_in_vain(effects: Iterable[Mapping[str, str]]) -> None:
    """Raise SettingError for a setting that has an effect in no combination."""
    pairs = [pair for acting in effects for pair in acting.items()]
    effective = {name for name, why in pairs if not why}
    for name, why in pairs:
        if name not in effective:
            raise SettingError(why)


def _without(settings: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    dotted = [f"training.{name}" for name in names]
    return {
        given: value for given, value in settings.items() if not any(_same(given, name) for name in dotted)
    }


def _same(one: str, other: str) -> bool:
    """Whether two names are of one setting, dotted or not."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _values(name: str, values: str | Iterable[Any]) -> list[Any]:
    """Return the values of one setting; text is split at `;` where there is one, else at commas."""
    if isinstance(values, str):
        text = values.strip().strip(";")
        values = [value.strip() for value in text.split(";" if ";" in values else ",")] if text else []
    found = list(values)
    if not found:
        raise SettingError(f"`grid` must have at least one value of {name}, as in {name}=1,2")
    return found


def _seeds(seeds: int | str | Iterable[int]) -> list[int]:
    if isinstance(seeds, str):
        seeds = _read_seeds(seeds)
    if isinstance(seeds, int):
        if seeds < 1:
            raise SettingError(f"`seeds` must be at least 1, or a list of seeds, got {seeds}")
        return list(range(seeds))
    found = list(seeds)
    if not found:
        raise SettingError("`seeds` must be a number or a list of seeds, got an empty list")
    return found


def _read_seeds(text: str) -> int | list[int]:
    parts = [part.strip() for part in text.strip().rstrip(",").split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingError(f"`seeds` must be a number N (0 to N - 1) or a list like 0,3,7, got {text!r}")
    numbers = [int(part) for part in parts]
    return numbers if "," in text else numbers[0]
