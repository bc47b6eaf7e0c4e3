"""One call that begins a recording: it checks all that is given, and finds or makes the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grokscope.declare import listed
from grokscope.discovery import load_plugins
from grokscope.errors import RunError, SettingError, UsageError
from grokscope.evaluation import check_classes
from grokscope.importable import factory_at, plain_factory
from grokscope.models.making import MOST_EXAMPLES, make_network_apart
from grokscope.objective import Objective, own_or_fitting
from grokscope.recording import ranks
from grokscope.recording.live import Live
from grokscope.recording.recorder import Recorder
from grokscope.recording.schedule import Schedule
from grokscope.recording.twin import Twin
from grokscope.run import Run, glue
from grokscope.run.code import UNNAMED
from grokscope.run.config import RECORDED
from grokscope.run.examples import encode
from grokscope.run.files import sha256_hex
from grokscope.run.kinds import differences
from grokscope.run.outcome import OUTCOME
from grokscope.surroundings import kept
from grokscope.tasks.own import own_task
from grokscope.tasks.task import Task

log = logging.getLogger("grokscope")
DATA = "own data"  # no plugin's task has a space in its name
DECIDED = ("loss", "accuracy", "dtype", "steps")  # settings that are arguments, or that the network says


def record(
    out: str | Path,
    *,
    model: nn.Module,
    train: Any,
    test: Any,
    loss: str | Callable[..., Any] | None = None,
    accuracy: str = "positions",
    outcome: str | None = None,
    above: float | None = None,
    below: float | None = None,
    checkpoint_every: str | int = "log:60",
    steps: int | None = None,
    evaluate: bool = True,
    factory: str | None = None,
    layers: str | Iterable[str] = (),
    positions: str = "auto",
    examples: int = MOST_EXAMPLES,
    settings: Mapping[str, Any] | None = None,
    by: str = "loop",
    notify: Callable[[str], None] | None = None,
) -> Recorder:
    """Record the network that a loop of your own trains as a run, which everything else then takes.

    The loop calls `step` of what is returned after every update. Recording into a run that is there goes on
    with it: `last_step` is the newest step recorded. A step that is recorded twice must be equal, or it is
    said. The network is only read, and generators, modes and hooks stay as they are. Its source is not kept:
    to measure the run, what makes the network is named again, or given (`analyze(run, model=network)`).

    Args:
        out: the run directory, which is made, or gone on with.
        model: the network, of any kind; wrappers of torch.compile, DDP and FSDP are taken off. Only the first
            of several processes writes; all of them must call the recorder's methods.
        train, test: the examples that are evaluated and measured on: each a pair of tensors (inputs, labels),
            a Dataset of such pairs, or an iterable of batches of them. They are kept in the run.
        loss, accuracy: what is computed of the network, see `grokscope.import_checkpoints`.
        outcome, above, below: what says that the network has generalised, see there.
        checkpoint_every: N (every N steps), log:N (N steps evenly spaced on a logarithmic axis) or N,M,...;
            step 0 and the last are always recorded.
        steps: the loop's last step, if it is known. Without it log:N is that of 100 000 steps, and goes on.
        evaluate: whether losses and accuracies are computed at every checkpoint; if not, they are those that
            `Recorder.log` hands over, and `analyze --measure fit` computes them later.
        factory: `package.module:factory`, what makes the network anew where the run is measured: a function
            without arguments that returns it, untrained.
        layers, positions: how the network is seen, see `grokscope.import_checkpoints`.
        examples: how many of each split are kept, at most.
        settings: what else the run's configuration is to say of the training, such as lr and seed: runs are
            told apart by it.
        by: what records, a word for the run's configuration.
        notify: called with a sentence that the user should know; logged as a warning when not given.

    Raises:
        UsageError: what was asked for cannot be.
        PluginError: the network cannot be run on the examples, the data is not as described, or the factory
            cannot be imported.
        RunError: `out` holds another run, or something else; it is untouched.
        StorageError: a file cannot be written.
    """
    notify = notify or log.warning
    given = (outcome, above, below)
    said = load_plugins().outcome(*given) if given != (None, None, None) else {}
    live, schedule = Live(model), Schedule(str(checkpoint_every), steps)
    view: dict[str, Any] = {"layers": named} if (named := listed(layers)) else {}
    view |= {"positions": positions} if positions != "auto" else {}
    made: list[tuple[Run, Twin | None]] = []

    def begin() -> int | None:
        task = own_task(DATA, (train, test), examples)
        judged = own_or_fitting(loss, task.labels, accuracy)
        training = _training(settings or {}, judged, live.dtype)
        twin = _twin(live, task, view, judged, factory)
        file = encode({split: task.parted(split) for split in ("train", "test")})
        config = {
            "recipe": RECORDED,
            "task": {"name": DATA, "kept": {"sha256": sha256_hex(file)}},
            "model": {"name": factory or UNNAMED, **({"view": view} if view else {})},
            "training": training,
            OUTCOME: said,
            RECORDED: {"by": by, **({"stored": live.stored} if live.stored != live.dtype else {})},
        }
        run = _found_or_made(out, config, file, live)
        if twin:
            code = twin.fingerprint()
            if run.steps and glue.of_losses(run.path) not in ("", code):
                notify(
                    f"losses and accuracies in {run.path} so far are of other code: `fit` measures them anew"
                )
            glue.remember(run.path, code, losses="" if run.steps else code)
        made.append((run, twin))
        return max(run.steps, default=None)

    last = ranks.by_first(begin)
    run, twin = made[0] if made else (None, None)
    if run and evaluate and not twin:
        notify(
            "the network's parameters are spread over several processes: it is not evaluated without "
            "factory=..., and `grokscope analyze --measure fit` computes its losses and accuracies later"
        )
    return Recorder(run, last, live, schedule, twin=twin, evaluates=evaluate, factory=factory, notify=notify)


def _training(settings: Mapping[str, Any], judged: Objective, dtype: str) -> dict[str, Any]:
    """Return the table `training` of the configuration. Raises SettingError."""
    for name in DECIDED:
        if name in settings:
            raise SettingError(f"settings must not have {name}: it is an argument, or the network says it")
    by_sequence = {"accuracy": judged.accuracy} if judged.accuracy != "positions" else {}
    return {"loss": judged.name, "seed": 0, **settings, **by_sequence, "dtype": dtype}


def _twin(
    live: Live, task: Task, view: Mapping[str, Any], judged: Objective, name: str | None
) -> Twin | None:
    """Return a copy of the network to look at, made by the factory where one is named.

    None where parameters are spread over processes and nothing else makes the network.
    """
    if name is None and live.sharded:
        return None
    factory = factory_at("model", name) if name else plain_factory("model", UNNAMED, live.twin())
    task = task.to(live.device)
    with kept():
        network = make_network_apart(factory, task, {}, view)
    if name and not live.sharded:
        _, words = differences(live.state(), network.state_dict())
        if words:
            raise UsageError(f"factory {name} must make the network that is recorded: {words}")
    check_classes(network, task, judged)
    network = network.to(live.device, getattr(torch, live.dtype)).eval()
    made_by = (factory.source or factory.function,) if name else ()
    return Twin(network, task, judged, (*made_by, *judged.code))


def _found_or_made(out: str | Path, config: Mapping[str, Any], file: bytes, live: Live) -> Run:
    """Return the run, with the examples in it. Raises RunError where it is of another network."""
    run = Run.create(out, config)
    if run.steps and not live.sharded:
        _, words = differences(run.weights(run.steps[-1]), live.state())
        if words:
            raise RunError(f"{run.path} is of another network: {words}; record into another directory")
    run.keep_examples(file)
    return run
