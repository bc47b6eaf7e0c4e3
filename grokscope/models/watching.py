"""What a forward pass of any module shows: non-linearities by name, the encoded input, the first layer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_NONLINEAR = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish"),
    *("tanh", "sigmoid", "softplus", "softsign", "hardtanh", "hardswish", "hardsigmoid", "hardshrink"),
    *("softshrink", "tanhshrink", "threshold", "glu", "logsigmoid", "erf"),
)
_LINEAR = (
    *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"),
    *("conv_transpose3d", "addmm", "mm", "bmm", "baddbmm", "matmul", "__matmul__", "__rmatmul__", "einsum"),
)
_HOMES = (F, torch, torch.Tensor, torch._C._nn)


def _functions(names: Sequence[str]) -> dict[Any, str]:
    """Return torch's functions of these names, in place or not, wherever they are called from."""
    found = {}
    for home in _HOMES:
        for name in names:
            for written in (name, f"{name}_"):
                if hasattr(home, written):
                    found[getattr(home, written)] = name
    return found


NONLINEAR, LINEAR = _functions(_NONLINEAR), _functions(_LINEAR)
CLAMPS = (torch.clamp_min, torch.Tensor.clamp_min, torch.clamp, torch.Tensor.clamp)


class FoundInput(BaseException):
    """Ends a pass that was only run for the encoded input; no module's own `except Exception` takes it."""


