"""The LSTM: an embedding, stacked LSTM layers, and a linear head that reads the last step's state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from grokscope.models.network import Network


class LSTM(Network):
    """The text network of Omnigrok (Liu et al. 2022): Embedding -> LSTM layers -> Linear at the last step.

    The state starts at zero for every batch; initialisation is PyTorch's default. `trace` names
    `lstm.0_state`, `lstm.1_state`, ...: the hidden state (n, d_state) of each layer at the last step.
    """

    kind = "lstm"
    drops = True

    def __init__(self, *, vocabulary: int, outputs: int, d_embedding: int, d_state: int, layers: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.hidden = tuple(f"lstm.{layer}_state" for layer in range(layers))
        self.embedding = nn.Embedding(vocabulary, d_embedding)
        self.lstm = nn.LSTM(d_embedding, d_state, layers, batch_first=True)
        self.head = nn.Linear(d_state, outputs)

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the token embeddings, (n, length, d_embedding)."""
        return self.embedding(inputs)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from embeddings; `first` is their mean over time, (n, d_embedding)."""
        self.lstm.dropout = self.dropout  # between its layers, and in training mode only
        _, (states, _) = self.lstm(encoded)
        named = dict(zip(self.hidden, states, strict=True))
        return {"first": encoded.mean(dim=1), **named, "logits": self.head(self.dropped(states[-1]))}

    def logits_with(self, factors: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits with units scaled in what reads them: the next layer, at every step, or the head.

        Their own recurrence goes on as it is.
        """
        parameters: dict[str, torch.Tensor] = dict(self.named_parameters())
        for layer, factor in factors.items():
            after = self.hidden.index(layer) + 1
            name = "head.weight" if after == len(self.hidden) else f"lstm.weight_ih_l{after}"
            parameters[name] = parameters[name] * factor
        return self.logits_at(parameters, inputs, quick=True)
