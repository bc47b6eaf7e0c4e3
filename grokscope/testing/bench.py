"""What a measure is measured on, and how it shows that all of it was left as it was."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from grokscope.measure import Measure, Row
from grokscope.models.network import Network
from grokscope.probe import NoiseSource, Probe, generator_for
from grokscope.tasks.task import Task
from grokscope.testing.examples import READOUT, kill_hidden_units


def broken_twins(probe: Probe) -> Iterator[Probe]:
    """Yield the probe's network as training never leaves it: zero, not finite, silent, dead."""
    yield _changed(probe, "all weights zero", lambda name, weight: weight.zero_())
    yield _changed(probe, "weights that are not finite", lambda name, weight: weight.fill_(math.nan))
    if READOUT.get(probe.model.kind, ("", ""))[1] in dict(probe.model.named_parameters()):
        readout = READOUT[probe.model.kind][1]
        yield _changed(probe, "constant logits", lambda name, weight: weight.mul_(name != readout))
        dead = copy.deepcopy(probe.model)
        kill_hidden_units(dead)
        yield _twin(probe, dead, "dead hidden units")


def other_knowledge(probe: Probe) -> Iterator[tuple[str, Probe]]:
    """Yield the probe with other labels, and with fewer held-out examples, and what that is called."""
    task, shuffled = probe.task, generator_for("grokscope.testing", "labels")
    if task.labels.ndim == 1:
        labels = task.labels[torch.randperm(len(task.labels), generator=shuffled)]
        yield "labels", _on(probe, replace(task, labels=labels))
    if len(task.test) > 1:
        yield "test", _on(probe, replace(task, test=task.test[: len(task.test) // 2]))


def _on(probe: Probe, task: Task) -> Probe:
    other = copy.copy(probe)
    other.task = task
    return other


def _changed(probe: Probe, what: str, change: Callable[[str, torch.Tensor], Any]) -> Probe:
    network = copy.deepcopy(probe.model)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            change(name, weight)
    return _twin(probe, network, what)


def _twin(probe: Probe, network: Network, what: str = "", step: int | None = None) -> _Watched:
    task = probe.task
    kept = {key: getattr(task, key).clone() for key in ("inputs", "labels", "train", "test")}
    twin = _Watched(
        step=probe.step if step is None else step,
        task=replace(task, **kept),
        model=network.eval(),
        weights={name: weight.detach() for name, weight in network.named_parameters()},
        loss_name=probe.loss_name,
        noise=NoiseSource("grokscope.testing"),
    )
    twin.what = what or getattr(probe, "what", "")
    return twin


class _Watched(Probe):
    """A probe that knows what everything it remembers looked like when it was computed."""

    what = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: dict[Hashable, str] = {}

    def shared(self, key: Hashable, compute: Callable[[], Any], *, together: int = 0) -> Any:
        """Return what the probe remembers as `key`, and note what it looked like."""
        value = super().shared(key, compute, together=together)
        self.seen.setdefault(key, _fingerprint(value))
        return value

    def changes(self) -> list[str]:
        """Return what is remembered and no longer as it was."""
        return [str(key) for key, seen in self.seen.items() if _fingerprint(self._memory[key]) != seen]


class Bench:
    """What a measure is given, and what of it must stay as it is; a baseline only where it takes one."""

    def __init__(self, probe: Probe, measure: Measure) -> None:
        self.probe = _twin(probe, copy.deepcopy(probe.model))
        self.probes = {"the probe's": self.probe}
        if "baseline" in measure.inputs:
            early = _changed(probe, "", lambda name, weight: weight.mul_(0.5))
            self.probes["the baseline's"] = _twin(early, early.model, step=0)
        self.weights = dict(self.probe.weights)

    @property
    def baseline(self) -> Probe:
        """The same network with smaller weights."""
        return self.probes["the baseline's"]

    def changes(self) -> list[str]:
        """Return what the probes remember and is no longer as it was."""
        return [change for probe in self.probes.values() for change in probe.changes()]

    def fingerprints(self) -> dict[str, str]:
        """Return a hash of each thing that a measure is given."""
        parts: dict[str, Any] = {"the weights": self.weights}
        for name, probe in self.probes.items():
            task, model = probe.task, probe.model
            parts[f"{name} weights"] = [probe.weights, dict(model.state_dict())]
            parts[f"{name} task"] = [task.inputs, task.labels, task.train, task.test]
            parts[f"{name} network"] = [
                str(model.training),
                [[str(weight.requires_grad), weight.grad] for weight in model.parameters()],
                [str((len(m._forward_hooks), len(m._forward_pre_hooks))) for m in model.modules()],
            ]
        return {name: _fingerprint(part) for name, part in parts.items()}

    def rng(self) -> torch.Generator:
        """Return the generator of a measure that asks for one, always at the same place."""
        return generator_for("measure", "grokscope.testing", "check_measure")


def where_of(probe: Probe) -> str:
    """Return in words what is measured."""
    what = getattr(probe, "what", "")
    return f"{probe.model.kind} on {probe.task.name} ({probe.loss_name}{', ' + what if what else ''})"


def global_state() -> dict[str, str]:
    """Return what is global and must be left alone."""
    return {
        "torch's global random state (ask for the input rng)": _fingerprint(torch.get_rng_state()),
        "numpy's global random state": _fingerprint(list(np.random.get_state())),
        "the random module's state": str(hash(random.getstate())),
        "the number of threads": str(torch.get_num_threads()),
        "torch's default dtype": str(torch.get_default_dtype()),
        "torch's gradient mode": str((torch.is_grad_enabled(), torch.is_inference_mode_enabled())),
        "torch's determinism": str(torch.are_deterministic_algorithms_enabled()),
        "numpy's error handling": str(np.geterr()),
    }


@contextlib.contextmanager
def other_random_states() -> Iterator[None]:
    """Run with other global random states than before; a measure that draws from them shows."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20405)
        np.random.seed(20405)
        random.seed(20405)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def same_rows(left: list[Row], right: list[Row]) -> bool:
    """Whether two answers agree to the last bit; NaN is NaN."""
    told = [
        [[row.labels, {k: repr(v) for k, v in row.values.items()}, dict(row.arrays)] for row in rows]
        for rows in (left, right)
    ]
    return _fingerprint(told[0]) == _fingerprint(told[1])


def _fingerprint(value: Any) -> str:
    digest = hashlib.sha256()
    _digest(value, digest.update)
    return digest.hexdigest()


def _digest(value: Any, update: Callable[[bytes], Any]) -> None:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        update(f"{value.dtype.str}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            update(str(key).encode())
            _digest(value[key], update)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _digest(item, update)
    elif isinstance(value, (str, bytes, int, float, type(None))):
        update(repr(value).encode())
