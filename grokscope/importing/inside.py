"""Where in what a file holds the states are, which step is said of each, and what else stands beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from grokscope.errors import DamagedFile, UsageError

if TYPE_CHECKING:
    from torch import Tensor

ONE = (  # what people call a state dict in a file that holds more; the first that is there is taken
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module"),
    *("weights", "params", "parameters"),
)
SEVERAL = (
    *("state_dicts", "model_state_dicts", "checkpoints", "models", "nets", "net", "weights", "params"),
    *("states", "snapshots"),
)
STEP_WORDS = ("global_step", "global_steps", "step", "steps", "iteration", "iter", "it", "epoch")
MOST_STATES = 100_000
_DEPTH = 3  # dicts in dicts above a state dict
_SHOWN = 60  # characters of a foreign name


@dataclass(frozen=True, eq=False)
class Entry:
    """One state dict in a file.

    Attributes:
        tensors: as they were read, by name.
        step: the step that the file says it is of, if any.
        said_by: what says so.
        beside: the dict in which it stands, where each state has one of its own.
    """

    tensors: Mapping[str, Tensor]
    step: int | None = None
    said_by: str = ""
    beside: Mapping[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Found:
    """The states in a file.

    Attributes:
        entries: each of them.
        is_list: whether the file holds several, be it one.
        key: what they stand under; empty where they are all of the file.
        beside: the dict in which that key is.
        others: what else holds states there, and was not taken.
        root: all that the file holds.
    """

    entries: Sequence[Entry]
    is_list: bool
    key: str = ""
    beside: Mapping[Any, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    root: Any = None


def find_states(loaded: Any, where: str, at: str = "") -> Found:
    """Return the states in what was loaded from `where`, those under the key `at` where one is given.

    A key within a dict within a dict is `outer.inner`. Raises UsageError for a key that is not there or must
    be given, DamagedFile where there is no state.
    """
    looking = _Looking()
    beside: Mapping[Any, Any] = {}
    inner = loaded
    if at:
        beside, inner = _under(loaded, at, where)
    found = looking.states(inner, where)
    if found is None:
        raise DamagedFile(_nothing(inner, where if not at else f"{where}, {at}"))
    if len(found.entries) > MOST_STATES:
        raise DamagedFile(f"{where} must hold at most {MOST_STATES} state dicts, got {len(found.entries)}")
    if at:
        found = replace(found, key=at.rpartition(".")[2], beside=beside, others=())
        if not found.is_list:
            found = replace(found, entries=[_with_step(found.entries[0], beside)])
    return replace(found, root=loaded)


class _Looking:
    """One look through one file; what was looked at is remembered, since it may be there many times."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Entry | None] = {}

    def states(self, thing: Any, where: str) -> Found | None:
        """Return the states that `thing` is or holds, None where there are none."""
        if several := self._several(thing):
            return Found(several, True)
        if isinstance(thing, (list, tuple)):
            if not (pair := self._one(thing)):
                self._refuse_item(thing, where)
            return Found([pair], False) if pair else None
        if not isinstance(thing, Mapping):
            return None
        if state := self._state(thing):
            return Found([state], False)
        lists = {key: many for key, value in _open(thing) if (many := self._several(value))}
        ones = {key: one for key, value in _open(thing) if (one := self._one(value))}
        if not lists and not ones:
            return None
        key, is_list = _chosen(lists, ones, where)
        others = tuple(str(other)[:_SHOWN] for other in {**lists, **ones} if other != key)
        entries = lists[key] if is_list else [_with_step(ones[key], thing)]
        return Found(entries, is_list, str(key), thing, others)

    def _refuse_item(self, things: Sequence[Any], where: str) -> None:
        for place, item in enumerate(things):
            if self._one(item) is None:
                raise DamagedFile(_nothing(item, f"{where}, entry {place}"))

    def _several(self, thing: Any) -> list[Entry]:
        """Return the states of a list of them, or of a dict of them by step; empty where it is no such."""
        if isinstance(thing, (list, tuple)) and not self._pair(thing, _DEPTH):
            return self._all(thing, self._one)
        if isinstance(thing, Mapping) and (states := self._all(list(thing.values()), self._state)):
            steps = [_step_in(key) for key in thing]
            once = {id(entry.tensors): entry.tensors for entry in states}.values()
            if None not in steps and len({frozenset(state) for state in once}) == 1:
                return [
                    replace(state, step=step, said_by="its key")
                    for step, state in zip(steps, states, strict=True)
                ]
        return []

    def _all(self, things: Sequence[Any], look: Callable[[Any], Entry | None]) -> list[Entry]:
        """Return what `look` finds in each of `things`; empty where one of them is nothing."""
        entries = []
        for item in things:
            entry = look(item)
            if entry is None:
                return []
            entries.append(entry)
        return entries

    def _state(self, thing: Any) -> Entry | None:
        return self._one(thing, 0)

    def _one(self, thing: Any, depth: int = _DEPTH) -> Entry | None:
        """Return the one state that `thing` is, or holds beside other things; None where there is none."""
        place = id(thing), depth
        if place not in self._known:
            self._known[place] = self._look(thing, depth)
        return self._known[place]

    def _look(self, thing: Any, depth: int) -> Entry | None:
        if is_state(thing):
            return Entry(thing)
        if not depth:
            return None
        if isinstance(thing, (list, tuple)):
            return self._pair(thing, depth)
        if not isinstance(thing, Mapping):
            return None
        named = [key for key in ONE if key in thing and self._one(thing[key], depth - 1)]
        keys = named or [key for key, value in _open(thing) if self._one(value, depth - 1)]
        entry = self._one(thing[keys[0]], depth - 1) if named or len(keys) == 1 else None
        return entry and replace(_with_step(entry, thing), beside=thing)

    def _pair(self, thing: Sequence[Any], depth: int) -> Entry | None:
        """Return the state of (step, state) or (state, step)."""
        if len(thing) != 2:
            return None
        for step, inner in (thing, thing[::-1]):
            entry = self._one(inner, depth - 1) if whole(step) is not None else None
            if entry:
                return replace(entry, step=whole(step), said_by="the number beside it")
        return None


