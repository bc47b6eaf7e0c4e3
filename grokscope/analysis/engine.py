"""Computes planned cells: each checkpoint is loaded once and brought to life once for all its measures.

This is the only file of the analysis that needs torch; it is imported when something is left to compute.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from grokscope.analysis.plan import Place, PlannedCell
from grokscope.declare import Factory
from grokscope.device import threads
from grokscope.errors import (
    DamagedFile,
    DataError,
    GrokscopeError,
    NotApplicable,
    PluginError,
    RunError,
    StorageError,
    UnknownName,
)
from grokscope.measure import call_measure
from grokscope.models.network import Network
from grokscope.probe import NoiseSource, Probe, generator_for
from grokscope.run import Cell, CheckpointInfo, Run
from grokscope.run.code import find_factory, places_of, settings_of
from grokscope.tasks.task import Task

SECONDS_BETWEEN_SEGMENTS = 2.0
HERE = Place()


@dataclass(frozen=True)
class Failure:
    """A cell that could not be computed; `detail` is the traceback of a plugin's own error."""

    plugin: str
    distribution: str
    measure: str
    step: int
    message: str
    detail: str = ""

    def __str__(self) -> str:
        origin = f"plugin {self.plugin} of {self.distribution}" if self.plugin else "run"
        return f"{self.measure} at step {self.step} ({origin}): {self.message}"


class Bench:
    """What all checkpoints of one run share: the task, the network's shape and the noise."""

    def __init__(
        self,
        run: Run,
        tasks: Mapping[str, Factory],
        models: Mapping[str, Factory],
        place: Place = HERE,
    ) -> None:
        self.run = run
        self._tasks = tasks
        self._models = models
        self._device = place.device
        self._data_dir = place.data_dir
        self._trusted = place.trusted
        self._noise = NoiseSource(run.noise_seed)
        self._baseline: tuple[str, Probe] | None = None

    @cached_property
    def task(self) -> Task:
        """The run's task, built from its configuration. Raises DataError when its data is gone or another."""
        try:
            task: Task = self._factory("task").build(**self._settings("task"), **self._places())
        except DataError as error:
            raise DataError(f"{self.run.path} cannot be measured without its data: {error}") from error
        return task.to(self._device)

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
            self._places()
            self._settings("task")
            self._settings("model")
        except (UnknownName, PluginError):
            return

    @cached_property
    def _template(self) -> Network:
        task = self.task
        with torch.random.fork_rng(devices=[]):
            network: Network = self._factory("model").build(task, **self._settings("model"))
        dtype = getattr(torch, self.run.config["training"].get("dtype", "float32"))
        return network.to(self._device, dtype).eval()

    def weights(self, checkpoint: CheckpointInfo) -> dict[str, torch.Tensor]:
        """Return the checkpoint's parameters by name. Raises DamagedFile."""
        return self.run.weights(checkpoint.step)

    def probe(self, checkpoint: CheckpointInfo, weights: Mapping[str, torch.Tensor]) -> Probe:
        """Return a probe of the checkpoint. Raises DamagedFile when its weights are not this network's."""
        network = copy.deepcopy(self._template)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise DamagedFile(
                f"{checkpoint.file}: its tensors are not this run's network: {reason}"
            ) from error
        return Probe(
            step=checkpoint.step,
            task=self.task,
            model=network,
            weights={name: weight.detach() for name, weight in network.named_parameters()},
            loss_name=self.run.config["training"]["loss"],
            noise=self._noise,
        )

    def baseline(self, checkpoint: CheckpointInfo) -> Probe:
        """Return the baseline's probe; the last one asked for is kept, since most measures share it."""
        if self._baseline is None or self._baseline[0] != checkpoint.sha256:
            self._baseline = (checkpoint.sha256, self.probe(checkpoint, self.weights(checkpoint)))
        return self._baseline[1]