@dataclass
class Pass:
    """What a pass is to note, and what it noted.

    Attributes:
        examples: how many there are: a tensor with another first dimension is of something else.
        wanted: the layers to keep, by name; None keeps every non-linearity.
        globs: where `wanted` is None, keep what these name instead, outputs of any modules among it.
        encoded: put in the place of what the tokens become; None where inputs are no tokens, or are encoded.
        tokens: whether inputs are tokens, so that the encoded input is to be found inside.
        only_input: end the pass when the encoded input is found.
        copied: whether the network is given copies, because it goes on to change what was noted.
        changes: what the network is given instead of a layer's value, by the layer's name.
        louder: an attention by the name that `read` gives it, and the head that reads twice as much there.
        attention: what `read` noted, (examples, heads, readers, positions) by the module that it is in.
        layers: values by name, in the order in which they were computed.
        entered: the encoded input.
        first: the output of the first linear map; None where something recurrent comes before any.
    """

    examples: int
    wanted: frozenset[str] | None = None
    globs: Sequence[str] = ()
    encoded: torch.Tensor | None = None
    tokens: bool = False
    only_input: bool = False
    copied: bool = False
    changes: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)
    louder: tuple[str, int] | None = None
    attention: dict[str, torch.Tensor] = field(default_factory=dict)
    layers: dict[str, torch.Tensor] = field(default_factory=dict)
    entered: torch.Tensor | None = None
    first: torch.Tensor | None = None
    _versions: dict[str, int] = field(default_factory=dict)
    _calls: Counter[str] = field(default_factory=Counter)
    _reads: Counter[str] = field(default_factory=Counter)
    _inside: list[tuple[str, nn.Module]] = field(default_factory=list)
    _activations: set[str] = field(default_factory=set)
    _recurrent: bool = False

    @property
    def was_changed(self) -> bool:
        """Whether the network wrote into a value after it was noted."""
        return any(value._version != self._versions[name] for name, value in self.layers.items())

    def note(self, name: str, value: Any, *, asked: bool = True) -> Any:
        """Keep `value` under its name, numbered from its second call on; return what the network gets."""
        self._calls[name] += 1
        name = name if self._calls[name] == 1 else f"{name}#{self._calls[name]}"
        if name in self.changes and self._is_layer(value):
            return self.changes[name](value)
        asked = matches(name, self.globs) if self.globs else asked
        if not self._is_layer(value) or not (asked if self.wanted is None else name in self.wanted):
            return value
        self.layers[name], self._versions[name] = value, value._version
        return value.clone() if self.copied else value

    def _is_layer(self, value: Any) -> bool:
        return (
            isinstance(value, torch.Tensor)
            and value.is_floating_point()
            and value.ndim >= 2
            and len(value) == self.examples
        )

    def _is_sequence(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.ndim == 3

    def enter(self, name: str, module: nn.Module) -> None:
        """A module is called."""
        self._inside.append((name, module))
        self._recurrent |= isinstance(module, nn.RNNBase) and self.first is None

    def leave(self, output: Any) -> Any:
        """The module returns; return what it gives instead, None for the same."""
        name, module = self._inside.pop()
        recurrent, active = isinstance(module, nn.RNNBase), name in self._activations
        self._activations.discard(name)
        value = output[0] if isinstance(output, (tuple, list)) and output else output
        turned = isinstance(module, nn.RNNBase) and not module.batch_first and self._is_sequence(value)
        seen = value.transpose(0, 1) if turned else value
        kept = self.note(name, seen, asked=recurrent or active)
        if kept is seen:
            return None
        kept = kept.transpose(0, 1) if turned else kept
        return kept if value is output else type(output)((kept, *output[1:]))

    def read(self, weights: torch.Tensor, dim: int) -> None:
        """A softmax is computed over `dim`: keep it where it can be of one position over others."""
        weights = weights.movedim(dim, -1)
        if weights.ndim not in (3, 4) or len(weights) % self.examples:
            return
        parts = weights.unflatten(0, (self.examples, -1))  # heads of a module, or windows of pictures
        by_head = parts if weights.ndim == 3 else parts.transpose(1, 2)
        name = (self._inside[-1][0] if self._inside else "") or "attention"
        self._reads[name] += 1
        name = name if self._reads[name] == 1 else f"{name}#{self._reads[name]}"
        if self.louder is not None and self.louder[0] == name:
            by_head[:, self.louder[1]] *= 2
        self.attention[name] = by_head if weights.ndim == 3 else by_head.flatten(2, 3)

    def call(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """One of torch's functions is called: run it, and note what it is to the network."""
        if self.tokens and self.entered is None and func in LINEAR:
            args = self._enter_by_argument(args)
        output = func(*args, **kwargs)
        if func is F.embedding and self.tokens and self.entered is None and len(output) == self.examples:
            return self._enter(output)
        if func in LINEAR and self.first is None and not self._recurrent and len(output) == self.examples:
            self.first = output
        if func in NONLINEAR or (func in CLAMPS and _is_relu(args[1:], kwargs)):
            return self._activate(NONLINEAR.get(func, "relu"), output)
        return output

    def _enter_by_argument(self, args: Sequence[Any]) -> Sequence[Any]:
        """Tokens without an embedding, one-hot ones for example: what the first linear map is given."""
        place = next((i for i, arg in enumerate(args) if self._is_layer(arg) and not _is_weight(arg)), None)
        if place is None:
            return args
        return [*args[:place], self._enter(args[place]), *args[place + 1 :]]

    def _enter(self, found: torch.Tensor) -> torch.Tensor:
        self.entered = found if self.encoded is None else self.encoded
        if self.only_input:
            raise FoundInput
        return self.entered

    def _activate(self, word: str, output: Any) -> Any:
        name, module = self._inside[-1] if self._inside else ("", None)
        if module is not None and name and _is_activation(module):
            self._activations.add(name)  # what the module makes of it counts: GELU is more than its tanh
            return output
        if word == "erf":
            return output
        return self.note(f"{name}.{word}" if name else word, output)


def _is_relu(bounds: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    low, high = [*bounds, None, None][:2]
    return kwargs.get("min", low) == 0 and kwargs.get("max", high) is None


def _is_activation(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) and not any(True for _ in module.parameters())


def _is_weight(value: torch.Tensor) -> bool:
    return isinstance(value, nn.Parameter)


def matches(name: str, globs: Sequence[str]) -> bool:
    """Return whether one of the globs names the module: `*` is any part of a name between dots, `**` any."""
    return any(re.fullmatch(_pattern(glob), name) for glob in globs)


def _pattern(glob: str) -> str:
    words = {"**": ".*", "*": "[^.]*", "?": "[^.]"}
    return "".join(words.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", glob))


class _Mode(TorchFunctionMode):
    def __init__(self, noted: Pass) -> None:
        super().__init__()
        self.noted = noted

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self.noted.call(func, args, dict(kwargs or {}))


class Softmaxes(TorchDispatchMode):
    """Shows a pass every softmax that is computed, inside torch's own functions too."""

    def __init__(self, noted: Pass) -> None:
        super().__init__()
        self.noted = noted

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten._softmax.default, torch.ops.aten._safe_softmax.default):
            self.noted.read(output, args[1])
        return output


@contextmanager
def watched(module: nn.Module, noted: Pass) -> Iterator[None]:
    """Note what `module` computes in the block; afterwards it is as it was."""
    with ExitStack() as hooks:
        for name, part in module.named_modules():
            hooks.callback(part.register_forward_pre_hook(_entering(noted, name), prepend=True).remove)
            hooks.callback(part.register_forward_hook(_leaving(noted)).remove)
        hooks.enter_context(plain_arithmetic())
        hooks.enter_context(_Mode(noted))
        yield


def _entering(noted: Pass, name: str) -> Callable[..., None]:
    return lambda module, inputs: noted.enter(name, module)


def _leaving(noted: Pass) -> Callable[..., Any]:
    return lambda module, inputs, output: noted.leave(output)


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Compute attention by matrix products, which have second derivatives and activations that can be seen.

    The fused kernels have neither: `scaled_dot_product_attention` ends in "derivative ... is not
    implemented", and `nn.TransformerEncoderLayer` in evaluation is one call without an inside.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
