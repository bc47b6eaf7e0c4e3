"""Which examples are compared, in which batches, and what of them is kept for other measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope import NotApplicable, numbers
from grokscope_matrix_information import functional

if TYPE_CHECKING:
    from grokscope import Probe

TOGETHER = 16  # batches computed at once


@dataclass(frozen=True)
class Layer:
    """One feature matrix of a probe: which tensor, on inputs with which noise.

    `name` is `first`, `first_post`, `logits`, `logits_centred`, `penultimate` or `labels`.
    """

    name: str
    sigma: float = 0.0

    def features(self, probe: Probe, split: str) -> Tensor:
        """Return the features, (n, d), not yet centred.

        Raises NotApplicable where the network has no such layer, and MeasureError for values that are not
        finite.
        """
        if self.name == "labels":
            probe.require_classes()
            return torch.nn.functional.one_hot(probe.labels(split), probe.task.classes)
        values = self._activations(probe, split)
        probe.require_rows(split, values)
        numbers.require_finite(f"{self.name}: activations", values)
        return values

    def rows(self, features: Tensor) -> Tensor:
        """Return some rows of the features as they are compared, centred where the name says so."""
        return functional.centred(features) if self.name == "logits_centred" else features

    def _activations(self, probe: Probe, split: str) -> Tensor:
        if self.name == "first":
            return probe.first_layer(split, self.sigma)
        if self.name == "first_post":
            return _after_relu(probe, split, self.sigma)
        if self.name == "penultimate":
            return probe.trace(split, self.sigma)[probe.require_hidden()[-1]]
        if probe.model.outputs == 1:
            raise NotApplicable(
                "a row of one logit has only a sign for a direction, so its entropy says nothing of this "
                "single-logit network",
                last_layer="penultimate",
            )
        return probe.last_layer(split, self.sigma)


def first_layer_name(choice: str) -> str:
    """Return the layer's name for the parameter `first_layer`: `pre` or `post`."""
    return {"pre": "first", "post": "first_post"}[choice]


def _after_relu(probe: Probe, split: str, sigma: float) -> Tensor:
    chain = probe.relu_chain()
    if chain is None or not chain.hidden:
        raise NotApplicable(
            "first_layer=post is after the ReLU of the first Linear of a network of Linear and ReLU layers; "
            f"this one ({probe.model.kind}) is not: leave first_layer=pre"
        )
    return chain.values(probe.encoded(split, sigma))[0].relu()


def _shuffle(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


class Batches:
    """The examples that have a direction in each of `layers`, shuffled once and cut into whole batches.

    The shuffle depends on the split's size alone: a task may list its examples in order (modular pairs by a),
    and batches of neighbours are less varied than the split is. Examples with a row of zeros in any of the
    layers are taken out *before* cutting, so that every batch has exactly `size` examples and log(size)
    bounds every entropy alike; the remainder that fills no batch is dropped. Gram matrices (8 n size bytes a
    layer) and mean entropies are kept on the probe, as far as there is room, for whichever measure asks next.

    Attributes:
        zero_rows: number of examples taken out.
        count: number of batches; without one, every entropy is NaN.

    Raises:
        NotApplicable: the split has fewer than `size` examples.
    """

    def __init__(self, probe: Probe, layers: Sequence[Layer], *, split: str, size: int, alpha: float) -> None:
        available = len(probe.labels(split))
        if available < size:
            raise NotApplicable(
                f"batch_size must be at most the {available} examples of the {split} split, got {size}: "
                "no batch is whole",
                batch_size=available,
            )
        self._probe, self._split, self._size, self._alpha = probe, split, size, alpha
        self._found: dict[Layer, Tensor] = {}
        kept = reduce(torch.logical_and, [self._has_direction(layer) for layer in layers])
        order = _shuffle(available).to(kept.device)
        self._rows = order[kept[order]]
        self.zero_rows = available - len(self._rows)
        self.count = len(self._rows) // size
        self._key = (split, size, kept.cpu().numpy().tobytes() if self.zero_rows else b"")

    def entropy(self, *layers: Layer) -> float:
        """Return the mean over batches of H_alpha of the layer's Gram matrix.

        Of several layers it is that of the Hadamard product of their Gram matrices.
        """
        if not self.count:
            return math.nan
        key = ("matrix_information", "entropy", layers, self._alpha, self._key)
        return self._probe.shared(key, lambda: self._mean_entropy(layers))

    def information(self, first: Layer, second: Layer) -> float:
        """Return the mean over batches of I_alpha between two layers."""
        return self.entropy(first) + self.entropy(second) - self.entropy(first, second)

    def _mean_entropy(self, layers: tuple[Layer, ...]) -> float:
        labelled = Layer("labels") in layers and self._alpha != 2
        entropies = self._label_entropies if labelled else self._entropies
        return torch.cat([entropies(layers, first) for first in range(0, self.count, TOGETHER)]).mean().item()

    def _entropies(self, layers: tuple[Layer, ...], first: int) -> Tensor:
        """Return the entropies of some batches from `first` on, (b,)."""
        if len(layers) == 1:
            matrices = self._grams(layers[0], first).smaller
        else:
            matrices = self._products(layers, first)
        return functional.gram_entropies(matrices, self._alpha)

    def _label_entropies(self, layers: tuple[Layer, ...], first: int) -> Tensor:
        """Return the entropies of the labels of some batches, or of these and other layers, (b,)."""
        self._probe.require_classes()
        labels = self._probe.labels(self._split)[self._rows_from(first)].split(self._size)
        others = [layer for layer in layers if layer.name != "labels"]
        if not others:
            return torch.stack([functional.label_entropy(own, self._alpha) for own in labels])
        pairs = zip(self._products(others, first), labels, strict=True)
        return torch.stack([functional.label_joint_entropy(*pair, self._alpha) for pair in pairs])

    def _products(self, layers: Sequence[Layer], first: int) -> Tensor:
        return reduce(torch.mul, [self._grams(layer, first).whole for layer in layers])

    def _grams(self, layer: Layer, first: int) -> functional.Grams:
        def compute() -> functional.Grams:
            rows = layer.rows(self._features(layer)[self._rows_from(first)])
            return functional.grams(functional.unit_rows(rows).unflatten(0, (-1, self._size)))

        return self._probe.shared(("matrix_information", "grams", layer, self._key, first), compute)

    def _rows_from(self, first: int) -> Tensor:
        """Return which examples are in the batches computed together from `first` on."""
        return self._rows[first * self._size : min(first + TOGETHER, self.count) * self._size]

    def _features(self, layer: Layer) -> Tensor:
        if layer not in self._found:
            self._found[layer] = layer.features(self._probe, self._split)
        return self._found[layer]

    def _has_direction(self, layer: Layer) -> Tensor:
        key = ("matrix_information", "direction", layer, self._split)
        return self._probe.shared(key, lambda: self._find_direction(layer))

    def _find_direction(self, layer: Layer) -> Tensor:
        parts = self._features(layer).split(numbers.ROWS)
        return torch.cat([functional.has_direction(layer.rows(part)) for part in parts])