def compute_checkpoint(
    bench: Bench, cells: Sequence[PlannedCell], finished: Callable[[PlannedCell], None] = lambda cell: None
) -> Iterator[Cell | Failure]:
    """Yield the result or failure of every cell; all cells are of one checkpoint."""
    checkpoint = cells[0].checkpoint
    try:
        weights = bench.weights(checkpoint)
    except (GrokscopeError, OSError) as error:
        yield Failure("", "", "checkpoint", checkpoint.step, str(error))
        return
    source = _Inputs(bench, checkpoint, weights)
    for cell in cells:
        yield _compute(bench, cell, source)
        finished(cell)


class _Inputs:
    """What a measure's positional names stand for at one checkpoint, made when first asked for."""

    def __init__(self, bench: Bench, checkpoint: CheckpointInfo, weights: Mapping[str, torch.Tensor]) -> None:
        self.bench, self.checkpoint, self.weights = bench, checkpoint, weights

    @cached_property
    def probe(self) -> Probe:
        return self.bench.probe(self.checkpoint, self.weights)


def _compute(bench: Bench, cell: PlannedCell, source: _Inputs) -> Cell | Failure:
    registered = cell.registered
    measure = registered.measure
    try:
        rows = call_measure(
            measure,
            cell.parameters,
            weights=lambda: source.weights,
            probe=lambda: source.probe,
            baseline=lambda: bench.baseline(cell.baseline or cell.checkpoint),
            rng=lambda: generator_for("measure", bench.run.noise_seed, registered.id, cell.key.parameters),
        )
    except NotApplicable as reason:
        return Cell(cell.key, cell.checkpoint.step, (), str(reason))
    except GrokscopeError as error:
        return failure(cell, str(error))
    except (Exception, SystemExit) as error:  # a plugin that calls sys.exit must not end the others
        return failure(cell, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Cell(cell.key, cell.checkpoint.step, tuple(rows), "")


def failure(cell: PlannedCell, message: str, detail: str = "") -> Failure:
    """Return the failure of one cell, with where its measure comes from."""
    registered = cell.registered
    return Failure(
        registered.plugin,
        f"{registered.distribution} {registered.version}",
        registered.title,
        cell.checkpoint.step,
        message,
        detail,
    )


class Ledger:
    """Puts results away: one segment per finished checkpoint or every two seconds, whichever is later.

    Attributes:
        cells: what was computed.
        failures: what could not be.
        trouble: why nothing can be computed or stored, None while it can.
    """

    def __init__(self, run: Run, keep: bool = True) -> None:
        self.run = run
        self.cells: list[Cell] = []
        self.failures: list[Failure] = []
        self.trouble: GrokscopeError | None = None
        self._keep = keep
        self._unstored: list[Cell] = []
        self._last = time.monotonic()

    def take(self, outcome: Cell | Failure) -> None:
        """Take one result or failure."""
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            return
        self.cells.append(outcome)
        self._unstored.append(outcome)

    def checkpoint_done(self) -> None:
        """Store what has come together, unless the last segment is younger than two seconds."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_SEGMENTS:
            self.store()

    def store(self) -> None:
        """Store everything not stored yet."""
        if self._unstored and self._keep and self.trouble is None:
            try:
                self.run.store(self._unstored)
            except StorageError as error:
                self.trouble = error
        self._unstored = []
        self._last = time.monotonic()


def execute(
    bench: Bench,
    missing: Mapping[int, Sequence[PlannedCell]],
    ledger: Ledger,
    finished: Callable[[PlannedCell], None],
) -> None:
    """Compute all missing cells in this process; what is done is stored also when it is interrupted."""
    try:
        with threads(1):
            for step in sorted(missing):
                for outcome in compute_checkpoint(bench, missing[step], finished):
                    ledger.take(outcome)
                ledger.checkpoint_done()
                if ledger.trouble:
                    return
    finally:
        ledger.store()
