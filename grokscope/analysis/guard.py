"""Notices when a measure writes into what it was given, so that no other measure computes with it.

torch counts the writes into a tensor, and the counters are looked at after every cell. What they do not see
goes through few doors: numpy(), .data, DLPack, the storage. Whoever uses one during a cell is noticed; the
memory behind it is summed there, and again after the cell. So what no measure opens costs nothing. A
network's parameters, which fused optimisers change past the counters, are compared with a copy.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from grokscope.analysis.clock import Clock, timed
from grokscope.models.network import Network
from grokscope.probe import Probe

DEPTH = 8  # of containers in containers; deeper ones are not looked into
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}  # NaN is not equal to itself, its bits are
_HOOKS = (
    *("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks"),
    *("_state_dict_hooks", "_load_state_dict_pre_hooks"),
)
_SHARED = {"trace": "the activations and logits", "encoded": "the encoded inputs"}
_storage = torch.Tensor.untyped_storage
_as_numpy = torch.Tensor.numpy


class Kept:
    """Values that several measures are given, each as it was when it was taken in."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, _Seen] = {}
        self.addresses: set[int] = set()
        """Where the memory of these values lies."""

    def take(self, name: Hashable, value: Any) -> None:
        """Take a value in, under its name; once."""
        if name not in self._seen:
            self._seen[name] = _Seen(value)
            self.addresses |= self._seen[name].addresses

    def forget(self, name: Hashable) -> None:
        """Take a value in no more."""
        self._seen.pop(name, None)

    def changed(self, written: set[int], names: Iterable[Hashable] | None = None) -> list[Hashable]:
        """Return the names of the values - of all, or of these - that are not what they were.

        `written` is where memory was changed past the counters.
        """
        names = self._seen if names is None else names
        return [name for name in names if name in self._seen and self._seen[name].is_changed(written)]


class _Seen:
    """One value: its tensors with their counters, its arrays with their sums, and what holds them."""

    def __init__(self, value: Any) -> None:
        leaves: list[Any] = []
        self._value = value
        self._outline = _outline(value, leaves)
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        self._tensors = [(tensor, _writes(tensor), _address(tensor)) for tensor in tensors]
        self._arrays = [(leaf, _array_sum(leaf)) for leaf in leaves if isinstance(leaf, np.ndarray)]
        self.addresses = {address for _, _, address in self._tensors} - {0}

    def is_changed(self, written: set[int]) -> bool:
        return (
            any(
                _writes(tensor) != writes or _address(tensor) != address or address in written
                for tensor, writes, address in self._tensors
            )
            or any(_array_sum(array) != before for array, before in self._arrays)
            or _outline(self._value, []) != self._outline
        )


def _outline(value: Any, leaves: list[Any], depth: int = DEPTH) -> Any:
    """Return what `value` holds, by identity, and put its tensors and arrays into `leaves`."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        leaves.append(value)
    elif depth and isinstance(value, Mapping):
        return [(key, _outline(each, leaves, depth - 1)) for key, each in value.items()]
    elif depth and isinstance(value, (list, tuple)):
        return [_outline(each, leaves, depth - 1) for each in value]
    elif depth and is_dataclass(value) and not isinstance(value, type):
        return [_outline(getattr(value, field.name), leaves, depth - 1) for field in fields(value)]
    return id(value)


def _writes(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # an inference tensor refuses to be written to


def _address(tensor: torch.Tensor) -> int:
    try:
        return _storage(tensor).data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse, or a wrapper of torch.func
        return 0


def _array_sum(array: np.ndarray) -> int:
    return 0 if array.dtype.hasobject else zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data)


def _storage_sum(storage: torch.UntypedStorage) -> int:
    whole = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
    return zlib.crc32(_as_numpy(whole.cpu()).data)


class Doors:
    """Where measures got at guarded memory past torch's counters, and what it held before."""

    def __init__(self, guarded: Callable[[], Iterable[Kept]]) -> None:
        self._guarded = guarded
        self._opened: dict[int, tuple[torch.UntypedStorage, int]] = {}

    def opened(self, tensor: torch.Tensor) -> None:
        """Note that somebody got at the tensor's memory."""
        address = _address(tensor)
        if not address or address in self._opened:
            return
        if any(address in kept.addresses for kept in self._guarded()):
            storage = _storage(tensor)
            self._opened[address] = storage, _storage_sum(storage)

    def written(self) -> set[int]:
        """Return where the memory is not what it was."""
        return {at for at, (storage, before) in self._opened.items() if _storage_sum(storage) != before}


_watching: list[Doors] = []


@contextmanager
def watched_doors(guarded: Callable[[], Iterable[Kept]]) -> Iterator[Doors]:
    """Notice for the block which of the guarded values' memory is handed out; within `doors_that_tell`."""
    doors = Doors(guarded)
    _watching.append(doors)
    try:
        yield doors
    finally:
        _watching.remove(doors)


