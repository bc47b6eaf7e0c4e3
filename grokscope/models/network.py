"""What every network offers: a quick forward pass for training, and a traced one from the encoded input."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import SettingError


class Network(nn.Module):
    """A network whose inside can be looked at.

    Attributes:
        kind: `mlp`, `transformer`, `lstm` or a plugin's own word.
        hidden: names in `trace` of the hidden layers' activations (after the non-linearity), first to last.
        outputs: number of logits (1 for a single-logit binary network).
        drops: whether every hidden activation goes through `dropped`, so that dropout can be asked for.
        dropout: share of the hidden activations that `dropped` drops while training.
    """

    kind: str
    hidden: tuple[str, ...]
    outputs: int
    drops = False
    dropout = 0.0

    @abstractmethod
    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the encoded input, (n, ...) float: that to which noise is added.

        Pixels, one-hot vectors, or token embeddings before the positional ones.
        """

    @abstractmethod
    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network on encoded inputs and return its tensors by name.

        At least every name of `hidden`, the pre-activation of a hidden layer `X_post` as `X_pre`, `first`
        (the first layer of the matrix information measures, (n, d)) and `logits` (n, outputs).
        """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, outputs) of raw inputs; a network may have a quicker way than this one."""
        return self.trace(self.encode(inputs))["logits"]

    def dropped(self, values: torch.Tensor) -> torch.Tensor:
        """Return `values`, in training mode with the share `dropout` of them zero and the rest scaled up."""
        return F.dropout(values, self.dropout) if self.training and self.dropout else values

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return the parameters that hold the weights to and from the units of a hidden layer, by name.

        The value is the dimension along which the units lie. Biases of the units are among them.

        Raises SettingError where there are no such parameters, as it is unless a network says otherwise.
        """
        raise SettingError(
            f"hidden units can only be held at zero where each has its own weights; model {self.kind} does "
            "not say which those are (Network.unit_weights)"
        )
