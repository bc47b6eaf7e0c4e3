"""What is done to single hidden units in training: some are held at zero, or dropped now and then."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.network import Network
from grokscope.training.moments import Intervention


def _places(
    network: Network, units: Sequence[int], layer: str | None, done: str
) -> tuple[list[tuple[torch.nn.Parameter, int]], str]:
    """Return the weights to and from the layer's units, each with the units' dimension, and the layer's name.

    Raises SettingError where there is no such layer, where units have no weights of their own, or where
    `units` are not some of them.
    """
    if not network.hidden:
        raise SettingError(
            f"training.{done}_units must be left out with model {network.kind}, which has no hidden layer"
        )
    layer = network.hidden[0] if layer is None else layer
    if layer not in network.hidden:
        raise SettingError(f"training.{done}_layer must be one of {', '.join(network.hidden)}, got {layer!r}")
    named = dict(network.named_parameters())
    places = [(named[name], dim) for name, dim in network.unit_weights(layer).items()]
    size = {weight.shape[dim] for weight, dim in places}.pop()
    if max(units) >= size or len(set(units)) >= size:
        raise SettingError(
            f"training.{done}_units must leave some of the units 0 to {size - 1} of {layer}, "
            f"got {len(set(units))} units up to {max(units)}"
        )
    return places, layer


class Subnetwork(Intervention):
    """Clauw et al. 2024, section 7: some hidden units are held at zero, with all weights to and from them.

    Their weights start at zero, see no gradient, so that the optimiser's state stays zero too, and are set to
    zero again after each update, whatever else was done to them.
    """

    def __init__(self, network: Network, units: Sequence[int], layer: str | None) -> None:
        self._places, _ = _places(network, units, layer, "masked")
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


class UnitDropout(Intervention):
    """Dropout of some hidden units alone: of every example anew, each is 0 with probability `share`.

    Otherwise it is scaled up by 1 / (1 - share), as with dropout of all. With the units of the most
    synergistic multiplet it is synergistic dropout, after the sub-networks of Clauw et al. 2024.
    """

    def __init__(self, network: Network, units: Sequence[int], layer: str | None, share: float) -> None:
        places, self._layer = _places(network, units, layer, "dropped")
        if not network.drops:
            raise SettingError(
                f"training.dropped_units must be left out with model {network.kind}, whose hidden "
                "activations cannot be dropped (Network.drops, Network.dropped)"
            )
        self._units = torch.tensor(sorted(set(units)), device=places[0][0].device)
        self._network, self._share, self._calls = network, share, 0
        self._plainly = network.dropped
        object.__setattr__(network, "dropped", self._dropped)

    def _dropped(self, values: torch.Tensor) -> torch.Tensor:
        """Stand for `Network.dropped`, which a pass calls once for each hidden layer, first to last."""
        layers = self._network.every_hidden()
        layer, self._calls = layers[self._calls % len(layers)], self._calls + 1
        values = self._plainly(values)
        if layer != self._layer or not self._network.training:
            return values
        return values.index_copy(-1, self._units, F.dropout(values[..., self._units], self._share))
