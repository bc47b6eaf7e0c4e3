"""Computes planned cells: each checkpoint is loaded once and brought to life once for all its measures.

This and what it imports is all of the analysis that needs torch; it is imported where something is computed.
"""

from __future__ import annotations

import copy
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from grokscope.analysis.clock import OWN, Clock, timed
from grokscope.analysis.given import Given
from grokscope.analysis.guard import GuardedProbe, Kept, doors_that_tell, watched_doors
from grokscope.analysis.interrupts import Interrupts, noted_interrupts
from grokscope.analysis.ledger import Failure, failure
from grokscope.analysis.plan import UNFIT, Place, PlannedCell
from grokscope.declare import Factory
from grokscope.device import threads
from grokscope.errors import (
    MOST_CHARACTERS,
    DamagedFile,
    DataError,
    GrokscopeError,
    NotApplicable,
    PluginError,
    RunError,
    UnfitBaseline,
    UnknownName,
    described,
    told,
)
from grokscope.measure import call_measure
from grokscope.memory import give_back, hold_freed, lacking
from grokscope.models.glue import fingerprint
from grokscope.models.making import make_network_apart, make_task
from grokscope.models.network import Network
from grokscope.objective import Objective
from grokscope.probe import generator_for
from grokscope.run import Cell, Checkpoint, CheckpointInfo, Run, examples
from grokscope.run.code import UNNAMED, find_factory, find_loss, own_code, places_of, settings_of
from grokscope.run.kinds import Kinds, differences, kinds_of, untied, wrong_types
from grokscope.surroundings import Surroundings
from grokscope.tasks.own import task_of
from grokscope.tasks.task import Task

HERE = Place()


@dataclass(frozen=True)
class State:
    """One checkpoint's tensors: the whole state dict, and the parameters among them, each once."""

    whole: Mapping[str, torch.Tensor]
    parameters: Mapping[str, torch.Tensor]


