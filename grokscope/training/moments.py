"""The moments of a step at which something can be done beside it, and how several things share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from grokscope import objective
from grokscope.models.network import Network

Tensors = dict[str, torch.Tensor]
Forward = Callable[[torch.Tensor], torch.Tensor]


class Intervention:
    """One thing done beside plain training. Each method is a moment of a step; it changes nothing here.

    It is made once, with the network at its initialisation, and may change that. `state` is saved with every
    checkpoint: all that a stopped run needs to go on bit for bit, always under the same names.
    """

    def forward(self, forward: Forward, inputs: torch.Tensor, labels: torch.Tensor) -> Forward:
        """Return the function from inputs to logits that this step trains."""
        return forward

    def loss(
        self, loss: torch.Tensor, logits: torch.Tensor, forward: Forward, inputs: torch.Tensor
    ) -> torch.Tensor:
        """Return the loss with what is added to it."""
        return loss

    def change_gradients(self) -> None:
        """Change the gradients, before the optimiser sees them."""

    def change_weights(self) -> None:
        """Change the weights, after the optimiser's update."""

    def state(self) -> Tensors:
        """Return what `restore` needs."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on where `state` was taken."""


class Interventions(Intervention):
    """All interventions of a run, in order; none of them is plain training.

    Attributes:
        parts: each of them.
        network: what gives the logits that a step trains on: the network, or the same compiled.
    """

    def __init__(
        self,
        network: Network,
        loss: str,
        parts: Sequence[Intervention] = (),
        loss_dtype: torch.dtype = torch.float32,
    ) -> None:
        self.network: Forward = network
        self._loss, self.parts = loss, tuple(parts)
        self._dtype = loss_dtype

    @property
    def plain(self) -> bool:
        """Whether the logits that a step trains on are those that the network itself gives."""
        return all(type(part).forward is Intervention.forward for part in self.parts)

    def objective(
        self, inputs: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of this step, from which gradients are taken; `logits` where they are known."""
        forward = self.network
        for part in self.parts:
            forward = part.forward(forward, inputs, labels)
        logits = forward(inputs) if logits is None else logits
        wide = logits.to(torch.promote_types(logits.dtype, self._dtype))
        loss = objective.loss(self._loss, wide, labels)
        for part in self.parts:
            loss = part.loss(loss, logits, forward, inputs)
        return loss

    def change_gradients(self) -> None:
        """Let each part change the gradients."""
        for part in self.parts:
            part.change_gradients()

    def change_weights(self) -> None:
        """Let each part change the weights."""
        for part in self.parts:
            part.change_weights()

    def state(self) -> Tensors:
        """Return the states of all parts."""
        return {
            f"{type(part).__name__}.{name}": value
            for part in self.parts
            for name, value in part.state().items()
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Give each part its own state back."""
        for part in self.parts:
            part.restore({name: state[f"{type(part).__name__}.{name}"] for name in part.state()})
