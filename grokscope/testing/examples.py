"""Small real networks on small real tasks, the same on every machine."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from grokscope.errors import UnknownName
from grokscope.models import MODELS
from grokscope.models.network import Network
from grokscope.models.plain import Plain
from grokscope.objective import Objective, targets
from grokscope.probe import NoiseSource, Probe
from grokscope.tasks.task import Task

Kind = Literal["mlp", "transformer", "lstm", "plain"]

Loss = Literal["cross_entropy", "mse"]

_SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (24, 16)},
    "transformer": {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 32},
    "lstm": {"d_embedding": 8, "d_state": 12},
}

READOUT = {  # the tensor that the last layer reads, the last layer's weight
    "mlp": ("layers.1_post", "layers.2.weight"),
    "transformer": ("blocks.0.resid_post", "unembed.weight"),
    "lstm": ("lstm.1_state", "head.weight"),
    "plain": ("2", "4.weight"),
}

_BEFORE_HIDDEN = {
    "mlp": ("layers.0.", "layers.1."),
    "transformer": ("blocks.0.mlp.",),
    "lstm": ("lstm.",),
    "plain": ("0.", "1."),
}


def example_probe(
    kind: Kind = "mlp",
    *,
    loss: Loss = "cross_entropy",
    seed: int = 0,
    task: str | None = None,
    trained: bool = True,
    dead: bool = False,
) -> Probe:
    """Return a probe of a small real network on a small real task, the same on every machine.

    Its weights are drawn by numpy, and the last layer is then fitted to the training split by ridge
    regression, so that it does better than chance without any training loop.

    Args:
        kind: `mlp` (two hidden layers of 24 and 16 units), `transformer` (width 16), `lstm` (two layers
            of 12 units, a single logit) or `plain` (somebody's own nn.Sequential: a convolution of 4
            channels, BatchNorm, ReLU and a Linear).
        loss: `cross_entropy` or `mse`.
        seed: another seed, another network; the task and its split stay.
        task: a name of `example_task`; `modadd` unless told, `text` for the LSTM and `own` for `plain`.
        trained: False leaves the last layer as drawn: the network at step 0.
        dead: True makes every hidden unit constant: zero after its ReLU, or an LSTM state that is zero.
    """
    examples = example_task(task or {"lstm": "text", "plain": "own"}.get(kind, "modadd"))
    network = _network(kind, examples, seed)
    if trained:
        _fit_readout(network, examples, loss)
    if dead:
        kill_hidden_units(network)
    return probe_of(network, examples, loss=loss, step=1000 if trained else 0)


def example_pair(kind: Kind = "mlp", **options: Any) -> tuple[Probe, Probe]:
    """Return (probe, baseline): `example_probe(kind, **options)` and the same network at step 0."""
    return example_probe(kind, **options), example_probe(kind, **{**options, "trained": False, "dead": False})


def example_probes() -> list[Probe]:
    """Return a probe of every kind of network, loss and task."""
    return [
        example_probe("mlp"),
        example_probe("mlp", loss="mse", task="images"),
        example_probe("transformer", task="modadd23"),
        example_probe("lstm"),
        example_probe("plain"),
    ]


def probe_of(
    network: Network, task: Task, *, loss: str | Objective = "cross_entropy", step: int = 0
) -> Probe:
    """Return a probe of your own network on your own task, as `analyze` would make it."""
    judged = loss if isinstance(loss, Objective) else Objective(loss)
    return Probe(
        step=step,
        task=task,
        model=network.eval(),
        weights={name: weight.detach() for name, weight in network.named_parameters()},
        loss_name=judged.name,
        noise=NoiseSource("grokscope.testing"),
        judged=judged,
    )


def example_task(name: str = "modadd") -> Task:
    """Return a small task, the same on every machine.

    - `modadd`: addition mod 13, 169 pairs, 67 of them for training; `modadd23`: mod 23, 529 pairs, 211.
    - `images`: 400 vectors of 20 pixels in [0, 1] around one of 5 prototypes, 240 for training; `own`: the
      same as pictures, 1 x 4 x 5.
    - `text`: 300 sequences of 10 words out of 30, 220 for training; the label is whether words of the upper
      half are the majority.
    """
    known = {
        "modadd": lambda draw: _modadd(13),
        "modadd23": lambda draw: _modadd(23),
        "images": _images,
        "own": _pictures,
        "text": _text,
    }
    if name not in known:
        raise UnknownName("example task", name, known)
    inputs, labels, classes, vocabulary, training = known[name](_numbers(0))
    order = torch.from_numpy(_numbers(1).permutation(len(labels)))
    return Task(
        name=name,
        kind="modular" if vocabulary == classes else name,
        inputs=torch.from_numpy(inputs),
        labels=torch.from_numpy(labels),
        classes=classes,
        train=order[:training].sort().values,
        test=order[training:].sort().values,
        vocabulary=vocabulary,
        symmetric=vocabulary == classes,
    )


def _numbers(seed: int) -> np.random.RandomState:
    # RandomState's streams are frozen for good; those of default_rng may change with numpy's version.
    return np.random.RandomState(seed)


_Examples = tuple[np.ndarray, np.ndarray, int, int, int]


def _modadd(p: int) -> _Examples:
    a, b = np.divmod(np.arange(p * p), p)
    return np.stack([a, b], axis=1), (a + b) % p, p, p, 2 * p * p // 5


def _images(draw: np.random.RandomState) -> _Examples:
    prototypes, labels = draw.random_sample((5, 20)), draw.randint(0, 5, 400).astype(np.int64)
    pixels = np.clip(prototypes[labels] + 0.2 * draw.standard_normal((400, 20)), 0, 1)
    return pixels.astype(np.float32), labels, 5, 0, 240


def _pictures(draw: np.random.RandomState) -> _Examples:
    pixels, labels, classes, vocabulary, training = _images(draw)
    return pixels.reshape(-1, 1, 4, 5), labels, classes, vocabulary, training


def _text(draw: np.random.RandomState) -> _Examples:
    words = draw.randint(1, 30, (300, 10)).astype(np.int64)
    return words, ((words >= 15).sum(1) > 5).astype(np.int64), 2, 30, 220


def _network(kind: str, task: Task, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        network = _plain_module(task) if kind == "plain" else MODELS[kind].build(task, **_SETTINGS[kind])
    draw = _numbers(100 + seed)
    with torch.no_grad():
        for weight in network.parameters():
            scale = 0.1 if weight.ndim == 1 else 1 / math.sqrt(weight.shape[-1])
            weight.copy_(torch.from_numpy(scale * draw.standard_normal(tuple(weight.shape))))
    return network


def _plain_module(task: Task) -> Network:
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(80, 5)
    return Plain(nn.Sequential(*layers), task.inputs, task.labels)


def _fit_readout(network: Network, task: Task, loss: str) -> None:
    """Set the last layer to the ridge regression of its inputs on the targets, in float64."""
    source, name = READOUT[network.kind]
    inputs, labels = task.examples("train")
    network.double()
    with torch.no_grad():
        traced = network.trace(network.encode(inputs))
        wanted = targets(traced["logits"], labels)
        if loss == "cross_entropy":
            wanted = torch.where(wanted > 0, 4.0, -4.0).to(wanted.dtype)
        weight = network.get_parameter(name)
        features = traced[source]
        offset = traced["logits"] - features @ weight.T
        gram = features.T @ features
        ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
        weight.copy_(torch.linalg.solve(gram + ridge, features.T @ (wanted - offset)).T)
    network.float()


def kill_hidden_units(network: Network) -> None:
    """Make every hidden unit constant: zero after its ReLU, or an LSTM state that is zero."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith(_BEFORE_HIDDEN[network.kind]):
                weight.fill_(-1.0 if weight.ndim == 1 and network.kind != "lstm" else 0.0)
