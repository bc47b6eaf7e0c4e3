"""What a network is, proven by what it computes: a chain of Linear and ReLU, or linear from a layer on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from grokscope.models.network import Network

Layer = tuple[torch.Tensor, torch.Tensor | None]
SCALES = (0.01, 1.0, 100.0)  # of random inputs: a non-linearity may look like ReLU near 0, or far from it
ROWS = 16  # random inputs of each scale
SLOPE_CLOSE = 1e-4  # of the largest, in float32
CLOSE = 1e-9  # of the largest logit, in float64


@dataclass(frozen=True, eq=False)
class Chain:
    """Linear -> ReLU -> ... -> Linear from the encoded input, flattened, to the logits, and nothing else.

    Attributes:
        layers: weight (out, in) and bias (out,) or None of each Linear, first to last.
        hidden: the names that the network's trace gives to the values after each ReLU.
        whole: whether the tensors of `layers` are the network's parameters, each once. What is differentiated
            by the parameters has closed forms then, and not where one tensor is two layers' weight, or is
            made of parameters, or there are parameters before the encoded input.
    """

    layers: tuple[Layer, ...]
    hidden: tuple[str, ...]
    whole: bool


def relu_chain(network: Network, encoded: torch.Tensor) -> Chain | None:
    """Return the network as a chain of Linear and ReLU, None where it is anything else.

    What a network calls itself proves nothing. The Linear layers are those that its `trace` calls; ReLUs are
    put between them, and the result must have the network's logits, and its hidden values, to 1e-9 in
    float64: at its own weights and at random ones, on `encoded` and on random inputs of three scales.

    Args:
        network: any network, in evaluation mode; it is not changed.
        encoded: (n, ...) some encoded inputs.
    """
    called = _linears(network, encoded)
    if not _fits(called, encoded):
        return None
    try:
        twin = copy.deepcopy(network).double()
        names = _proven(twin, encoded.double(), finite=all(map(_finite, network.parameters())))
    except Exception:  # a network of somebody's own that cannot be copied, or run in float64, has no proof
        return None
    if names is None:
        return None
    layers = tuple((weight.detach(), None if bias is None else bias.detach()) for weight, bias in called)
    return Chain(layers, names, _are_parameters(called, network))


def is_linear_in(network: Network, encoded: torch.Tensor, layer: str, weight: torch.Tensor) -> bool:
    """Return whether the logits are linear in the values called `layer`, with slope `weight` (K, units).

    Differentiated at each of the encoded inputs, in a fixed random direction of the logits, so that a slope
    that depends on the example (a LayerNorm or a second path through a non-linearity comes between) is seen.
    """
    with torch.enable_grad():
        traced = network.trace(encoded.detach().clone().requires_grad_())
        logits, values = traced["logits"], traced[layer]
        if weight.shape != (*logits.shape[1:], *values.shape[1:]) or not values.requires_grad:
            return False
        direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
        (slope,) = torch.autograd.grad((logits * direction).sum(), values, allow_unused=True)
    wanted = direction @ weight.detach()
    size = wanted.abs().max().item()
    return slope is not None and torch.allclose(
        slope, wanted, rtol=0, atol=SLOPE_CLOSE * size, equal_nan=True
    )


class _Watch(TorchFunctionMode):
    """Writes down the weight and bias of every Linear that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func is F.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | named
            self.layers.append((given["weight"], given.get("bias")))
        return func(*args, **named)


def _linears(network: Network, encoded: torch.Tensor) -> list[Layer]:
    with torch.no_grad(), _Watch() as watch:
        network.trace(encoded)
    return watch.layers


def _fits(layers: Sequence[Layer], encoded: torch.Tensor) -> bool:
    """Return whether each layer takes what the one before gives, the first the encoded input."""
    width = encoded[0].numel() if len(encoded) else 0
    widths = [width, *(len(weight) for weight, _ in layers)]
    return bool(layers) and all(
        weight.ndim == 2 and weight.shape == (after, before)
        for (weight, _), (before, after) in zip(layers, pairwise(widths), strict=True)
    )


def _proven(twin: Network, encoded: torch.Tensor, *, finite: bool) -> tuple[str, ...] | None:
    """Return the names of the hidden layers where the chain is the network, None where it is not."""
    blocks = _inputs(encoded)
    if finite and _agree(twin, blocks) is None:
        return None
    _draw(twin)
    return _agree(twin, blocks)


def _draw(network: Network) -> None:
    """Give every parameter random numbers: weights that are zero would make any two networks equal."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            fan = parameter[0].numel() if parameter.ndim else 1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / max(1, fan) ** 0.5)


def _inputs(encoded: torch.Tensor) -> list[torch.Tensor]:
    drawn = torch.randn((ROWS, *encoded.shape[1:]), generator=torch.Generator().manual_seed(1))
    return [encoded, *(scale * drawn.to(encoded) for scale in SCALES)]


def _agree(network: Network, blocks: Sequence[torch.Tensor]) -> tuple[str, ...] | None:
    """Return the names of the hidden values where chain and network give the same on every block."""
    inputs, sizes = torch.cat(list(blocks)), [len(block) for block in blocks]
    with torch.no_grad():
        with _Watch() as watch:
            traced = network.trace(inputs)
        if not _fits(watch.layers, inputs):
            return None
        values, hidden = inputs.flatten(1), []
        for index, (weight, bias) in enumerate(watch.layers):
            if index:
                values = values.relu()
                hidden.append(values)
            values = F.linear(values, weight, bias)
    named = network.hidden
    if len(named) != len(hidden):
        return None
    ours, theirs = [values, *hidden], [traced["logits"], *(traced[name] for name in named)]
    return named if all(_close(*pair, sizes) for pair in zip(ours, theirs, strict=True)) else None


def _close(ours: torch.Tensor, theirs: torch.Tensor, sizes: list[int]) -> bool:
    if ours.shape != theirs.shape:
        return False
    off, size = (ours - theirs).abs().amax(dim=1), theirs.abs().amax(dim=1)
    pairs = zip(off.split(sizes), size.split(sizes), strict=True)
    return all(bool(worst.max() <= CLOSE * largest.max()) for worst, largest in pairs)


def _finite(parameter: torch.Tensor) -> bool:
    return bool(parameter.isfinite().all())


def _are_parameters(layers: Sequence[Layer], network: Network) -> bool:
    called = sorted((t.data_ptr(), t.numel()) for layer in layers for t in layer if t is not None)
    return called == sorted((p.data_ptr(), p.numel()) for p in network.parameters())