class Bench:
    """What all checkpoints of one run share: the task, the network's shape and the noise.

    Attributes:
        run: the run.
        clock: adds up what the time goes to, if anybody asks.
        memory: bytes that this process may take.
        given: what does not depend on the checkpoint.
        foretold: called with the seconds that the cell under way will take.
    """

    def __init__(
        self,
        run: Run,
        tasks: Mapping[str, Factory],
        models: Mapping[str, Factory],
        place: Place = HERE,
        clock: Clock | None = None,
    ) -> None:
        self.run = run
        self.clock = clock
        self._tasks = tasks
        self._models = models
        self._device = place.device
        self._data_dir = place.data_dir
        self._trusted = place.trusted
        self.memory = place.memory
        self.given = Given(run.noise_seed, place.memory)
        self.foretold: Callable[[float], None] = lambda seconds: None
        self._alive: dict[tuple[int, str], GuardedProbe] = {}

    @cached_property
    def task(self) -> Task:
        """The run's task, built from its configuration. Raises DataError when its data is gone or another."""
        with timed(self.clock, "making the task"):
            return self._made_task()

    def _made_task(self) -> Task:
        kept = self.run.config["task"].get("kept")
        try:
            if kept:
                task = task_of(self.run.config["task"]["name"], examples.read(self.run.path, kept["sha256"]))
            else:
                task = make_task(self._factory("task"), {**self._settings("task"), **self._places()})
        except DataError as error:
            raise DataError(f"{self.run.path} cannot be measured without its data: {error}") from error
        task = task.to(self._device)
        self.given.kept.take("the task (its inputs, labels or split)", task)
        return task

    @property
    def may_lack_data(self) -> bool:
        """Whether the task is read from files."""
        return bool(self.run.config.get("local") or self._data_dir or "kept" in self.run.config["task"])

    def _places(self) -> dict[str, Any]:
        """Return where things are: as asked for, as recorded while that is there, or else as by default."""
        asked = {} if self._data_dir is None else {"data_dir": self._data_dir}
        return places_of(self.run.path, self.run.config, self._factory("task")) | asked

    def _factory(self, kind: str) -> Factory:
        known = self._tasks if kind == "task" else self._models
        return find_factory(self.run.path, kind, self.run.config[kind]["name"], known, self._trusted)

    def _settings(self, kind: str) -> dict[str, Any]:
        return settings_of(self.run.path, kind, self.run.config[kind], self._factory(kind))

    def check(self) -> None:
        """Raise RunError, in one sentence for all cells, for what is not made on the word of a run.

        What is missing or cannot be imported shows in the cells that need it.
        """
        if "loss" not in self.run.config["training"]:
            raise RunError(
                f"{self.run.path} must say its training.loss to be measured; it was not trained here"
            )
        try:
            if "kept" not in self.run.config["task"]:
                self._places()
                self._settings("task")
            self._settings("model")
            _ = self.judged
        except (UnknownName, PluginError):
            return

    @cached_property
    def judged(self) -> Objective:
        """The run's loss and accuracy. Raises RunError for a loss that only the run names, PluginError."""
        training = self.run.config["training"]
        own = find_loss(self.run.path, training["loss"], self._trusted)
        return Objective(training["loss"], own, training.get("accuracy", "positions"))

    @cached_property
    def _template(self) -> Network:
        task = self.task  # where both cannot be made, this is what is said
        view = self.run.config["model"].get("view")
        network = make_network_apart(self._factory("model"), task, self._settings("model"), view)
        wide = self.run.config["training"].get("dtype", "float32") == "float64"
        network = network.to(
            self._device
        )  # complex buffers stay complex, as they do not when the type is given
        return (network.double() if wide else network.float()).eval()

    def fingerprint(self) -> str:
        """Return the fingerprint of the user's own code that makes the network, and the task if it has to."""
        names = own_code(self.run.config) - {UNNAMED}
        factories = [
            self._factory(kind) for kind in ("task", "model") if self.run.config[kind]["name"] in names
        ]
        made_by = [each.source or each.function for each in factories]
        return fingerprint(self._template, [*made_by, *self.judged.code])

    @property
    def expected(self) -> dict[str, torch.Tensor]:
        """The state dict of the run's network, with whatever values it starts from. Raises DataError."""
        return self._template.state_dict()

    @cached_property
    def _kinds(self) -> Kinds:
        return kinds_of(self._template)

    def state(self, checkpoint: CheckpointInfo, *, against_network: bool) -> State:
        """Return what the checkpoint holds, checked, also against the network where it is built anyway.

        Where the file does not say which of its tensors are parameters, the network is built to know. Raises
        DamagedFile for tensors that are not the network's, or parameters that are no real numbers.
        """
        with timed(self.clock, "reading checkpoints"):
            stored = self.run.load_checkpoint(checkpoint.step)
        kinds = stored.kinds
        if kinds is None or against_network:
            kinds = self._networks_kinds(checkpoint, stored)
        problem = wrong_types(kinds.of(stored.weights)) or untied(kinds, stored.weights)
        if problem:
            raise DamagedFile(f"{checkpoint.file}: {problem}")
        return State(stored.weights, kinds.of(stored.weights))

    def _networks_kinds(self, checkpoint: CheckpointInfo, stored: Checkpoint) -> Kinds:
        """Return what the network's tensors are, checked to be the file's.

        Where the network cannot be built, it is what the file says of itself: measures of weights do without
        it.
        """
        try:
            kinds = self._kinds
        except Exception as error:  # a network of somebody's own may raise anything
            if stored.kinds is not None:
                return stored.kinds
            raise DamagedFile(
                f"{checkpoint.file} does not say which of its tensors are parameters, and the network that "
                f"does cannot be built: {told(error)}"
            ) from error
        self._check(checkpoint, stored.weights)
        return kinds

    def _check(self, checkpoint: CheckpointInfo, state: Mapping[str, torch.Tensor]) -> None:
        _, problem = differences(self.expected, state)
        if problem:
            raise DamagedFile(f"{checkpoint.file}: its tensors are not this run's network: {problem}")

    def keep_alive(self, cells: Sequence[PlannedCell]) -> None:
        """Let go of all checkpoints but those that these cells measure or compare with."""
        wanted = {_which(each) for cell in cells for each in (cell.checkpoint, cell.baseline) if each}
        self._alive = {each: probe for each, probe in self._alive.items() if each in wanted}

    def probe(self, checkpoint: CheckpointInfo, weights: Mapping[str, torch.Tensor]) -> GuardedProbe:
        """Return a probe of the checkpoint, whose state dict is `weights`. Raises DamagedFile."""
        which = _which(checkpoint)
        if which not in self._alive:
            with timed(self.clock, "bringing networks to life"):
                self._alive[which] = self._brought_to_life(checkpoint, weights)
        return self._alive[which]

    def _brought_to_life(
        self, checkpoint: CheckpointInfo, weights: Mapping[str, torch.Tensor]
    ) -> GuardedProbe:
        network, bench = copy.deepcopy(self._template), weakref.proxy(self)
        self._check(checkpoint, weights)
        network.load_state_dict(weights)
        return GuardedProbe(
            step=checkpoint.step,
            task=self.task,
            model=network,
            weights={name: weight.detach() for name, weight in network.named_parameters()},
            loss_name=self.judged.name,
            noise=self.given.noise,
            judged=self.judged,
            clock=self.clock,
            memory=self.given.memory,
            of_task=self.given.of_task,
            foretold=lambda seconds: bench.foretold(seconds),
        )

    def baseline(self, checkpoint: CheckpointInfo) -> GuardedProbe:
        """Return the baseline's probe: the checkpoint's own where it is compared with itself."""
        if _which(checkpoint) in self._alive:
            return self._alive[_which(checkpoint)]
        return self.probe(checkpoint, self.state(checkpoint, against_network=True).whole)

    def renew(self) -> None:
        """Throw everything away that measures were given; it is made anew when it is asked for."""
        self.__dict__.pop("task", None)
        self.__dict__.pop("_template", None)
        self.given, self._alive = Given(self.run.noise_seed, self.memory), {}


