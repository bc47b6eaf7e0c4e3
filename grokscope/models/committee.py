"""The committee: hidden units whose mean is the answer, lazy or rich by two numbers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.network import Network


class Committee(Network):
    """f(x) = alpha * mean_i phi(w_i . x) with phi(h) = h + epsilon h^2 / 2 (Kumar et al. 2023, section 3).

    Weights (units, d) start standard normal; there are no biases and no weights from the units on. `trace`
    names `hidden_pre` and `hidden_post`, (n, units); `first` is `hidden_pre`.

    Args:
        inputs: d.
        units: how many w_i.
        alpha: scales the output: the larger, the lazier.
        epsilon: how far the units bend; at 0 the network is linear.
    """

    kind = "committee"
    drops = True
    hidden = ("hidden_post",)
    outputs = 1

    def __init__(self, *, inputs: int, units: int, alpha: float, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, inputs))
        self.alpha, self.epsilon = alpha, epsilon

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the vectors as they are, in the weights' type."""
        return inputs.to(self.weight.dtype)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run from the vectors and name the units' values before and after phi."""
        pre = F.linear(encoded, self.weight)
        post = pre + self.epsilon / 2 * pre.square()
        logits = self.alpha * self.dropped(post).mean(dim=1, keepdim=True)
        return {"first": pre, "hidden_pre": pre, "hidden_post": post, "logits": logits}

    def last_weights(self) -> tuple[str, ...]:
        """Raise SettingError: there are none."""
        raise SettingError(
            "training.init_zero must be left out with model committee: its last layer has no weights"
        )

    def hidden_matrices(self) -> tuple[str, ...]:
        """Return the one that there is."""
        return ("weight",)

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return the rows of the one weight."""
        return {"weight": 0}
