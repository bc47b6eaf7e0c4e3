"""The complete configuration of a run: everything that changes its weights, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grokscope.declare import Factory, Parameter, recorded, resolve
from grokscope.errors import SettingError, UnknownName
from grokscope.models import MODELS
from grokscope.run.code import places_of, settings_of
from grokscope.run.outcome import OUTCOME
from grokscope.tasks import TASKS
from grokscope.training.depending import effects, founded
from grokscope.training.recipes import Recipe, load_recipe, load_recipes
from grokscope.training.schedule import checkpoint_steps
from grokscope.training.settings import TRAINING
from grokscope.training.subnetwork import UNITS, Source, find_sources

Config = dict[str, Any]
MODEL_NAMES = ("model.name", "model")
PAIRS = ("betas", "perturb", "grokfast_ema", "grokfast_ma")


def resolve_config(
    task: str,
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
) -> Config:
    """Return the configuration of training `task`: the recipe's settings, and over them `settings`.

    `{recipe, task: {name, ...}, model: {name, ...}, training: {...}}`, every setting explicit, in types that
    TOML knows, and `outcome` where the recipe has one. Without `recipe` the task's default recipe is taken,
    or the declared defaults if it has none; with `training.subnetwork` or `training.synergistic_dropout` and
    no recipe, what the run that it names was trained with. A task that has settings of this machine, such as
    `data_dir`, has them in a table of their own, `local`; a run so named says where its data is as long as it
    is there.

    Args:
        task: the task's name.
        recipe: a recipe's name, or the path of a TOML file.
        settings: by dotted name, or by the bare one where that is clear:
            `{"task.p": 53, "model.hidden": [250], "lr": 0.01}`; `model` alone is the model's name.
        tasks: the known tasks by name; the built-in ones when not given.
        models: the known models by name; the built-in ones when not given.

    Raises:
        UnknownName: no such task, recipe, model or setting.
        SettingError: a value of the wrong type or out of bounds, a bare name that two tables have, a setting
            given twice, one that has no effect for want of another, or a recipe of another task.
        RunError: `training.subnetwork` or `training.synergistic_dropout` names no run.
    """
    config, acting = config_and_effects(task, recipe, settings or {}, tasks, models)
    for why in acting.values():
        if why:
            raise SettingError(why)
    return config


def config_and_effects(
    task: str,
    recipe: str | None,
    settings: Mapping[str, Any],
    tasks: Mapping[str, Factory] | None,
    models: Mapping[str, Factory] | None,
) -> tuple[Config, dict[str, str]]:
    """Return the configuration as `resolve_config` does, and which settings are given in vain.

    These by bare name, of all given ones that act beside another one: why it has no effect, or "" where it
    has one.
    """
    start = starting_point(task, recipe=recipe, settings=settings, tasks=tasks, models=models)
    tables = {name: dict(table) for name, table in start.tables.items()}
    given = {}
    for (table, name), value in placed(_without_model(settings), start.declared).items():
        tables[table][name] = value
        if table == "training":
            given[name] = value
    sources = {source.setting: source for source in (*find_sources(tables["training"]), *start.sources)}
    for source in sources.values():
        _refuse_layer(source, given)
        tables["training"] |= source.settings()
        if source.run.config["task"]["name"] == task:
            tables["task"] = places_of(source.run.path, source.run.config, start.task) | tables["task"]
    task_settings = recorded(start.task.parameters, start.task.settings(tables["task"]))
    local = {
        name: task_settings.pop(name)
        for name in list(task_settings)
        if start.task.parameters[name].param.local
    }
    training, acting = _training(tables["training"], given, start)
    return {
        "recipe": start.recipe,
        **({"local": local} if local else {}),
        "task": {"name": task, **task_settings},
        "model": {
            "name": start.model.name,
            **recorded(start.model.parameters, start.model.settings(tables["model"])),
        },
        "training": training,
        **({OUTCOME: dict(start.outcome)} if start.outcome else {}),
    }, acting


@dataclass(frozen=True)
class Start:
    """What a configuration starts from, before its own settings: a recipe, another run, or what is declared.

    Attributes:
        recipe: the recipe's name; empty where there is none.
        task: the task, as declared.
        model: the network, as declared.
        tables: what the recipe sets in `task`, `model` and `training`; the two names left out.
        sources: the runs that the settings given name with `training.subnetwork` and the like.
        outcome: what says that the network has generalised, where it is not test accuracy.
    """

    recipe: str
    task: Factory
    model: Factory
    tables: Mapping[str, Mapping[str, Any]]
    sources: tuple[Source, ...]
    outcome: Mapping[str, Any]

    @property
    def declared(self) -> dict[str, Mapping[str, Parameter]]:
        """Return all settings that the configuration may have, by table and name."""
        return {"task": self.task.parameters, "model": self.model.parameters, "training": TRAINING}


def starting_point(
    task: str,
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
) -> Start:
    """Return what the configuration of training `task` starts from.

    Of `settings` it takes the network's name and the runs that name units, see `resolve_config` for what it
    raises.
    """
    settings = dict(settings or {})
    task_factory = known("task", task, TASKS if tasks is None else tasks)
    sources = find_sources(training_of(settings))
    if not sources or recipe is not None:
        chosen = _recipe(task, recipe)
        _refuse_local(chosen, task_factory)
    else:
        chosen = _as_trained(task, sources[0])
        first = sources[0].run
        settings_of(first.path, "task", first.config["task"], task_factory)
    tables = {name: dict(chosen.settings[name]) for name in ("task", "model", "training")}
    if "abelian" not in tables["training"]:
        tables["training"] = {"abelian_reduction": "mean"} | tables["training"]
    tables["task"].pop("name", None)
    own_model = str(tables["model"].pop("name"))
    given_model = _given_model(settings)
    model_name = own_model if given_model is None else given_model
    if model_name != own_model:
        tables["model"] = {}
    model_factory = known("model", model_name, MODELS if models is None else models)
    return Start(chosen.name, task_factory, model_factory, tables, sources, chosen.outcome)


def known(kind: str, name: str, factories: Mapping[str, Factory]) -> Factory:
    """Return the task or model called `name`. Raises UnknownName with near matches."""
    if name not in factories:
        raise UnknownName(kind, name, factories)
    return factories[name]


def _recipe(task: str, name: str | None) -> Recipe:
    if name is None:
        plain = Recipe("", "", "", "", {"task": {"name": task}, "model": {"name": "mlp"}, "training": {}})
        return next((r for r in load_recipes().values() if r.task == task and r.default), plain)
    chosen = load_recipe(name)
    if chosen.task != task:
        raise SettingError(f"recipe {chosen.name} must be one for task {task}, got one for {chosen.task}")
    return chosen


def _refuse_local(recipe: Recipe, task: Factory) -> None:
    """Refuse what a recipe must not say: where things are on a machine, or that they are to be fetched."""
    for name in recipe.settings["task"]:
        if name in task.parameters and task.parameters[name].param.local:
            raise SettingError(f"recipe {recipe.name} sets task.{name}, which is for the command line alone")


def _refuse_layer(source: Source, given: Mapping[str, Any]) -> None:
    """Refuse a layer given beside a run whose result says the layer."""
    layer = UNITS[source.setting][1]
    if str(given.get(layer, "none")).lower() != "none":
        raise SettingError(
            f"`{layer}` must be left out with `{source.setting}`, whose multiplet is of one layer, got "
            f"{given[layer]!r}: add :layer={given[layer]} to {source.text} instead"
        )


def _as_trained(task: str, source: Source) -> Recipe:
    """Return what the source of some units was trained with. Raises SettingError for another task."""
    config = source.run.config
    if config["task"]["name"] != task:
        raise SettingError(
            f"training.{source.setting} must name a run of task {task}, got {source.run.path}, "
            f"one of {config['task']['name']}"
        )
    settings = {table: config[table] for table in ("task", "model", "training")}
    return Recipe(config["recipe"], "", "", "", settings, outcome=config.get(OUTCOME, {}))


def training_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the training table among those given, by their bare names."""
    bare = {name.removeprefix("training."): value for name, value in settings.items()}
    return {name: value for name, value in bare.items() if name in TRAINING}