def _which(checkpoint: CheckpointInfo) -> tuple[int, str]:
    return checkpoint.step, checkpoint.sha256


def look_for_data(bench: Bench, cells: Sequence[PlannedCell]) -> None:
    """Raise DataError or RunError where cells need data that is gone, or code that nobody but the run names.

    It is said once, and not for every cell.
    """
    if not any(cell.needs_network for cell in cells):
        return
    bench.check()
    if bench.may_lack_data:
        _ = bench.task


class Isolation:
    """What keeps the doings of one cell from the next: global state is put back, and signals get through."""

    def __init__(self, surroundings: Surroundings, interrupts: Interrupts) -> None:
        self.surroundings, self.interrupts = surroundings, interrupts


@contextmanager
def isolation() -> Iterator[Isolation]:
    """Compute with one thread for the block; afterwards the process is as it was."""
    with threads(1), noted_interrupts() as interrupts, doors_that_tell():
        surroundings = Surroundings()
        try:
            yield Isolation(surroundings, interrupts)
        finally:
            surroundings.close()


def compute_checkpoint(
    bench: Bench,
    cells: Sequence[PlannedCell],
    isolated: Isolation,
    begun: Callable[[PlannedCell], bool] = lambda cell: True,
    foretold: Callable[[PlannedCell, float], None] = lambda cell, seconds: None,
) -> Iterator[Cell | Failure]:
    """Yield the result or failure of every cell; all cells are of one checkpoint.

    `begun` is told before each, and may refuse it: then it yields nothing. `foretold` is told how many
    seconds a cell will take, where its measure says so.
    """
    source = _Inputs(bench, cells)
    hold_freed(bench.memory)
    bench.keep_alive(cells)
    try:
        source.load()
    except (GrokscopeError, OSError) as error:
        yield Failure("", "", "checkpoint", source.checkpoint.step, told(error))
        return
    for cell in cells:
        if begun(cell):
            bench.foretold = partial(foretold, cell)
            with timed(bench.clock, "guarding what is shared"):
                outcome = _compute(cell, source, isolated)
            yield outcome


