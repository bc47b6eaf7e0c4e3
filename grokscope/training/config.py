"""The complete configuration of a run: everything that changes its weights, checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from grokscope.declare import Factory, Param, read_parameters, recorded, resolve
from grokscope.errors import SettingError, UnknownName
from grokscope.models import MODELS
from grokscope.run.code import places_of, settings_of
from grokscope.tasks import TASKS
from grokscope.training.recipes import Recipe, load_recipe, load_recipes
from grokscope.training.schedule import checkpoint_steps
from grokscope.training.subnetwork import Source, find_source

Config = dict[str, Any]
PAIRS = ("betas", "perturb", "grokfast_ema", "grokfast_ma")
MOST_STEPS = 99_999_999  # checkpoint files have eight digits


def training_settings(
    *,
    loss: Annotated[
        Literal["cross_entropy", "mse", "stablemax_cross_entropy"],
        Param("mse is the mean over examples and outputs, on one-hot labels"),
    ] = "cross_entropy",
    optimizer: Annotated[Literal["adamw"], Param("decoupled weight decay, on all parameters")] = "adamw",
    lr: Annotated[float, Param("learning rate", above=0, max=1e6)] = 1e-3,
    betas: Annotated[tuple[float, ...], Param("AdamW's two betas", min=0, below=1)] = (0.9, 0.98),
    eps: Annotated[float, Param("AdamW's epsilon", min=0, max=1)] = 1e-8,
    weight_decay: Annotated[float, Param("AdamW's weight decay, times lr per step", min=0, max=1e6)] = 0.01,
    warmup_steps: Annotated[int, Param("update k has lr * min(1, (k - 1) / warmup_steps)", min=0)] = 0,
    batch_size: Annotated[int, Param("examples per step; 0 is the full batch", min=0)] = 0,
    steps: Annotated[int, Param("optimiser updates", min=1, max=MOST_STEPS)] = 10_000,
    checkpoint_every: Annotated[str | int, Param("N, log:N (N log-spaced) or N,M,...")] = "100",
    log_every: Annotated[int, Param("steps between evaluations, for the curves", min=1)] = 100,
    seed: Annotated[int, Param("draws initialisation and batch order", min=0, max=2**63 - 1)] = 0,
    init_scale: Annotated[float, Param("multiplies every initial parameter", above=0, max=1e6)] = 1.0,
    clip_norm: Annotated[
        float, Param("largest l2 norm of all gradients together; 0 is no limit", min=0)
    ] = 0.0,
    init_scale_only: Annotated[Literal["weights"] | None, Param("weights: init_scale spares biases")] = None,
    init_zero: Annotated[Literal["last_layer"] | None, Param("last_layer: it starts at zero")] = None,
    dtype: Annotated[
        Literal["float32", "float64"], Param("type of weights; the initial ones are drawn in float32")
    ] = "float32",
    loss_dtype: Annotated[
        Literal["float32", "float64"],
        Param("type that logits are cast to before the loss, where it is wider than theirs", later=True),
    ] = "float32",
    device: Annotated[str, Param("cpu, cuda, cuda:1, ...")] = "cpu",
    perturb: Annotated[
        tuple[float, ...] | None,
        Param("lambda1,lambda2: noise of sigma max(lambda1 (1 - train accuracy), lambda2) on inputs", min=0),
    ] = None,
    abelian: Annotated[
        float | None, Param("adds this times the mean squared distance of f(a, b) and f(b, a)", above=0)
    ] = None,
    abelian_reduction: Annotated[
        Literal["mean", "sum"],
        Param("squares of that distance over logits; where abelian is given anew it is the mean", later=True),
    ] = "sum",
    anti_norm: Annotated[
        float | None, Param("subtracts this times the sum of squared weights from the loss", above=0)
    ] = None,
    dropout: Annotated[float | None, Param("share of hidden activations dropped", above=0, below=1)] = None,
    constrain_norm: Annotated[
        Literal["all", "weights", "drawn"] | None,
        Param("keeps the l2 norm: of all parameters, of weights, or what weights had before init_zero"),
    ] = None,
    subnetwork: Annotated[
        str | None, Param("RUN@STEP[:inverse]: only the units of RUN's most synergistic multiplet there")
    ] = None,
    masked_units: Annotated[
        tuple[int, ...] | None, Param("hidden units held at zero; what subnetwork stands for", min=0)
    ] = None,
    masked_layer: Annotated[str | None, Param("hidden layer of masked_units; none: the first")] = None,
    grokfast_ema: Annotated[
        tuple[float, ...] | None, Param("alpha,lambda: adds lambda times the gradient's running mean", min=0)
    ] = None,
    grokfast_ma: Annotated[
        tuple[float, ...] | None,
        Param("window,lambda: adds lambda times the mean of the last window gradients", min=0),
    ] = None,
    orthogonal_gradient: Annotated[
        Literal["tensor", "network"] | None,
        Param("takes the part along the weights out of the gradient: of each tensor, or of all as one"),
    ] = None,
) -> None:
    """Declare the settings of training; `declare.resolve` checks them as it checks a measure's parameters."""


