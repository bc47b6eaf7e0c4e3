"""The multilayer perceptron: Linear layers with ReLU between them, on vectors or on one-hot tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.kernels import Picks, picked_columns, picks_of, relu_linear
from grokscope.models.network import Network


class MLP(Network):
    """Linear -> ReLU -> ... -> Linear, with PyTorch's default initialisation.

    Tokens (n, T) of a vocabulary V are encoded as the T one-hot vectors in a row, (n, T V). `trace` names
    `layers.0_pre`, `layers.0_post`, `layers.1_pre`, ...; `first` is `layers.0_pre`.

    Args:
        inputs: width of the encoded input: d for vectors, T V for tokens.
        hidden: units of each hidden layer.
        outputs: number of logits.
        vocabulary: V, or 0 when inputs are vectors.
        last_bias, hidden_bias: whether the last layer, and whether the hidden ones, have biases.
    """

    kind = "mlp"
    drops = True
    same_in_training = True
    fixed_encoding = True

    def __init__(
        self,
        *,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        vocabulary: int = 0,
        last_bias: bool = True,
        hidden_bias: bool = True,
    ) -> None:
        super().__init__()
        if not hidden:
            raise SettingError("model mlp.hidden must name at least one layer, got an empty list")
        self.outputs = outputs
        self.vocabulary = vocabulary
        widths = [inputs, *hidden, outputs]
        last = len(hidden)
        self.layers = nn.ModuleList(
            nn.Linear(fan_in, fan_out, bias=hidden_bias if index < last else last_bias)
            for index, (fan_in, fan_out) in enumerate(pairwise(widths))
        )
        self.hidden = tuple(f"layers.{index}_post" for index in range(last))

    @property
    def _linears(self) -> list[nn.Linear]:
        return cast("list[nn.Linear]", list(self.layers))

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return vectors as they are, tokens as one-hot vectors in a row, in the weights' type."""
        weight = self._linears[0].weight
        if not self.vocabulary:
            return inputs.to(weight.dtype)
        rows = weight.new_zeros((*inputs.shape, self.vocabulary))  # F.one_hot makes whole numbers, slowly
        return rows.scatter(-1, inputs[..., None], 1).flatten(1)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from the encoded input and name every layer's values before and after ReLU."""
        return self._onward(self.layers[0](encoded))

    def trace_raw(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from raw inputs; tokens pick columns of the first weight instead of multiplying zeros."""
        own = (self.encode, MLP.encode), (self.trace, MLP.trace)
        if not self.vocabulary or any(getattr(way, "__func__", None) is not mine for way, mine in own):
            return super().trace_raw(inputs)
        return self._onward(self._picked(inputs))

    def _onward(self, pre: torch.Tensor) -> dict[str, torch.Tensor]:
        named = {"first": pre}
        for index, layer in enumerate(self.layers[1:]):
            post = F.relu(pre)
            named |= {f"layers.{index}_pre": pre, f"layers.{index}_post": post}
            pre = layer(self.dropped(post))
        return {**named, "logits": pre}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits; tokens pick columns of the first weight instead of multiplying zeros."""
        values = self._picked(inputs) if self.vocabulary else self.layers[0](self.encode(inputs))
        for layer in self._linears[1:]:
            if self.drops_nothing:
                values = relu_linear(values, layer.weight, layer.bias)
            else:
                values = layer(self.dropped(F.relu(values)))
        return values

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return rows of the layer's weight and bias, if any, and columns of the next layer's weight."""
        index = self.hidden.index(layer)
        rows = {f"layers.{index}.weight": 0, f"layers.{index}.bias": 0}
        if self._linears[index].bias is None:
            del rows[f"layers.{index}.bias"]
        return {**rows, f"layers.{index + 1}.weight": 1}

    def _picked(self, tokens: torch.Tensor) -> torch.Tensor:
        first = self._linears[0]

        def picks() -> Picks:
            blocks = self.vocabulary * torch.arange(tokens.shape[1], device=tokens.device)
            return Picks(tokens + blocks, first.in_features, first=self.vocabulary)

        return picked_columns(first.weight, first.bias, picks_of(tokens, ("columns", self.vocabulary), picks))