@contextmanager
def doors_that_tell() -> Iterator[None]:
    """Have tensors tell for the block whose memory they hand out.

    Once for all cells: after every change of its class torch looks all its methods up anew.
    """
    inherited = {
        name: vars(torch.Tensor).get(name) for name in ("numpy", "data", "untyped_storage", "__dlpack__")
    }
    torch.Tensor.numpy = _noted(_as_numpy)  # type: ignore[method-assign]
    torch.Tensor.untyped_storage = _noted(_storage)  # type: ignore[method-assign]
    torch.Tensor.__dlpack__ = _noted(torch.Tensor.__dlpack__)  # type: ignore[method-assign]
    torch.Tensor.data = _noted_data()  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, own in inherited.items():
            if own is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, own)


def _opened(tensor: torch.Tensor) -> None:
    for doors in _watching:
        doors.opened(tensor)


def _noted(method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: torch.Tensor, *args: Any, **options: Any) -> Any:
        _opened(self)
        return method(self, *args, **options)

    return call


def _noted_data() -> property:
    data: Any = torch._C.TensorBase.data

    def read(self: torch.Tensor) -> torch.Tensor:
        _opened(self)
        found: torch.Tensor = data.__get__(self)
        return found

    return property(read, data.__set__)


class GuardedProbe(Probe):
    """A probe that knows what it was when it was made, and what is shared was when it was computed."""

    def __init__(self, *, clock: Clock | None = None, **options: Any) -> None:
        self.kept = Kept()
        self._clock = clock
        self._asked: set[Hashable] = set()
        self._gone: list[str] = []
        super().__init__(**options)
        self._about = _attributes(self)
        self._network = _network(self.model)
        self._copies = {name: each.clone() for name, each in _state(self.model).items()}
        self._dict = dict(self.weights)

    def shared(self, key: Hashable, compute: Callable[[], Any], *, together: int = 0) -> Any:
        """As a probe's; what is remembered is watched."""
        timed = partial(self._timed, key, compute) if self._clock else compute
        value = super().shared(key, timed, together=together)
        if key in self._memory:
            self.kept.take(key, value)
            self._asked.add(key)
        return value

    def _let_go(self, key: Hashable) -> None:
        if self.kept.changed(set(), [key]):
            self._gone.append(_in_words(key))
        self.kept.forget(key)

    def _timed(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        with timed(self._clock, _subject(key)):
            return compute()

    def changes(self, written: set[int]) -> list[str]:
        """Return in words what a measure has changed since the last time; `written` is as for `Kept`."""
        changed = [*self._gone, *(_in_words(key) for key in self.kept.changed(written, self._asked))]
        self._asked.clear()
        self._gone.clear()
        if _attributes(self) != self._about or _outline(self.weights, []) != _outline(self._dict, []):
            changed.append("the probe itself")
        if _network(self.model) != self._network:
            changed.append("the network (its mode, layers, hooks, gradients or functions)")
        elif not self._has_its_weights():
            changed.append("the network's weights")
        return changed

    def _has_its_weights(self) -> bool:
        now = _state(self.model)
        return now.keys() == self._copies.keys() and all(
            _same(now[name], c) for name, c in self._copies.items()
        )


def _state(model: Network) -> dict[str, torch.Tensor]:
    """Return the network's parameters and those buffers that are saved; others are its own business."""
    state = model.state_dict().items()
    return {name: each.detach() for name, each in state if isinstance(each, torch.Tensor)}


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    words = _WORDS.get(left.element_size(), torch.int64)
    return torch.equal(left.reshape(-1).view(words), right.reshape(-1).view(words))


def _in_words(key: Hashable) -> str:
    if isinstance(key, tuple) and len(key) > 1 and key[0] in _SHARED:
        sigma = f" at sigma {key[2]:g}" if len(key) > 2 and key[2] else ""
        return f"{_SHARED[key[0]]} of {key[1]}{sigma}"
    return f"the shared value {key!r}"


def _subject(key: Hashable) -> str:
    """Return what a shared value is about, whichever split or noise it is of."""
    first = str(key[0] if isinstance(key, tuple) and key else key)
    return _SHARED.get(first, first)


_METHODS = frozenset(dir(Probe))
_OWN = ("step", "task", "model", "weights", "loss_name", "_judged", "_noise", "_memory")


def _attributes(probe: Probe) -> list[tuple[str, int]]:
    """Return what the probe is made of, and what hides a method of its class."""
    return [(name, id(value)) for name, value in vars(probe).items() if name in _OWN or name in _METHODS]


def _network(model: Network) -> list[Any]:
    """Return all of a network that says what it computes, by identity, but for its weights' values."""
    modules = [
        (
            name,
            id(module),
            module.training,
            [len(getattr(module, hooks)) for hooks in _HOOKS],
            _hiding(module),
        )
        for name, module in model.named_modules()
    ]
    parameters = [
        (name, id(parameter), parameter.requires_grad, parameter.grad is None)
        for name, parameter in model.named_parameters()
    ]
    return [*modules, *parameters]


def _hiding(module: nn.Module) -> list[tuple[str, int]]:
    """Return what an instance has in place of what its class gives, as after `model.forward = ...`."""
    kind = type(module)
    own = [name for name in vars(module) if hasattr(kind, name) or name in Network.__annotations__]
    return [(name, id(vars(module)[name])) for name in own]