TRAINING = read_parameters(training_settings, "training")


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
    TOML knows. Without `recipe` the task's default recipe is taken, or the declared defaults if it has none;
    with `training.subnetwork` and no recipe, what the run that it names was trained with. A task that has
    settings of this machine, such as `data_dir`, has them in a table of their own, `local`; a run named by
    `training.subnetwork` says where its data is as long as it is there.

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
            given twice, or a recipe of another task.
        RunError: `training.subnetwork` names no run.
    """
    settings = dict(settings or {})
    task_factory = known("task", task, TASKS if tasks is None else tasks)
    source = find_source(training_of(settings))
    if source is None or recipe is not None:
        chosen = _recipe(task, recipe)
        _refuse_local(chosen, task_factory)
    else:
        chosen = _as_trained(task, source)
        settings_of(source.run.path, "task", source.run.config["task"], task_factory)
    given_model = _given_model(settings)
    model_name = chosen.settings["model"]["name"] if given_model is None else str(given_model)
    model_factory = known("model", model_name, MODELS if models is None else models)
    tables = {name: dict(chosen.settings[name]) for name in ("task", "model", "training")}
    if "abelian" not in tables["training"]:
        tables["training"] |= {"abelian_reduction": "mean"} | tables["training"]
    if model_name != tables["model"]["name"]:
        tables["model"] = {}
    declared = {"task": task_factory.parameters, "model": model_factory.parameters, "training": TRAINING}
    for (table, name), value in placed(settings, declared).items():
        tables[table][name] = value
    source = source or find_source(tables["training"])
    if source:
        tables["training"] |= source.settings()
        if source.run.config["task"]["name"] == task:
            tables["task"] = places_of(source.run.path, source.run.config, task_factory) | tables["task"]
    for name in ("task", "model"):
        tables[name].pop("name", None)
    task_settings = recorded(declared["task"], task_factory.settings(tables["task"]))
    local = {
        name: task_settings.pop(name) for name in list(task_settings) if declared["task"][name].param.local
    }
    return {
        "recipe": chosen.name,
        **({"local": local} if local else {}),
        "task": {"name": task, **task_settings},
        "model": {
            "name": model_name,
            **recorded(declared["model"], model_factory.settings(tables["model"])),
        },
        "training": _training(tables["training"]),
    }


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


def _as_trained(task: str, source: Source) -> Recipe:
    """Return what the source of a sub-network was trained with. Raises SettingError for another task."""
    config = source.run.config
    if config["task"]["name"] != task:
        raise SettingError(
            f"training.subnetwork must name a run of task {task}, got {source.run.path}, "
            f"one of {config['task']['name']}"
        )
    return Recipe(
        config["recipe"], "", "", "", {table: config[table] for table in ("task", "model", "training")}
    )


def training_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the training table among those given, by their bare names."""
    bare = {name.removeprefix("training."): value for name, value in settings.items()}
    return {name: value for name, value in bare.items() if name in TRAINING}


def _given_model(settings: dict[str, Any]) -> Any:
    """Take the model's name out of `settings`, where it may be `model.name` or `model`."""
    spelled = [name for name in ("model.name", "model") if name in settings]
    if len(spelled) > 1:
        raise SettingError("model.name must be given once, got it as model too")
    return settings.pop(spelled[0]) if spelled else None


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


def _training(given: Mapping[str, Any]) -> dict[str, Any]:
    values = recorded(TRAINING, resolve(TRAINING, given, "training"))
    values["checkpoint_every"] = str(values["checkpoint_every"]).strip()
    checkpoint_steps(values["checkpoint_every"], values["steps"])
    for name in PAIRS:
        if values[name] is not None and len(values[name]) != 2:
            raise SettingError(f"training.{name} must be two numbers, got {values[name]}")
    _check_grokfast(values)
    if values["abelian"] is None:
        values.pop("abelian_reduction", None)
    if values["masked_units"] == []:
        values["masked_units"] = None
    return values


def _check_grokfast(values: Mapping[str, Any]) -> None:
    ema, ma = values["grokfast_ema"], values["grokfast_ma"]
    if ema is not None and ma is not None:
        raise SettingError("training.grokfast_ema and training.grokfast_ma must not both be set, got both")
    if ema is not None and ema[0] >= 1:
        raise SettingError(f"training.grokfast_ema must have alpha < 1, got {ema[0]:g}")
    if ma is not None and (ma[0] < 1 or not ma[0].is_integer()):
        raise SettingError(f"training.grokfast_ma must have a whole window >= 1, got {ma[0]:g}")
