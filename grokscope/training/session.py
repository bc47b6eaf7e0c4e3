"""One call that trains: it finds or makes the run of a configuration and trains what is missing of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.declare import Factory
from grokscope.device import denormals_flushed, find_device, keep_memory
from grokscope.device import threads as use_threads
from grokscope.discovery import MEASURING, load_plugins
from grokscope.errors import SettingError
from grokscope.models.making import make_network, make_task
from grokscope.run import Run, default_directory
from grokscope.run.config import RUN_FILE
from grokscope.run.sites import Site, site_of
from grokscope.run.store import exists
from grokscope.training.config import Config, known, resolve_config, training_of
from grokscope.training.progress import Progress
from grokscope.training.subnetwork import DROPPING, UNITS, Source, find_sources

if TYPE_CHECKING:
    import torch

    from grokscope.models.network import Network
    from grokscope.tasks.task import Task
    from grokscope.training.loop import Loop

log = logging.getLogger("grokscope")


def train(
    task: str,
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    threads: int = 1,
    compile: bool = False,
    tasks: Mapping[str, Factory] | None = None,
    models: Mapping[str, Factory] | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    notify: Callable[[str], None] | None = None,
) -> Run:
    """Train a network on `task` and return its run, with a checkpoint at every scheduled step.

    The same call again finds the run: it continues an unfinished one from its newest checkpoint - bit for bit
    on the same machine and thread count - and returns a finished one at once. A run is finished when it has
    a checkpoint at `training.steps`.

    Args:
        task: the task's name, for example `modadd`.
        recipe: a recipe's name, or the path of a TOML file; the task's default recipe when not given.
        settings: what differs from the recipe, by dotted name: `{"task.p": 53, "training.lr": 0.01}`.
        out: the run directory, or the URL that it is to lie at, such as s3://bucket/runs/x; when not given
            it is named after the configuration, under `runs/`.
        threads: CPU threads of torch while it trains; no part of the configuration, but of the last bits.
        compile: have torch compile the network's passes, which takes its time first and needs a C++
            compiler; like `threads` no part of the configuration, but of the last bits.
        tasks: the known tasks by name; those of all plugins when not given.
        models: the known models by name; those of all plugins when not given.
        progress: called after every step.
        stop: asked after every step; True ends training with a checkpoint; the run returned is unfinished.
        notify: called with a sentence that the user should know; logged as a warning when not given.

    Raises:
        UnknownName, SettingError: what was asked for cannot be; nothing was written.
        DataError: the task's data is missing, damaged, or not that of `task.data_sha256`.
        RunError: `out` holds another run, or something else; it is untouched.
        TrainingError: the loss is not finite.
        StorageError: a file cannot be written.
    """
    notify = notify or log.warning
    if tasks is None or models is None:
        plugins = load_plugins(hooks=MEASURING)
        for sentence in plugins.slow:
            notify(sentence)
        tasks = plugins.tasks if tasks is None else tasks
        models = plugins.models if models is None else models
    config = resolve_config(task, recipe=recipe, settings=settings, tasks=tasks, models=models)
    config = with_data(config, tasks)
    path = site_of(out) if out is not None else default_directory(config)
    if exists(path / RUN_FILE):
        run = Run.create(path, lasting(config))
        for problem in run.problems:
            notify(problem)
        if is_finished(run):
            run.refresh_index()  # the one who trained it may have been killed before
            notify(f"{run.path} is complete: all {config['training']['steps']} steps are trained")
            return run
    with torch_state(config, threads):
        loop = prepared(
            path,
            config,
            tasks,
            models,
            sources=find_sources(training_of(settings or {})),
            compile=compile,
            progress=progress or (lambda _: None),
            stop=stop or (lambda: False),
            notify=notify,
        )
        loop.go()
    loop.run.refresh_index()
    return loop.run


def prepared(
    path: Site,
    config: Config,
    tasks: Mapping[str, Factory],
    models: Mapping[str, Factory],
    *,
    sources: Iterable[Source] = (),
    compile: bool = False,
    **others: Any,
) -> Loop:
    """Return the run of a configuration, ready to be trained in a `torch_state`.

    Args:
        path: where it is, or is made.
        config: its configuration, as `with_data` gives it.
        tasks, models, compile: as for `train`, which says what is raised.
        sources: the runs that its units are of.
        others: what `Loop` takes too.
    """
    from grokscope.training.interventions import interventions
    from grokscope.training.loop import Loop

    task, network, drawn = build(config, tasks, models)
    for source in sources:
        check_source(source, network, config["training"])
    beside = interventions(config["training"], task, network, drawn)
    if compile:
        from grokscope.training.compiling import compiled

        batch = config["training"]["batch_size"] or len(task.train)
        beside.network = compiled(network, task.examples("train")[0][:batch])
    run = Run.create(path, lasting(config))
    run.check_writable()
    return Loop(run, task, network, beside, **others)


def lasting(config: Config) -> Config:
    """Return what a run keeps of its configuration: of settings of this machine only the places."""
    local = {
        name: value for name, value in config.get("local", {}).items() if isinstance(value, str) and value
    }
    return {**config, "local": local}


def is_finished(run: Run) -> bool:
    """Return whether the run has its last checkpoint."""
    return run.config["training"]["steps"] in run.steps


def with_data(config: Config, tasks: Mapping[str, Factory]) -> Config:
    """Return the configuration with the digest of the data that the task is read from, and where that lies.

    So the run's identity covers the data, but not its place. A task takes part by declaring the setting
    `data_sha256`, and by returning a Task that has it. Raises DataError when the data is not there.
    """
    if "data_sha256" not in known("task", config["task"]["name"], tasks).parameters:
        return config
    task = make_task(_factory("task", config, tasks), _settings("task", config))
    found = {**config, "task": {**config["task"], "data_sha256": task.data_sha256}}
    return {**found, "local": {"data_dir": task.data_dir} if task.data_dir else {}}


def build(
    config: Config, tasks: Mapping[str, Factory], models: Mapping[str, Factory]
) -> tuple[Task, Network, torch.Tensor]:
    """Return the task, the network at its initialisation, and the norm of its weights as drawn.

    Task and network are on the configuration's device; the l2 norm is that of the weights drawn and scaled,
    before a layer was set to zero.

    Weights are drawn in float32 on the CPU from torch's generator, so that one seed means the same weights
    on every device and in every type.

    Raises SettingError for what only the built task can refuse, such as a batch larger than the data.
    """
    import torch

    from grokscope.objective import fitting_loss
    from grokscope.training.interventions import scale_parameters, weight_norm, zero_last_layer

    training = config["training"]
    device = find_device(training["device"], "training.device")
    task = make_task(_factory("task", config, tasks), _settings("task", config))
    if training["batch_size"] > len(task.train):
        raise SettingError(
            f"training.batch_size must be at most {len(task.train)}, the number of training examples "
            f"(0 is all of them), got {training['batch_size']}"
        )
    fitting_loss(training["loss"], task.labels)
    network = make_network(_factory("model", config, models), task, _settings("model", config))
    scale_parameters(network, training["init_scale"], training["init_scale_only"])
    drawn = weight_norm(network)
    if training["init_zero"]:
        zero_last_layer(network)
    return task.to(device), network.to(device, getattr(torch, training["dtype"])), drawn.to(device)


def check_source(source: Source, network: Network, training: Mapping[str, Any]) -> None:
    """Check that units of a source mean the same here and can be masked or dropped, or SettingError."""
    _check_start(source, network)
    layer = training.get(UNITS[source.setting][1])
    if not network.hidden:
        raise SettingError(
            f"training.{source.setting} must be left out with model {network.kind}, which has no hidden layer"
        )
    if layer is not None and layer not in network.hidden:
        raise SettingError(
            f"training.{source.setting} must name a multiplet of units of {' or '.join(network.hidden)}, got "
            f"{source.text}, one of {layer}: take :layer={network.hidden[0]}, which "
            f"{source.command(layer=network.hidden[0])} stores"
        )
    if source.setting == DROPPING and not network.drops:
        raise SettingError(
            f"training.{source.setting} must be left out with model {network.kind}, whose hidden activations "
            "cannot be dropped (Network.drops, Network.dropped)"
        )


def _check_start(source: Source, network: Network) -> None:
    """Check that both start from the same weights, or SettingError."""
    import torch

    if 0 not in source.run.steps:
        raise SettingError(
            f"training.{source.setting} must name a run that has its initial weights, got {source.run.path}, "
            "which has no checkpoint at step 0: train that run anew"
        )
    own = {name: weight.float().cpu() for name, weight in network.state_dict().items()}
    theirs = source.run.weights(0)
    same = own.keys() == theirs.keys() and all(torch.equal(own[name], theirs[name].float()) for name in own)
    if not same:
        raise SettingError(
            f"training.{source.setting} must name a run with the same initial weights, got "
            f"{source.run.path}, whose step 0 has others: train with its task, model, seed and init settings"
        )


@contextmanager
def torch_state(config: Config, threads: int) -> Iterator[None]:
    """Seed torch, set its threads and flush denormals for the block; afterwards all are as they were."""
    import torch

    if threads < 1:
        raise SettingError(f"threads must be at least 1, got {threads}")
    device = find_device(config["training"]["device"], "training.device")
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus), use_threads(threads), denormals_flushed():
        torch.manual_seed(config["training"]["seed"])
        keep_memory()
        yield


def _factory(kind: str, config: Config, factories: Mapping[str, Factory]) -> Factory:
    return known(kind, config[kind]["name"], factories)


def _settings(kind: str, config: Config) -> dict[str, Any]:
    """A table's settings, of a task also the places."""
    settings = {name: value for name, value in config[kind].items() if name != "name"}
    return {**settings, **config.get("local", {})} if kind == "task" else settings
