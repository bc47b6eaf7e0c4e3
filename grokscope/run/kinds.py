"""Which tensors of a checkpoint are parameters and which buffers, as the network that wrote them says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
_WORDS = ("parameters", "buffers", "ties")


@dataclass(frozen=True)
class Kinds:
    """The tensors of a state dict by what they are.

    Attributes:
        parameters: the parameters' names, each parameter once: a tied one by its first name.
        buffers: everything else that is saved: running statistics, counters, masks.
        ties: the further names of tied parameters, each with the first; a file holds the first alone.
    """

    parameters: tuple[str, ...]
    buffers: tuple[str, ...] = ()
    ties: Mapping[str, str] = field(default_factory=dict)

    def words(self) -> dict[str, str]:
        """Return what a checkpoint's header says of them."""
        return {
            "parameters": json.dumps(sorted(self.parameters)),
            "buffers": json.dumps(sorted(self.buffers)),
            "ties": json.dumps(self.ties, sort_keys=True),
        }

    def stored(self, state: Mapping[str, T]) -> dict[str, T]:
        """Return the state dict without the further names of tied parameters."""
        return {name: value for name, value in state.items() if name not in self.ties}

    def whole(self, stored: Mapping[str, T]) -> dict[str, T]:
        """Return the state dict with every name of a tied parameter that is there under one of them."""
        firsts = {first: stored[name] for name, first in self.ties.items() if name in stored}
        firsts |= {name: value for name, value in stored.items() if name not in self.ties}
        more = {name: firsts[first] for name, first in self.ties.items() if first in firsts}
        return {**firsts, **more, **stored}

    def of(self, state: Mapping[str, T]) -> dict[str, T]:
        """Return the parameters of a state dict, each once."""
        known = set(self.parameters)
        return {name: value for name, value in state.items() if name in known}

    def check(self, names: Mapping[str, Any]) -> None:
        """Check that these are the kinds of the tensors `names` that a file holds. Raises ValueError."""
        said = [*self.parameters, *self.buffers]
        if len(set(said)) < len(said) or set(said) != names.keys():
            raise ValueError("its parameters and buffers must be its tensors, each named once")
        if not set(self.ties.values()) <= set(self.parameters) or not names.keys().isdisjoint(self.ties):
            raise ValueError("a tied name must stand for a parameter and have no tensor of its own")


def kinds_of(network: nn.Module) -> Kinds:
    """Return the kinds of the tensors in the network's state dict."""
    state = network.state_dict()
    named = dict(network.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    for name, parameter in named.items():
        if name in state:
            first.setdefault(id(parameter), name)
    return Kinds(
        parameters=tuple(first.values()),
        buffers=tuple(name for name in state if name not in named),
        ties={name: first[id(named[name])] for name in state if name in named and name not in first.values()},
    )


def read_kinds(metadata: Mapping[str, str], tensors: Mapping[str, Any] | None = None) -> Kinds | None:
    """Return what a header says of a file's `tensors`; None where it says nothing, as those of before.

    Raises ValueError when what it says cannot be.
    """
    if not any(word in metadata for word in _WORDS):
        return None
    kinds = _read(*(metadata.get(word, "null") for word in _WORDS))
    if tensors is not None:
        kinds.check(tensors)
    return kinds


@lru_cache(maxsize=8)
def _read(*texts: str) -> Kinds:
    """Read what the words say, which is the same in all checkpoints of a run."""
    parameters, buffers, ties = map(json.loads, texts)
    if not isinstance(parameters, list) or not isinstance(buffers, list) or not isinstance(ties, dict):
        raise ValueError("its parameters and buffers must be lists of names, and its ties names by name")
    if not all(isinstance(name, str) for name in (*parameters, *buffers, *ties.values())):
        raise ValueError("the names of its parameters, buffers and ties must be text")
    return Kinds(tuple(parameters), tuple(buffers), ties)


def differences(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> tuple[int, str]:
    """Return how many names, shapes and sorts of numbers in `state` are not as expected, and which."""
    missing = [_described(name, tensor) for name, tensor in expected.items() if name not in state]
    unknown = [_described(name, tensor) for name, tensor in state.items() if name not in expected]
    both = [(name, own, state[name]) for name, own in expected.items() if name in state]
    shapes = [
        f"{name} must be {tuple(own.shape)}, got {tuple(tensor.shape)}"
        for name, own, tensor in both
        if own.shape != tensor.shape
    ]
    numbers = [
        f"{name} must hold numbers like {own.dtype}, got {tensor.dtype}"
        for name, own, tensor in both
        if _sort(own) != _sort(tensor)
    ]
    parts = [("missing: ", missing), ("unknown: ", unknown), ("", shapes), ("", numbers)]
    words = "; ".join(f"{title}{_some(found)}" for title, found in parts if found)
    return sum(len(found) for _, found in parts), words


def _described(name: str, tensor: Tensor) -> str:
    return f"{name} {tuple(tensor.shape)}"


def _some(words: Sequence[str], most: int = 4) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _sort(tensor: Tensor) -> str:
    """Return which sort of number a tensor holds: a copy into another sort would lose what it says."""
    if tensor.is_complex():
        return "complex"
    if tensor.is_floating_point():
        return "real"
    return "yes or no" if str(tensor.dtype) == "torch.bool" else "whole"


def untied(kinds: Kinds, state: Mapping[str, Tensor]) -> str:
    """Return in words which names of one parameter hold different values in `state`; "" when none do."""
    for name, first in kinds.ties.items():
        if name in state and first in state and not _equal(state[name], state[first]):
            return f"{name} and {first} are one parameter of the network and must be equal, and are not"
    return ""


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def too_wide(state: Mapping[str, Tensor]) -> str:
    """Return in words which tensors hold complex numbers that no checkpoint can keep; "" when none do."""
    found = [f"{name} {value.dtype}" for name, value in state.items() if value.is_complex()]
    kept = [words for words in found if not words.endswith("complex64")]
    return f"complex numbers must be complex64, got {', '.join(kept[:4])}" if kept else ""


def wrong_types(parameters: Mapping[str, Tensor]) -> str:
    """Return in words which parameters hold no real floating-point numbers; "" when all do."""
    found = [f"{name} {value.dtype}" for name, value in parameters.items() if not value.is_floating_point()]
    return f"parameters must hold real floating-point numbers, got {', '.join(found[:4])}" if found else ""
