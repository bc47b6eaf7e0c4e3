"""What is done to single hidden units in training: some are held at zero."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from grokscope.errors import SettingError
from grokscope.models.network import Network
from grokscope.training.moments import Intervention


class Subnetwork(Intervention):
    """Clauw et al. 2024, section 7: some hidden units are held at zero, with all weights to and from them.

    Their weights start at zero, see no gradient, so that the optimiser's state stays zero too, and are set to
    zero again after each update, whatever else was done to them.
    """

    def __init__(self, network: Network, units: Sequence[int], layer: str | None) -> None:
        layer = network.hidden[0] if layer is None else layer
        if layer not in network.hidden:
            raise SettingError(
                f"training.masked_layer must be one of {', '.join(network.hidden)}, got {layer!r}"
            )
        named = dict(network.named_parameters())
        self._places = [(named[name], dim) for name, dim in network.unit_weights(layer).items()]
        size = {weight.shape[dim] for weight, dim in self._places}.pop()
        if max(units) >= size or len(set(units)) >= size:
            raise SettingError(
                f"training.masked_units must leave some of the units 0 to {size - 1} of {layer}, "
                f"got {len(set(units))} units up to {max(units)}"
            )
        self._units = torch.tensor(sorted(set(units)), device=self._places[0][0].device)
        self.change_weights()

    @torch.no_grad()
    def change_gradients(self) -> None:
        """Set the gradients of masked weights to zero."""
        for weight, dim in self._places:
            if weight.grad is not None:
                weight.grad.index_fill_(dim, self._units, 0)

    @torch.no_grad()
    def change_weights(self) -> None:
        """Set masked weights to zero."""
        for weight, dim in self._places:
            weight.index_fill_(dim, self._units, 0)
