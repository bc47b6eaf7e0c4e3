"""What every network offers: a quick forward pass for training, and a traced one from the encoded input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import NotApplicable, SettingError
from grokscope.models.watching import plain_arithmetic


class Network(nn.Module):
    """A network whose inside can be looked at.

    Attributes:
        kind: `mlp`, `transformer`, `lstm` or a plugin's own word.
        hidden: names in `trace` of the hidden layers' activations (after the non-linearity), first to last.
        outputs: number of logits (1 for a single-logit binary network).
        drops: whether every hidden activation goes through `dropped`, so that dropout can be asked for.
        dropout: share of the hidden activations that `dropped` drops while training.
        values_per_example: how many numbers `trace` keeps of each example, where they may be very many.
        fixed_encoding: whether `encode` gives the same whatever the weights are.
        same_in_training: whether the pass is the same in training as in evaluation, `dropped` aside.
    """

    kind: str
    hidden: tuple[str, ...]
    outputs: int
    drops = False
    dropout = 0.0
    values_per_example = 0
    fixed_encoding = False
    same_in_training = False

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

    def trace_from(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `trace(encoded)` for the raw inputs that were encoded, where a network needs these too."""
        return self.trace(encoded)

    def trace_raw(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return `trace` of raw inputs; a network may have a quicker way than through `encode`."""
        return self.trace_from(self.encode(inputs), inputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits (n, outputs) of raw inputs; a network may have a quicker way than this one."""
        return self.trace(self.encode(inputs))["logits"]

    def logits_at(
        self, parameters: Mapping[str, torch.Tensor], inputs: torch.Tensor, *, quick: bool = False
    ) -> torch.Tensor:
        """Return the logits of raw inputs with these parameters, by name, in the place of the network's own.

        They can be differentiated by the parameters, twice; not so with `quick`, which takes `forward`: that
        may be quicker by what has no second derivatives, such as embedding_bag.
        """
        with plain_arithmetic():
            if quick:
                found: torch.Tensor = torch.func.functional_call(self, dict(parameters), (inputs,))
                return found
            named = {f"network.{name}": tensor for name, tensor in parameters.items()}
            traced: torch.Tensor = torch.func.functional_call(_Traced(self), named, (inputs,))
            return traced

    def logits_with(self, factors: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of raw inputs with every unit of some hidden layers times a factor of its own.

        Args:
            factors: (units,) by layer; layers that are not named stay as they are.
            inputs: (n, ...).

        Raises:
            NotApplicable: not every hidden activation goes through `dropped`, where they are multiplied.
        """
        if not self.drops:
            raise NotApplicable(f"the hidden units of model {self.kind} cannot be scaled: Network.drops")
        pending = iter(self.every_hidden())

        def scaled(values: torch.Tensor) -> torch.Tensor:
            factor = factors.get(next(pending))
            if factor is None:
                return values
            return values * (factor.view(values.shape[1:]) if factor.numel() == values[0].numel() else factor)

        object.__setattr__(self, "dropped", scaled)
        try:
            logits: torch.Tensor = self(inputs)
            return logits
        finally:
            object.__delattr__(self, "dropped")

    def attention(self, encoded: torch.Tensor, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return how much each position reads of each, (n, heads, readers, positions) by name.

        Sums to 1 over positions. Empty where the network has no attention.
        """
        return {}

    def mixes_heads(self, layer: str, heads: int, encoded: torch.Tensor, inputs: torch.Tensor) -> bool:
        """Return whether a layer of the trace is what so many attention heads mix, one head after the other.

        By its name, `X_heads` of the attention `X`, unless a network has another way to see it.
        """
        seen = self.attention(encoded, inputs)
        return any(layer == f"{name}_heads" and reads.shape[1] == heads for name, reads in seen.items())

    def every_hidden(self) -> tuple[str, ...]:
        """Return the names of all hidden layers, also where `hidden` is a choice among them."""
        return self.hidden

    def row_labels(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the label of each row of the logits, which has one row per example unless told otherwise."""
        return labels

    def dropped(self, values: torch.Tensor) -> torch.Tensor:
        """Return `values`, in training mode with the share `dropout` of them zero and the rest scaled up."""
        return F.dropout(values, self.dropout) if self.training and self.dropout else values

    @property
    def drops_nothing(self) -> bool:
        """Whether `dropped` gives back what it is given, and nobody has put another in its place."""
        plain = getattr(self.dropped, "__func__", None) is Network.dropped
        return plain and not (self.training and self.dropout)

    def last_weights(self) -> tuple[str, ...]:
        """Return the names of the last layer's parameters.

        Those of the module that was the last to be given any, unless a network says otherwise.
        """
        names = [name for name, _ in self.named_parameters()]
        module = names[-1].rpartition(".")[0]
        return tuple(name for name in names if name.rpartition(".")[0] == module)

    def hidden_matrices(self) -> tuple[str, ...]:
        """Return the names of the two-dimensional weights of the hidden layers.

        No embeddings, whose rows are looked up, and not the last layer.
        """
        apart = {
            *self.last_weights(),
            *(f"{name}.weight" for name, part in self.named_modules() if isinstance(part, nn.Embedding)),
        }
        return tuple(
            name for name, weight in self.named_parameters() if weight.ndim == 2 and name not in apart
        )

    def unit_weights(self, layer: str) -> dict[str, int]:
        """Return the parameters that hold the weights to and from the units of a hidden layer, by name.

        The value is the dimension along which the units lie. Biases of the units are among them.

        Raises SettingError where there are no such parameters, as it is unless a network says otherwise.
        """
        raise SettingError(
            f"hidden units can only be held at zero where each has its own weights; model {self.kind} does "
            "not say which those are (Network.unit_weights)"
        )


class _Traced(nn.Module):
    """A network read through `encode` and `trace`."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.network.trace(self.network.encode(inputs))["logits"]
