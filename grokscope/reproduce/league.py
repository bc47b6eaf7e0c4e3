"""What the league is over: its own settings, trained or found again, or what given runs are seeds of."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from grokscope.analysis import analyze_many
from grokscope.analysis.clock import OWN, Clock
from grokscope.analysis.plan import select_steps
from grokscope.errors import GrokscopeError
from grokscope.figure import Group, Trained
from grokscope.registry import Plugins
from grokscope.reproduce.runs import Gathered, Wanted, gather, planned
from grokscope.results import Results
from grokscope.run import differing_settings, is_seed
from grokscope.run.curves import GROKKED_AT
from grokscope.statistics.courses import LOOKED_AT
from grokscope.training import resolve_config
from grokscope.training.recipes import load_recipe

FILE = Path(__file__).with_name("league.toml")
SEEDS, QUICK_SEEDS = 5, 3
CHECKPOINTS, QUICK_CHECKPOINTS = 40, 18
LOOKS = (*LOOKED_AT, "data_sha256", "dtype")


@dataclass(frozen=True)
class Setting:
    """One setting of the league.

    Attributes:
        name: what tables call it.
        group: its runs.
        groks: whether they grok, as seen before.
        grokked_at: test accuracy that counts as grokked.
        seconds, quick_seconds: what one run takes of one core, trained and measured.
        expensive, quick_expensive: what expensive measures take at one checkpoint more.
    """

    name: str
    group: Group
    groks: bool
    grokked_at: float
    seconds: float
    quick_seconds: float
    expensive: float
    quick_expensive: float

    @property
    def recipe(self) -> str:
        """The recipe that it trains."""
        runs = self.group.runs
        return (runs.recipe or "") if isinstance(runs, Trained) else ""

    def checkpoints(self, quick: bool) -> str:
        """The steps of its checkpoints, with commas."""
        runs = self.group.runs
        assert isinstance(runs, Trained)
        return str((runs.quick if quick else runs.settings)["checkpoint_every"])


def league_settings(
    measures: Sequence[str] = (), parameters: Mapping[str, Any] | None = None
) -> dict[str, Setting]:
    """Return the settings that the league trains, by name.

    Args:
        measures: what is measured on their runs.
        parameters: of these, by `measure.parameter`.
    """
    found = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: _setting(name, table, tuple(measures), parameters or {}) for name, table in found.items()}


def _setting(
    name: str, table: Mapping[str, Any], measures: tuple[str, ...], parameters: Mapping[str, Any]
) -> Setting:
    recipe = load_recipe(table["recipe"])
    settings, quick = table.get("settings", {}), table.get("quick", {})
    first, sooner = table["first"]
    steps = {**recipe.settings["training"], **settings}["steps"]
    trained = Trained(
        recipe.task,
        recipe.name,
        {**settings, "checkpoint_every": _checkpoints(first, steps, CHECKPOINTS)},
        {**quick, "checkpoint_every": _checkpoints(sooner, quick.get("steps", steps), QUICK_CHECKPOINTS)},
        SEEDS,
    )
    full, smaller = table["seconds"]
    group = Group(trained, measures, parameters=parameters)
    grokked = table.get("grokked_at", GROKKED_AT)
    return Setting(name, group, table["groks"], grokked, full, smaller, *table["expensive"])


def _checkpoints(first: int, steps: int, count: int) -> str:
    """Step 0, and so many evenly on a log axis; those that round to the same whole number are one."""
    places = {round(first * (steps / first) ** (at / (count - 1))) for at in range(count)}
    return ",".join(map(str, sorted({0, *places})))


def foretold(settings: Iterable[Setting], wanted: Wanted) -> tuple[int, float]:
    """Return how many runs are not there yet, and how many minutes of one core they will take."""
    runs, seconds = 0, 0.0
    for setting in settings:
        missing = [
            path for path in planned(setting.group, _seeded(wanted)) if not (path / "run.toml").exists()
        ]
        runs += len(missing)
        seconds += len(missing) * (setting.quick_seconds if wanted.quick else setting.seconds)
    return runs, seconds / 60


def expensive_minutes(settings: Iterable[Setting], wanted: Wanted) -> float:
    """Return how many minutes of one core expensive measures take on all runs, where none are stored."""
    seconds = 0.0
    for setting in settings:
        steps = [int(step) for step in setting.checkpoints(wanted.quick).split(",")]
        each = setting.quick_expensive if wanted.quick else setting.expensive
        runs = len(planned(setting.group, _seeded(wanted)))
        seconds += runs * each * len(select_steps(wanted.expensive, steps, "expensive"))
    return seconds / 60


def train_league(settings: Mapping[str, Setting], wanted: Wanted, **watching: Any) -> Gathered | None:
    """Train or find the runs of every setting, and measure them; None where it was stopped.

    `watching` are `progress` and `stop` of `Wanted`.
    """
    groups = {name: setting.group for name, setting in settings.items()}
    gathered = gather(groups, replace(_seeded(wanted), **watching), "league")
    return None if gathered.stopped else gathered


def _seeded(wanted: Wanted) -> Wanted:
    return replace(wanted, seeds=wanted.seeds or (QUICK_SEEDS if wanted.quick else None))


def setting_of(config: Mapping[str, Any], plugins: Plugins) -> str:
    """Return what a run is a seed of, in words: its recipe, and in what it differs from that.

    >>> from grokscope.discovery import load_plugins
    >>> config = resolve_config("modadd", recipe="clauw", settings={"weight_decay": 10, "seed": 3})
    >>> setting_of(config, load_plugins())
    'clauw, weight_decay 10'
    """
    name = config.get("recipe") or config["task"].get("name", "")
    try:
        plain = resolve_config(
            config["task"]["name"], recipe=config["recipe"], tasks=plugins.tasks, models=plugins.models
        )
    except (GrokscopeError, KeyError):  # a recipe of its own, or a network of somebody's own
        return str(name)
    own, of_recipe = ({**each, "local": {}} for each in (config, plain))
    differing = {
        setting: _shown(values[0])
        for setting, values in differing_settings([own, of_recipe]).items()
        if not (is_seed(setting) or setting.endswith(LOOKS))
    }
    return ", ".join([str(name), *(f"{setting} {value}" for setting, value in differing.items())])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def grokked_at(runs: Mapping[str, Results], settings: Mapping[str, str], test: float) -> dict[str, float]:
    """Return the test accuracy that counts as grokked, by setting: that of the league's own of its recipe."""
    own = {each.recipe: each.grokked_at for each in league_settings().values()}
    return {
        settings[run]: min(test, own.get(str(results.config.get("recipe")), test))
        for run, results in runs.items()
    }


def costs(paths: Mapping[str, Path], measures: Sequence[str], **others: Any) -> dict[tuple[str, str], float]:
    """Return what each measure takes of the processor at one checkpoint of a run, in ms.

    By setting and measure. The middle one of its checkpoints is measured anew, and nothing is kept. What
    measures share, as a forward pass, counts for none.

    Args:
        paths: a run of each setting.
        measures: which.
        others: arguments of `analyze_many`.
    """
    found: dict[tuple[str, str], float] = {}
    for setting, path in paths.items():
        clock = Clock()
        with TemporaryDirectory() as folder:
            analyze_many(
                [path], measures, steps=_middle(path), refresh=True, out=folder, clock=clock, **others
            )
        for spent in clock.take():
            if spent.kind == OWN and spent.times:
                found[setting, spent.part] = 1000 * spent.cpu / spent.times
    return found


def _middle(path: Path) -> str:
    from grokscope.run import Run

    steps = sorted(Run.open(path).steps)
    return str(steps[math.ceil(len(steps) / 2) - 1]) if steps else "all"