def _given_model(settings: Mapping[str, Any]) -> str | None:
    """Return the model's name where `settings` have it."""
    found = [settings[name] for name in MODEL_NAMES if name in settings]
    if len(found) > 1:
        raise SettingError("model.name must be given once, got it as model too")
    return str(found[0]) if found and found[0] is not None else None


def _without_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` without the model's name."""
    return {name: value for name, value in settings.items() if name not in MODEL_NAMES}


def placed(
    settings: Mapping[str, Any], declared: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], Any]:
    """Return `settings` by table and name."""
    placed: dict[tuple[str, str], Any] = {}
    for given, value in settings.items():
        place = _split(given, declared)
        if place in placed:
            raise SettingError(f"{'.'.join(place)} must be given once, got it as {place[1]} too")
        placed[place] = value
    return placed


def _split(given: str, declared: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """Return the table and name of the setting called `given`, dotted or bare."""
    places = [(table, name) for table, parameters in declared.items() for name in parameters]
    found = [place for place in places if given in (".".join(place), place[1])]
    if len(found) > 1:
        spelled = " or ".join(".".join(place) for place in found)
        raise SettingError(f"setting {given} must be spelled out: {spelled}")
    if not found:
        names = [".".join(place) if "." in given else place[1] for place in places]
        raise UnknownName("setting", given, [*names, "model.name" if "." in given else "model"])
    return found[0]


def _training(
    table: Mapping[str, Any], given: Mapping[str, Any], start: Start
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings of training, checked, and which of those given have an effect."""
    values = resolve(TRAINING, table, "training")
    values["checkpoint_every"] = str(values["checkpoint_every"]).strip()
    checkpoint_steps(values["checkpoint_every"], values["steps"])
    for name in PAIRS:
        if values[name] is not None and len(values[name]) != 2:
            raise SettingError(f"training.{name} must be two numbers, got {list(values[name])}")
    _check_grokfast(values)
    for units, _ in UNITS.values():
        values[units] = values[units] or None
    before = start.tables["training"]
    acting = effects(given, values, before)
    return recorded(TRAINING, founded(given, values, {} if start.sources else before)), acting


def _check_grokfast(values: Mapping[str, Any]) -> None:
    ema, ma = values["grokfast_ema"], values["grokfast_ma"]
    if ema is not None and ma is not None:
        raise SettingError("training.grokfast_ema and training.grokfast_ma must not both be set, got both")
    if ema is not None and ema[0] >= 1:
        raise SettingError(f"training.grokfast_ema must have alpha < 1, got {ema[0]:g}")
    if ma is not None and (ma[0] < 1 or not ma[0].is_integer()):
        raise SettingError(f"training.grokfast_ma must have a whole window >= 1, got {ma[0]:g}")
