"""The training loop: one update after another, evaluated when it logs, stopped and continued bit for bit.

After every checkpoint `resume.safetensors` is replaced: it holds the optimiser's state, the random states and
the curve since the last scheduled checkpoint, and names the checkpoint that it belongs to. The order - first
the checkpoint, then the resume state - means that at any moment the two on disk fit together. Both are
written from copies while the next steps are computed; a checkpoint counts as written when it is durable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Generator, Mapping
from contextlib import closing

import torch

from grokscope.errors import DamagedFile, StorageError, TrainingError, UnknownName
from grokscope.evaluation import at_once, evaluate
from grokscope.models.network import Network
from grokscope.objective import Objective
from grokscope.run import Run
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.kinds import kinds_of
from grokscope.surroundings import flushes_denormals
from grokscope.tasks.task import Task
from grokscope.training.behind import Behind
from grokscope.training.moments import Interventions
from grokscope.training.optimizers import Optimizer
from grokscope.training.order import Order
from grokscope.training.progress import Progress
from grokscope.training.resuming import (
    Resumable,
    Tensors,
    check_weights,
    optimizer_state,
    read_step,
    rest_of,
)
from grokscope.training.schedule import checkpoint_steps

COMPILED = "compiled"  # whether the network's passes were, which changes the last bits
SEEDS = "seeds together"  # how many were trained as one computation, which changes them too
ARITHMETIC = "arithmetic"  # of our own making: in which order the numbers of a step are added
SUMS = "2"  # it goes up when a change of ours moves the last bits; runs that do not say so have 1
DENORMALS = "denormal numbers"  # kept or flushed; runs that do not say so kept them
READ_AT_ONCE = ("cpu",)  # devices whose loss costs nothing to read; others would be waited for at every step


class Loop:
    """One run in training: the network, its optimiser, and the order of the examples.

    Args:
        run: where checkpoints go; its configuration says everything about training.
        task: the task, on the device.
        network: the network at its initialisation, on the device.
        interventions: what is done beside the plain step.
        seeds: of how many runs the steps are one computation, see `Together`. With others, this run has
            torch's generators as they are now, and draws nothing from them.
        progress: called after every step.
        stop: asked after every step; True ends training with a checkpoint.
        notify: called with a sentence about anything that is not as it should be.
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        network: Network,
        interventions: Interventions,
        *,
        seeds: int = 1,
        progress: Callable[[Progress], None],
        stop: Callable[[], bool],
        notify: Callable[[str], None],
    ) -> None:
        self.settings = run.config["training"]
        self.run, self._task, self.network, self._seeds = run, task, network, seeds
        self.interventions = interventions
        self._progress, self._stop, self._notify = progress, stop, notify
        self.optimizer = Optimizer(network, self.settings)
        inputs, labels = task.examples("train")
        self.order = Order(inputs, labels, self.settings["batch_size"], self.settings["seed"])
        self._schedule = checkpoint_steps(self.settings["checkpoint_every"], self.settings["steps"])
        self._device = labels.device
        self._generators = random_states(self._device) if seeds > 1 else None
        self._written = set(run.steps)
        self._curve: list[tuple[float, ...]] = []  # step, then CURVE_COLUMNS, since the last scheduled one
        self._losses: list[tuple[int, torch.Tensor]] = []  # of steps not yet looked at
        self._looks_ahead = self._can_look_ahead(inputs)
        self._ahead: torch.Tensor | None = None  # the next step's logits, where evaluating has computed them
        self._metrics = dict.fromkeys(CURVE_COLUMNS, math.nan)
        self._behind = Behind()

    def go(self) -> None:
        """Train from where the run stands to its last step, or until `stop` says so.

        Raises TrainingError when a loss is not finite.
        """
        with closing(self.steps()) as steps:
            for step in steps:
                self.update(step)

    def steps(self) -> Generator[int, None, None]:
        """Yield each step that is left to do, which must be done before the next is asked for.

        In between the run is evaluated, saved and reported. Raises TrainingError when a loss is not finite.
        """
        with self._behind:
            step, last = self._begin(), self.settings["steps"]
            stopping = self._stop()
            while step < last and not stopping:
                step += 1
                yield step
                if self._device.type in READ_AT_ONCE:
                    self._check_losses()
                stopping = self._stop()
                self._record(step, stopping=stopping)
                self._progress(Progress(step, last, **self._metrics))

    def _begin(self) -> int:
        """Return the step that the run stands at, where it has been brought."""
        state = self._resumable()
        if state is not None:
            return self._continue(state)
        self._record(0, stopping=False)
        return 0

    def update(self, step: int) -> None:
        """Do a step of this run."""
        inputs, labels = self.order.draw()
        self.optimizer.zero_grad()
        ahead, self._ahead = self._ahead, None
        loss = self.interventions.objective(inputs, labels, ahead)
        self.hear(step, loss)
        loss.backward()
        self.interventions.change_gradients()
        if self.settings["clip_norm"]:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings["clip_norm"])
        self.optimizer.step(step)
        self.interventions.change_weights()

    def hear(self, step: int, loss: torch.Tensor) -> None:
        """Take what the loss of a step is."""
        self._losses.append((step, loss.detach()))

    def _record(self, step: int, *, stopping: bool) -> None:
        log = step % self.settings["log_every"] == 0
        save = stopping or step in self._schedule
        if not (log or save):
            return
        self._check_losses()
        self._metrics = self._evaluate(last=stopping or step == self.settings["steps"])
        self._refuse_infinite(step, self._metrics["train_loss"])
        if log:
            self._curve.append((step, *self._metrics.values()))
        if save:
            self._save(step)

    def _evaluate(self, *, last: bool) -> dict[str, float]:
        if self._looks_ahead and not last:
            self._ahead = self.network(self.order.draw()[0])
        known = None if self._ahead is None else self._ahead.detach()
        self.network.eval()
        found = evaluate(self.network, self._task, Objective(self.settings["loss"]), known)
        self.network.train()
        return found

    def _can_look_ahead(self, inputs: torch.Tensor) -> bool:
        """Return whether a step trains on the very logits that all training inputs have before it."""
        network, beside = self.network, self.interventions
        plain = beside.plain and beside.network is network
        same = network.same_in_training and network.drops_nothing and not self.settings["batch_size"]
        return self._seeds == 1 and plain and same and len(inputs) <= at_once(inputs)

    def _check_losses(self) -> None:
        pending, self._losses = self._losses, []
        if pending:
            values = torch.stack([loss for _, loss in pending]).tolist()
            for (step, _), value in zip(pending, values, strict=True):
                self._refuse_infinite(step, value)

    def _refuse_infinite(self, step: int, loss: float) -> None:
        if math.isfinite(loss):
            return
        self._behind.wait()
        good = max((saved for saved in self._written if saved < step), default=None)
        kept = (
            "there is no checkpoint before it" if good is None else f"the last good checkpoint is step {good}"
        )
        raise TrainingError(
            f"training stopped at step {step}: the loss must be finite, got {loss}; "
            f"{kept} in {self.run.path}; try a lower training.lr than {self.settings['lr']:g}"
        )

    def _save(self, step: int) -> None:
        columns = dict(zip(("step", *CURVE_COLUMNS), zip(*self._curve, strict=True), strict=False))
        curve = {name: list(values) for name, values in columns.items()}
        if step in self._schedule:
            self._curve = []
        kinds, metrics = kinds_of(self.network), dict(self._metrics)
        weights, state = _copies(self.network.state_dict()), _copies(self._state())
        conditions = self._conditions()  # also the number of threads, which each thread has its own of

        def write() -> None:
            if step in self._written:
                self._tell_replacement(step, weights)
            self.run.save_checkpoint(step, weights, metrics, curve, kinds)
            belongs = {"step": str(step), "weights": digest(weights), **conditions}
            self.run.save_resume(state, belongs)
            self._written.add(step)

        self._behind.give(write)

    def _tell_replacement(self, step: int, weights: Mapping[str, torch.Tensor]) -> None:
        try:
            same = digest(self.run.weights(step)) == digest(weights)
        except DamagedFile:
            same = False
        if not same:
            self._notify(f"checkpoint {step} came out with other weights than before and is replaced")

    def _state(self) -> Tensors:
        state = {
            f"optimizer.{name}.{key}": value
            for name, own in self.optimizer.state().items()
            for key, value in own.items()
        }
        curve = torch.tensor(self._curve, dtype=torch.float64).reshape(-1, 1 + len(CURVE_COLUMNS))
        return {**state, **self._rest(), "curve": curve}

    def _rest(self) -> Tensors:
        """Return the states beside the optimiser's: the order's, the interventions', the generators'."""
        generators = self._generators or random_states(self._device)
        return {**self.order.state(), **self.interventions.state(), **generators}

    def _conditions(self) -> dict[str, str]:
        compiled = self.interventions.network is not self.network
        return {
            **machine(self._device),
            SEEDS: str(self._seeds),
            **({COMPILED: "yes"} if compiled else {}),
        }

    def _resumable(self) -> Resumable | None:
        """Return the newest resume state, whole and checked; None when training starts at step 0."""
        reason = "there is no resume state" if self._written else ""
        try:
            found = self.run.load_resume()
            if found is not None:
                return self._checked(*found)
        except (DamagedFile, StorageError, UnknownName) as error:
            reason = f"the resume state cannot be used ({error})"
        if reason:
            self._notify(
                f"{reason}: training starts again from step 0; checkpoints that come out the same stay"
            )
        return None

    def _checked(self, tensors: Tensors, metadata: Mapping[str, str]) -> Resumable:
        step = read_step(metadata, self.settings["steps"])
        weights = self.run.weights(step)
        if digest(weights) != metadata.get("weights"):
            raise DamagedFile(f"checkpoint {step} is not the one that it belongs to")
        check_weights(weights, self.network)
        optimizer = optimizer_state(tensors, self.network, self.optimizer.keeps, step)
        rest = rest_of(tensors, self._rest(), 1 + len(CURVE_COLUMNS))
        return Resumable(step, weights, optimizer, rest, dict(metadata))

    def _continue(self, state: Resumable) -> int:
        self.network.load_state_dict(state.weights)
        self.optimizer.restore(state.optimizer)
        self.order.restore(state.rest)
        self.interventions.restore(state.rest)
        set_random_states(state.rest, self._device)
        if self._generators:
            self._generators = random_states(self._device)
        self._curve = [tuple(row) for row in state.rest["curve"].tolist()]
        info = next(info for info in self.run.checkpoints if info.step == state.step)
        self._metrics = {name: getattr(info, name) for name in CURVE_COLUMNS}
        self._tell_machine(state.metadata)
        return state.step

    def _tell_machine(self, metadata: Mapping[str, str]) -> None:
        now = {COMPILED: "no", **self._conditions()}
        before = {COMPILED: "no", SEEDS: "1", DENORMALS: "kept", ARITHMETIC: "1", **metadata}
        changed = [
            f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]
        ]
        if changed:
            self._notify(
                f"training goes on under other conditions ({', '.join(changed)}): "
                "it will not be bit for bit what an uninterrupted run gives"
            )


def _copies(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Return tensors as they are now, in the computer's own memory."""
    return {name: each.detach().to("cpu", copy=True) for name, each in tensors.items()}


def digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the sha256 of the tensors' names, types and bytes."""
    total = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def machine(device: torch.device) -> dict[str, str]:
    """Return what the bits of a result depend on beside the configuration."""
    return {
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        DENORMALS: "flushed" if flushes_denormals() else "kept",
        ARITHMETIC: SUMS,
    }


def random_states(device: torch.device) -> Tensors:
    """Return the states of torch's generators that training on `device` draws from."""
    states = {"torch.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["torch.cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    """Set torch's generators to `states`."""
    torch.set_rng_state(states["torch.cpu"].cpu())
    if device.type == "cuda" and "torch.cuda" in states:
        torch.cuda.set_rng_state(states["torch.cuda"].cpu(), device)