def _open(thing: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what may hold states: an optimiser's are not the network's."""
    return ((key, value) for key, value in thing.items() if "optim" not in str(key)[:_SHOWN].lower())


def _chosen(lists: Mapping[Any, Any], ones: Mapping[Any, Any], where: str) -> tuple[Any, bool]:
    """Return the key that is taken, and whether it holds several: by a usual name, or the only one."""
    for names, found, is_list in ((SEVERAL, lists, True), (ONE, ones, False)):
        for name in names:
            if name in found:
                return name, is_list
    if len({**lists, **ones}) > 1:
        there = ", ".join(str(key)[:_SHOWN] for key in list({**lists, **ones})[:6])
        raise UsageError(f"{where} holds states under {there}: say with `at` which are meant")
    return (next(iter(lists)), True) if lists else (next(iter(ones)), False)


def _with_step(entry: Entry, beside: Mapping[Any, Any]) -> Entry:
    if entry.step is not None:
        return entry
    for word in STEP_WORDS:
        if (step := whole(beside.get(word))) is not None:
            return replace(entry, step=step, said_by=word)
    return entry


def whole(thing: Any) -> int | None:
    """Return the whole number that `thing` is, as a number or a tensor of one; None where it is none."""
    thing = unboxed(thing)
    if type(thing) is float and thing.is_integer():
        return int(thing)
    return thing if type(thing) is int else None


def unboxed(thing: Any) -> Any:
    """Return what a tensor of one real number holds, None for any other tensor, and else `thing` itself."""
    if not (hasattr(thing, "numel") and hasattr(thing, "ndim")):
        return thing
    return None if thing.ndim or thing.is_complex() or thing.device.type != "cpu" else thing.item()


def numbers_beside(beside: Mapping[Any, Any], count: int) -> dict[str, list[int]]:
    """Return the lists of `count` whole numbers in a dict, by name; a tensor of them is one too."""
    found = {}
    for name, value in beside.items():
        if hasattr(value, "tolist") and hasattr(value, "ndim"):
            value = value.tolist() if value.ndim == 1 and len(value) == count else ()
        if isinstance(value, (list, tuple)) and len(value) == count:
            steps = [whole(item) for item in value]
            if None not in steps:
                found[str(name)] = [step for step in steps if step is not None]
    return found


def _step_in(key: Any) -> int | None:
    """Return the step that a key is, or has in its name: the only number in it."""
    if isinstance(key, str):
        digits = "".join(letter if letter.isdigit() else " " for letter in key[:_SHOWN]).split()
        return int(digits[0]) if len(digits) == 1 and digits[0].isascii() else None
    return whole(key)


def _under(loaded: Any, at: str, where: str) -> tuple[Mapping[Any, Any], Any]:
    """Return what stands under the key `at`, and the dict or list in which its last part stands."""
    beside: Mapping[Any, Any] = {}
    rest, inner = at, loaded
    while rest:
        items = dict(enumerate(inner)) if isinstance(inner, (list, tuple)) else inner
        names = {str(key): key for key in items} if isinstance(items, Mapping) else {}
        fitting = [name for name in names if rest == name or rest.startswith(f"{name}.")]
        if not fitting:
            there = ", ".join(name[:_SHOWN] for name in list(names)[:8]) or "nothing with a name"
            raise UsageError(f"`at` must be a key in {where}, got {at!r}: there is {there}")
        name = max(fitting, key=len)
        beside, inner, rest = items, items[names[name]], rest[len(name) + 1 :]
    return beside, inner


def _nothing(loaded: Any, where: str) -> str:
    what = "no dict"
    if isinstance(loaded, Mapping):
        what = f"a dict of {', '.join(str(key)[:_SHOWN] for key in list(loaded)[:4])}"
    return (
        f"{where} holds no state dict: there must be tensors by name, at the top or under a key; got {what}"
    )


def is_state(thing: Any) -> bool:
    """Whether `thing` is a state dict: tensors, and nothing else, by names."""
    import torch

    return (
        isinstance(thing, Mapping)
        and len(thing) > 0
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in thing.items())
    )
