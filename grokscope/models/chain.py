"""What a network is, proven by what it computes: a chain of Linear and ReLU, or linear from a layer on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from grokscope.models.network import Network
from grokscope.models.watching import NONLINEAR

Affine = tuple[torch.Tensor, torch.Tensor]
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
            made of parameters (as where BatchNorm, in evaluation, is taken into a Linear), or there are
            parameters before the encoded input.
    """

    layers: tuple[Layer, ...]
    hidden: tuple[str, ...]
    whole: bool

    def values(self, encoded: torch.Tensor) -> list[torch.Tensor]:
        """Return what each Linear gives, (n, out) each: pre-activations, and the logits last."""
        found = [F.linear(encoded.flatten(1), *self.layers[0])]
        for layer in self.layers[1:]:
            found.append(F.linear(found[-1].relu(), *layer))
        return found


def relu_chain(network: Network, encoded: torch.Tensor, inputs: torch.Tensor | None = None) -> Chain | None:
    """Return the network as a chain of Linear and ReLU, None where it is anything else.

    What a network calls itself proves nothing. The Linear layers are those that its `trace` calls; ReLUs are
    put between them, and the result must have the network's logits, and its hidden values, to 1e-9 in
    float64: at its own weights and at random ones, on `encoded` and on random inputs of three scales.

    Args:
        network: any network, in evaluation mode; it is not changed.
        encoded: (n, ...) some encoded inputs.
        inputs: (n, ...) the raw inputs that they are of, for networks that read these again.
    """
    if not len(encoded):
        return None
    called = _linears(network, encoded, encoded if inputs is None else inputs)
    if not _fits(called, encoded):
        return None
    try:
        twin = copy.deepcopy(network).double()
        twin.hidden = network.every_hidden()
        raw = encoded.double() if inputs is None else inputs
        names = _proven(twin, encoded.double(), raw, finite=all(map(_finite, network.parameters())))
    except Exception:  # a network of somebody's own that cannot be copied, or run in float64, has no proof
        return None
    if names is None:
        return None
    layers = tuple((weight.detach(), None if bias is None else bias.detach()) for weight, bias in called)
    return Chain(layers, names, _are_parameters(called, network))


def is_linear_in(
    network: Network,
    encoded: torch.Tensor,
    layer: str,
    weight: torch.Tensor,
    inputs: torch.Tensor | None = None,
) -> bool:
    """Return whether the logits are linear in the values called `layer`, with slope `weight` (K, units).

    Differentiated at each of the encoded inputs, in a fixed random direction of the logits, so that a slope
    that depends on the example (a LayerNorm or a second path through a non-linearity comes between) is seen.
    """
    with torch.enable_grad():
        traced = network.trace_from(
            encoded.detach().clone().requires_grad_(), encoded if inputs is None else inputs
        )
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
    """Writes down the weight and bias of every Linear that is called, BatchNorm in evaluation taken in."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Layer] = []
        self._bent = True  # since the last Linear, or at the start
        self._entering: Affine | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func is F.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | named
            self._linear(given["weight"], given.get("bias"))
        elif func is F.batch_norm:
            self._norm(inspect.signature(F.batch_norm).bind(*args, **named))
        elif func in NONLINEAR:
            self._bent = True
        return func(*args, **named)

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        if self._entering is not None:
            scale, shift = self._entering
            weight, bias = weight * scale, weight @ shift + (0 if bias is None else bias)
        self.layers.append((weight, bias))
        self._bent, self._entering = False, None

    def _norm(self, call: inspect.BoundArguments) -> None:
        """Take an affine map of single units into the Linear before it or, after a ReLU, into the next."""
        call.apply_defaults()
        given = call.arguments
        scale, shift = _affine(given)
        if not self._bent:
            weight, bias = self.layers[-1]
            if len(weight) == len(scale):
                own = 0 if bias is None else bias * scale
                self.layers[-1] = weight * scale[:, None], own + shift
        elif self._entering is None and given["input"].ndim == 2:
            self._entering = scale, shift


def _affine(given: Mapping[str, Any]) -> Affine:
    """Return what BatchNorm in evaluation multiplies by and adds; one in training is never found equal."""
    mean, variance = given["running_mean"], given["running_var"]
    if mean is None or variance is None:
        mean, variance = (torch.full_like(given["input"][0], fill) for fill in (0.0, 1.0))
    scale = (variance + given["eps"]).rsqrt()
    scale = scale if given["weight"] is None else scale * given["weight"]
    shift = -mean * scale
    return scale, shift if given["bias"] is None else shift + given["bias"]


def _linears(network: Network, encoded: torch.Tensor, inputs: torch.Tensor) -> list[Layer]:
    with torch.no_grad(), _Watch() as watch:
        network.trace_from(encoded, inputs)
    return watch.layers


def _fits(layers: Sequence[Layer], encoded: torch.Tensor) -> bool:
    """Return whether each layer takes what the one before gives, the first the encoded input."""
    width = encoded[0].numel() if len(encoded) else 0
    widths = [width, *(len(weight) for weight, _ in layers)]
    return bool(layers) and all(
        weight.ndim == 2 and weight.shape == (after, before)
        for (weight, _), (before, after) in zip(layers, pairwise(widths), strict=True)
    )


def _proven(
    twin: Network, encoded: torch.Tensor, raw: torch.Tensor, *, finite: bool
) -> tuple[str, ...] | None:
    """Return the names of the hidden layers where the chain is the network, None where it is not."""
    blocks = _inputs(encoded)
    rows = torch.cat([torch.arange(len(block)) for block in blocks]) % len(raw)
    tokens = raw[rows.to(raw.device)]
    if finite and _agree(twin, blocks, tokens) is None:
        return None
    _draw(twin)
    return _agree(twin, blocks, tokens)


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


def _agree(network: Network, blocks: Sequence[torch.Tensor], raw: torch.Tensor) -> tuple[str, ...] | None:
    """Return the names of the hidden values where chain and network give the same on every block."""
    inputs, sizes = torch.cat(list(blocks)), [len(block) for block in blocks]
    with torch.no_grad():
        with _Watch() as watch:
            traced = network.trace_from(inputs, raw)
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
