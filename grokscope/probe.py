"""One checkpoint brought to life: what measures ask for is computed once and shared by all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import torch

from grokscope import objective
from grokscope.models.chain import Chain, is_linear_in, relu_chain
from grokscope.models.network import Network
from grokscope.tasks.task import Task

T = TypeVar("T")
PROVEN_ON = 16  # examples, beside random inputs
CHUNK_VALUES = 1 << 25  # encoded values per forward pass: 128 MB in float32


class Probe:
    """One checkpoint's network on its task; everything is computed when first asked for, then kept.

    Splits are `train`, `test` and `all`. Tensors carry no gradient history and must not be changed in place.
    `sigma` is the standard deviation of Gaussian noise on the encoded input; the noise is drawn once per
    (run, split, sigma) and is the same for every checkpoint and measure.

    Attributes:
        step: optimiser updates done.
        task: the task, with its split.
        model: the network, in evaluation mode, holding the checkpoint's weights.
        loss_name: `cross_entropy` or `mse`.
        weights: parameters by name.
    """

    def __init__(
        self,
        *,
        step: int,
        task: Task,
        model: Network,
        weights: Mapping[str, torch.Tensor],
        loss_name: str,
        noise: NoiseSource,
    ) -> None:
        self.step = step
        self.task = task
        self.model = model
        self.weights = dict(weights)
        self.loss_name = loss_name
        self._noise = noise
        self._memory: dict[Hashable, Any] = {}

    def shared(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, run once per checkpoint and `key`, whichever measure asks first.

        Begin the key with your plugin's name.
        """
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]

    def inputs(self, split: str) -> torch.Tensor:
        """Return the raw inputs of `split`: tokens (n, length) or vectors (n, d)."""
        return self.task.inputs[self.task.indices(split)]

    def labels(self, split: str) -> torch.Tensor:
        """Return the labels of `split`, (n,) int64."""
        return self.task.labels[self.task.indices(split)]

    def encoded(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the encoded inputs, (n, ...) float, with noise of standard deviation `sigma`."""
        if sigma == 0:
            return self.shared(("encoded", split), lambda: self._encode(split))
        return self.shared(
            ("encoded", split, sigma),
            lambda: self.encoded(split) + sigma * self._noise.draw(split, sigma, self.encoded(split)),
        )

    def trace(self, split: str, sigma: float = 0.0) -> Mapping[str, torch.Tensor]:
        """Return every tensor that the network names, from one forward pass in chunks."""
        compute = self._join if split == "all" and sigma == 0 and self._divided else self._run
        return self.shared(("trace", split, float(sigma)), lambda: compute(split, sigma))

    def logits(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the logits, (n, outputs)."""
        return self.trace(split, sigma)["logits"]

    def activations(self, split: str, sigma: float = 0.0) -> dict[str, torch.Tensor]:
        """Return the hidden layers' activations after the non-linearity, (n, units) by layer name."""
        return {name: self.trace(split, sigma)[name] for name in self.model.hidden}

    def first_layer(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the first layer of the matrix information measures, (n, d).

        An MLP's first Linear before its ReLU, a transformer's noised operand embeddings, an LSTM's
        time-averaged noised embedding.
        """
        return self.trace(split, sigma)["first"]

    def last_layer(self, split: str, sigma: float = 0.0) -> torch.Tensor:
        """Return the logits, (n, outputs): the last layer of the matrix information measures."""
        return self.logits(split, sigma)

    def relu_chain(self) -> Chain | None:
        """Return the Linear layers of a network proven to be Linear -> ReLU -> ... -> Linear, else None.

        Closed forms for ReLU networks may rest on it, whatever the network calls itself.
        """
        return self.shared(("relu chain",), lambda: relu_chain(self.model, self.encoded("all")[:PROVEN_ON]))

    def is_linear_in(self, layer: str, weight: torch.Tensor) -> bool:
        """Return whether the logits are linear in a layer of the trace, with slope `weight` (K, units).

        It is seen in their gradients at some examples.
        """
        return is_linear_in(self.model, self.encoded("all")[:PROVEN_ON], layer, weight)

    def loss(self, split: str) -> float:
        """Return the mean loss on `split`, accumulated in float64."""
        return objective.loss(self.loss_name, self.logits(split).double(), self.labels(split)).item()

    def accuracy(self, split: str) -> float:
        """Return the share of `split` whose largest logit is at its label; NaN if a logit is not finite."""
        return objective.accuracy(self.logits(split), self.labels(split))

    def _encode(self, split: str) -> torch.Tensor:
        with torch.no_grad():
            return self.model.encode(self.inputs(split)).detach()

    @property
    def _divided(self) -> bool:
        """Whether every example is in just one of train and test."""
        parts = torch.cat([self.task.train, self.task.test])
        return len(parts) == len(self.task.labels) == len(parts.unique())

    def _join(self, split: str, sigma: float) -> dict[str, torch.Tensor]:
        """Put the traces of train and test together instead of running every example once more."""
        train, test = self.trace("train"), self.trace("test")
        order = torch.cat([self.task.train, self.task.test]).argsort()
        return {name: torch.cat([train[name], test[name]])[order] for name in train}

    def _run(self, split: str, sigma: float) -> dict[str, torch.Tensor]:
        encoded = self.encoded(split, sigma)
        size = max(1, CHUNK_VALUES * len(encoded) // max(1, encoded.numel()))
        with torch.no_grad():
            parts = [self.model.trace(chunk) for chunk in encoded.split(size)]
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class NoiseSource:
    """The run's noise: one standard normal draw per (split, sigma), the same for every checkpoint."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.draws: dict[tuple[str, float, tuple[int, ...]], torch.Tensor] = {}

    def draw(self, split: str, sigma: float, like: torch.Tensor) -> torch.Tensor:
        """Return the standard normal draw in the shape, type and place of `like`."""
        key = (split, float(sigma), tuple(like.shape))
        if key not in self.draws:
            generator = generator_for("noise", self.seed, split, repr(float(sigma)))
            drawn = torch.randn(like.shape, generator=generator, dtype=torch.float32)
            self.draws[key] = drawn.to(like.device, like.dtype)
        return self.draws[key]


def generator_for(*words: str) -> torch.Generator:
    """Return a CPU generator seeded by `words`: equal words, equal numbers, on every machine."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