class _Inputs:
    """What a measure's positional names stand for at one checkpoint, made when first asked for.

    They are shared by all measures of the checkpoint, and a measure that changes them is found out.
    """

    def __init__(self, bench: Bench, cells: Sequence[PlannedCell]) -> None:
        self.bench, self.checkpoint = bench, cells[0].checkpoint
        self._needs_network = any(cell.needs_network for cell in cells)
        self._kept = Kept()
        self._given: dict[str, GuardedProbe] = {}

    @cached_property
    def _state(self) -> State:
        state = self.bench.state(self.checkpoint, against_network=self._needs_network)
        self._kept.take("the weights", dict(state.parameters))
        return state

    @cached_property
    def _probe(self) -> GuardedProbe:
        return self.bench.probe(self.checkpoint, self._state.whole)

    def load(self) -> None:
        """Read the checkpoint. Raises DamagedFile."""
        _ = self._state

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the parameters in a dict of the measure's own."""
        return dict(self._state.parameters)

    def probe(self) -> GuardedProbe:
        """Return the checkpoint's probe."""
        self._given[""] = self._probe
        return self._probe

    def baseline(self, checkpoint: CheckpointInfo) -> GuardedProbe:
        """Return the probe of the checkpoint compared with."""
        if _which(checkpoint) == _which(self.checkpoint):
            return self.probe()
        self._given["of the baseline, "] = self.bench.baseline(checkpoint)
        return self._given["of the baseline, "]

    def guarded(self) -> list[Kept]:
        """Return all that the measure under way can reach."""
        return [self._kept, self.bench.given.kept, *(probe.kept for probe in self._given.values())]

    def changes(self, written: set[int]) -> list[str]:
        """Return in words what the last measure changed; `written` is where it did so past the counters."""
        found = [str(name) for kept in (self._kept, self.bench.given.kept) for name in kept.changed(written)]
        for whose, probe in self._given.items():
            found += [f"{whose}{what}" for what in probe.changes(written)]
        self._given.clear()
        self.bench.given.watch_noise()
        return found

    def renew(self) -> None:
        """Throw everything away that may have been changed; it is made anew from the run's files."""
        self.__dict__.pop("_state", None)
        self.__dict__.pop("_probe", None)
        self._kept = Kept()
        self.bench.renew()


def _compute(cell: PlannedCell, source: _Inputs, isolated: Isolation) -> Cell | Failure:
    with watched_doors(source.guarded) as doors:
        with timed(source.bench.clock, cell.registered.title, OWN):
            outcome = _measured(cell, source, isolated)
        isolated.surroundings.put_back()
    isolated.interrupts.raise_any()
    give_back(source.bench.memory)
    changes = source.changes(doors.written())
    if not changes:
        return outcome
    source.renew()
    message = f"it changed {' and '.join(changes)}, which other measures are given too, and must not"
    if isinstance(outcome, Failure):
        return failure(cell, f"{outcome.message}; {message}", outcome.detail)
    return failure(cell, message)


def _measured(cell: PlannedCell, source: _Inputs, isolated: Isolation) -> Cell | Failure:
    registered = cell.registered
    noise_seed = source.bench.run.noise_seed
    try:
        rows = call_measure(
            registered.measure,
            cell.parameters,
            weights=source.weights,
            probe=source.probe,
            baseline=lambda: source.baseline(cell.baseline or cell.checkpoint),
            rng=lambda: generator_for("measure", noise_seed, registered.id, cell.key.parameters),
        )
    except UnfitBaseline as reason:
        return Cell(cell.key, cell.checkpoint.step, (), f"{UNFIT}{reason}")
    except NotApplicable as reason:
        return Cell(cell.key, cell.checkpoint.step, (), told(reason) + _way_out(registered.title, reason))
    except GrokscopeError as error:
        return failure(cell, told(error))
    except BaseException as error:  # also a plugin's own sys.exit or KeyboardInterrupt
        isolated.interrupts.raise_any()
        return failure(cell, lacking(error) or described(error), _traceback())
    return Cell(cell.key, cell.checkpoint.step, tuple(rows), "")


def _way_out(measure: str, reason: NotApplicable) -> str:
    """Return what to type where other parameters help."""
    given = " and ".join(f"{measure}.{name}={value}" for name, value in reason.settings.items())
    return given and f"; analyze measures it with --set {given}"


def _traceback() -> str:
    try:
        return traceback.format_exc()[-MOST_CHARACTERS:].encode("utf-8", "backslashreplace").decode()
    except BaseException:  # whatever the exception does when it is looked at
        return ""
