"""The task and the network that foreign checkpoints are of, and the tables that record them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory, for_toml, recorded, resolve
from grokscope.errors import SettingError, UnknownName
from grokscope.importable import factory_at, meant
from grokscope.models.making import make_network_apart, make_task
from grokscope.run.code import own_code
from grokscope.run.examples import encode
from grokscope.run.files import sha256_hex
from grokscope.tasks.language import is_language, language
from grokscope.training.config import placed
from grokscope.training.recipes import load_recipe
from grokscope.training.settings import TRAINING

if TYPE_CHECKING:
    from grokscope.models.network import Network
    from grokscope.objective import Objective
    from grokscope.tasks.task import Task

MOST_OPEN = 4  # settings that are tried both ways: 15 networks beside the first
DECIDED = ("steps", "dtype", "checkpoint_every")  # training settings that the checkpoints themselves say


@dataclass(frozen=True)
class Setup:
    """A task, a network for it, and the configuration that makes them again.

    Attributes:
        task: the task with its split.
        network: the network, with any weights.
        judged: the loss and accuracy that are computed.
        config: the tables task, model and training, and `local` where the task was read from files.
        factory: what made the network.
        settings: what it was made with.
        view: how a plain module is seen: `layers` and `positions`, where they were chosen.
        made_by: the user's own functions that made the network, and the task where that is not kept.
        kept: the file of examples that goes into the run, of the user's own data; else empty.
        open: its yes-or-no settings that nobody gave.
    """

    task: Task
    network: Network
    judged: Objective
    config: dict[str, Any]
    factory: Factory
    settings: Mapping[str, Any]
    view: Mapping[str, Any]
    made_by: tuple[Any, ...] = ()
    kept: bytes = b""
    open: tuple[str, ...] = ()

    def others(self) -> Iterator[tuple[str, Setup]]:
        """Yield what else it may be by its open settings, with what each sets; fewest changes first."""
        for count in range(1, len(self.open) + 1):
            for names in combinations(self.open, count):
                turned = {name: not self.settings[name] for name in names}
                yield ", ".join(f"model.{name}={value}" for name, value in turned.items()), self._with(turned)

    def _with(self, changes: Mapping[str, Any]) -> Setup:
        name, settings = self.config["model"]["name"], {**self.settings, **changes}
        config = {**self.config, "model": _model_table(name, self.factory, settings, self.view)}
        network = make_network_apart(self.factory, self.task, settings, self.view)
        return replace(self, network=network, config=config, settings=settings)


def set_up(
    task: str,
    model: str,
    settings: Mapping[str, Any],
    tasks: Mapping[str, Factory],
    models: Mapping[str, Factory],
    *,
    view: Mapping[str, Any],
    most: int,
    recipe: str | None = None,
    loss: str | Callable[..., Any] | None = None,
    accuracy: str = "positions",
) -> Setup:
    """Return the task and network called so, the network seen as `view` says.

    The settings of a `recipe` count where no others are given, and so do its task and network. Of a split of
    the user's own data there are at most `most` examples. Raises UsageError, PluginError, DataError.
    """
    from grokscope.evaluation import check_classes
    from grokscope.objective import own_or_fitting

    task, model, base = _from_recipe(task, model, recipe)
    if loss is not None:
        base.get("training", {}).pop("loss", None)
    task_factory, model_factory = _factory("task", task, tasks), _factory("model", model, models)
    declared = {"task": task_factory.parameters, "model": model_factory.parameters, "training": TRAINING}
    given: dict[str, dict[str, Any]] = {table: dict(base.get(table, {})) for table in declared}
    for (table, name), value in placed(settings, declared).items():
        given[table][name] = value
    named = given["training"].pop("loss", None)
    if loss is not None and named is not None:
        raise SettingError("the loss must be given once: by `loss`, or as the setting training.loss")
    training = _training(given["training"])
    task_settings = task_factory.settings(given["task"])
    model_settings = model_factory.settings(given["model"])
    made = make_task(task_factory, task_settings, most)
    judged = own_or_fitting(named if loss is None else loss, made.labels, accuracy)
    training["loss"] = judged.name
    if accuracy != "positions":
        training["accuracy"] = accuracy
    network = make_network_apart(model_factory, made, model_settings, view)
    check_classes(network, made, judged)
    if "data_sha256" in task_settings:
        task_settings["data_sha256"] = made.data_sha256
    lasting = {
        name: value for name, value in task_settings.items() if not task_factory.parameters[name].param.local
    }
    kept = b""
    if task_factory.source is not None and made.kind == "own":
        kept = encode({split: made.parted(split) for split in ("train", "test")})
    config = {
        **({"local": {"data_dir": made.data_dir}} if made.data_dir else {}),
        "task": {
            "name": task_factory.name if is_language(task) else task,
            **recorded(declared["task"], lasting),
        },
        "model": _model_table(model, model_factory, model_settings, view),
        "training": training,
    }
    if kept:
        config["task"]["kept"] = {"sha256": sha256_hex(kept)}
    undecided = [name for name, known in model_factory.parameters.items() if known.type is bool]
    free = tuple(name for name in undecided if name not in given["model"])
    named = own_code(config)
    made_by = [each for each, name in ((task_factory, task), (model_factory, model)) if name in named]
    return Setup(
        made,
        network,
        judged,
        config,
        model_factory,
        model_settings,
        view,
        (*(each.source or each.function for each in made_by), *judged.code),
        kept,
        free[:MOST_OPEN],
    )


def _from_recipe(task: str, model: str, name: str | None) -> tuple[str, str, dict[str, dict[str, Any]]]:
    """Return the task, the network, and the settings in which a recipe stands for what is not given.

    Its network's settings are of no use to another network, and what the checkpoints decide it cannot say.
    """
    recipe = load_recipe(name) if name else None
    if recipe is None:
        for kind, value in (("task", task), ("model", model)):
            if not value:
                raise SettingError(f"`{kind}` must be given where no `recipe` is")
        return task, model, {}
    tables = {table: dict(settings) for table, settings in recipe.settings.items()}
    names = {table: tables[table].pop("name") for table in ("task", "model")}
    if task not in ("", names["task"]):
        raise SettingError(
            f"recipe {recipe.name} is for task {names['task']}, not for {task}: leave one of them out"
        )
    if model not in ("", names["model"]):
        tables["model"] = {}
    for decided in DECIDED:
        tables["training"].pop(decided, None)
    return names["task"], model or names["model"], tables


def _model_table(
    name: str, factory: Factory, settings: Mapping[str, Any], view: Mapping[str, Any]
) -> dict[str, Any]:
    return {"name": name, **recorded(factory.parameters, settings), **({"view": dict(view)} if view else {})}


def _factory(kind: str, name: str, factories: Mapping[str, Factory]) -> Factory:
    if kind == "task" and name not in factories and is_language(name):
        return language(name)
    if name in factories:
        return factories[name]
    if ":" in name:
        return factory_at(kind, name)
    raise UnknownName(kind, name, factories, meant(name))


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of the training: loss and seed, and whatever else was given."""
    for name in DECIDED:
        if name in given:
            raise SettingError(f"training.{name} cannot be set here: the checkpoints decide it")
    values = resolve(TRAINING, given, "training")
    return for_toml(
        {name: value for name, value in values.items() if name in given or name in ("loss", "seed")}
    )
