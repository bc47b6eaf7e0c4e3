"""What is taken off tensors' names, in a file and in a network: wrappers' words, and what most begin with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from grokscope.errors import UsageError

# What DDP, torch.compile, FSDP, DeepSpeed and activation checkpointing put around a module, at any depth.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module")
USUAL = ("model", "net", "network")
COUNTER = "n_averaged"  # beside the module in what AveragedModel saves
_TRIED = 3  # beginnings of each length, the most frequent first


@dataclass(frozen=True)
class Peeling:
    """One way to shorten names.

    Attributes:
        names: the short name of each; no two are the same.
        taken: a beginning that no known wrapper has, where one was taken off.
    """

    names: Mapping[str, str]
    taken: str = ""


def peelings(names: Sequence[str], strip: Sequence[str] = ()) -> list[Peeling]:
    """Return the ways to shorten `names`, those that take off the least first.

    First what `strip` says, and nothing else; then wrappers' words wherever they stand; then also what most
    names begin with, one word more at a time; then wrappers' and usual words wherever they stand.
    """
    start = {name: _stripped(name, strip) for name in names}
    found: list[Peeling] = []
    for each in (Peeling(start), *_shortened(start)):
        known = any(each.names == before.names for before in found)
        if not known and len(set(each.names.values())) == len(names):
            found.append(each)
    return found


def _shortened(start: Mapping[str, str]) -> Iterator[Peeling]:
    bare = {name: _without(short, WRAPPERS) for name, short in start.items()}
    yield Peeling(bare)
    for beginning in _beginnings(list(bare.values())):
        unknown = set(beginning.split(".")) - {*USUAL, ""}
        yield Peeling(
            {name: short.removeprefix(beginning) for name, short in bare.items()},
            beginning if unknown else "",
        )
    yield Peeling({name: _without(short, (*WRAPPERS, *USUAL)) for name, short in start.items()})


def _beginnings(names: Sequence[str]) -> Iterator[str]:
    """Yield the most frequent beginnings of whole words, by their length."""
    words = [name.split(".")[:-1] for name in names]
    for length in range(1, max(map(len, words), default=0) + 1):
        counts = Counter(".".join(each[:length]) + "." for each in words if len(each) >= length)
        yield from (beginning for beginning, count in counts.most_common(_TRIED) if 2 * count >= len(names))


def _without(name: str, words: Sequence[str]) -> str:
    *modules, own = name.split(".")
    return ".".join((*(word for word in modules if word not in words), own))


def _stripped(name: str, strip: Sequence[str]) -> str:
    for beginning in strip:
        if name.startswith(beginning) and name != beginning:
            name = name.removeprefix(beginning).removeprefix(".")
    return name


def check_strip(strip: Sequence[str], names: Sequence[str]) -> None:
    """Raise UsageError for a beginning that none of `names` has."""
    for beginning in strip:
        if not beginning or not any(name.startswith(beginning) for name in names):
            there = ", ".join(list(names)[:4])
            raise UsageError(
                f"`strip` must be what tensors' names begin with, got {beginning!r}: there is {there}"
            )
