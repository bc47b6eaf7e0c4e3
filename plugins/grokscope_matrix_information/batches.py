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

TOGETHER = 24  # batches computed at once
LAYERS = (
    6  # first layer, logits and centred logits, with noise and without: what the measures ask for in turn
)


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
        if self.name == "first_post":
            values = _after_relu(probe, split, self.sigma)
            numbers.require_finite(f"{self.name}: activations", values)
        else:
            name = self._traced(probe)
            values = probe.trace(split, self.sigma)[name]
            probe.require_finite(f"{self.name}: activations", name, split, self.sigma)
        probe.require_rows(split, values)
        return values

    def rows(self, features: Tensor) -> Tensor:
        """Return some rows of the features as they are compared, centred where the name says so."""
        return functional.centred(features) if self.centred else features

    @property
    def centred(self) -> bool:
        """Whether rows are compared less their means."""
        return self.name == "logits_centred"

    def _traced(self, probe: Probe) -> str:
        """Return what the layer is called in the trace."""
        if self.name == "first":
            return "first"
        if self.name == "penultimate":
            return probe.require_hidden()[-1]
        if probe.model.outputs == 1:
            raise NotApplicable(
                "a row of one logit has only a sign for a direction, so its entropy says nothing of this "
                "single-logit network",
                last_layer="penultimate",
            )
        return "logits"


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
    bounds every entropy alike; the remainder that fills no batch is dropped. Entropies are kept on the probe
    for whichever measure asks next, Gram matrices too (8 n size bytes a layer) where there is room for all.

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
        self._at_hand: dict[tuple[Layer, int], functional.Grams] = {}
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
        return torch.cat([self._entropies(layers, first) for first in self._firsts()]).mean().item()

    def information(self, first: Layer, second: Layer) -> float:
        """Return the mean over batches of I_alpha between two layers."""
        for batch in self._firsts():  # while their Gram matrices are at hand
            for layers in ((first,), (second,), (first, second)):
                self._entropies(layers, batch)
        return self.entropy(first) + self.entropy(second) - self.entropy(first, second)

    def _firsts(self) -> range:
        """Return the first of the batches that are computed together, each time."""
        return range(0, self.count, TOGETHER)

    def _entropies(self, layers: tuple[Layer, ...], first: int) -> Tensor:
        """Return the entropies of some batches from `first` on, (b,)."""
        labelled = Layer("labels") in layers and self._alpha != 2
        find = self._label_entropies if labelled else self._find_entropies
        key = ("matrix_information", "entropies", layers, self._alpha, self._key, first)
        return self._probe.shared(key, lambda: find(layers, first))

    def _find_entropies(self, layers: tuple[Layer, ...], first: int) -> Tensor:
        if len(layers) == 1:
            return functional.gram_entropies(self._grams(layers[0], first).smaller, self._alpha)
        matrices, *others = (self._grams(layer, first).whole for layer in layers)
        return functional.gram_entropies(matrices, self._alpha, others)

    def _label_entropies(self, layers: tuple[Layer, ...], first: int) -> Tensor:
        """Return the entropies of the labels of some batches, or of these and other layers, (b,)."""
        self._probe.require_classes()
        labels = self._probe.labels(self._split)[self._rows_from(first)].unflatten(0, (-1, self._size))
        others = [layer for layer in layers if layer.name != "labels"]
        if not others:
            return torch.stack([functional.label_entropy(own, self._alpha) for own in labels])
        return functional.label_joint_entropies(self._products(others, first), labels, self._alpha)

    def _products(self, layers: Sequence[Layer], first: int) -> Tensor:
        return reduce(torch.mul, [self._grams(layer, first).whole for layer in layers])

    def _grams(self, layer: Layer, first: int) -> functional.Grams:
        def compute() -> functional.Grams:
            rows = layer.rows(self._features(layer)[self._rows_from(first)])
            return functional.grams(functional.unit_rows(rows).unflatten(0, (-1, self._size)))

        if any(at != first for _, at in self._at_hand):
            self._at_hand.clear()
        if (layer, first) not in self._at_hand:
            key = ("matrix_information", "grams", layer, self._key, first)
            together = LAYERS * 8 * self.count * self._size**2
            self._at_hand[layer, first] = self._probe.shared(key, compute, together=together)
        return self._at_hand[layer, first]

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
        has = functional.has_direction_centred if layer.centred else functional.has_direction
        return torch.cat([has(part) for part in parts])
