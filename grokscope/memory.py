"""How much memory a process may take, and which shared values are kept: those asked for last."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from grokscope.errors import SettingError, told

T = TypeVar("T")
VARIABLE = "GROKSCOPE_MAX_MEMORY"
LEAST = 256 << 20  # torch alone takes more
OF_THE_MACHINE = 4  # a quarter of it, where nothing else is asked for
KEPT = 4  # a quarter of what a process may take is kept for later; the rest is for what is being computed
FREED = (32 << 20) - (1 << 16)  # glibc looks at blocks below 32 MB, with what it puts before them
MUCH = 64  # a 64th
LARGE = 100  # larger than a hundredth of what is kept
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}
CGROUP = Path("/sys/fs/cgroup/memory.max")
NO_MEMORY = r"not enough memory|can't allocate memory|Cannot allocate memory|out of memory"  # torch's words
STATM = Path("/proc/self/statm")


def read_size(text: str | int) -> int:
    """Return the bytes that a text such as `2GB`, `512MiB` or `1.5g` means, or a number of bytes.

    Raises SettingError.

    >>> read_size("2GB"), read_size("512MiB"), read_size(10**9)
    (2000000000, 536870912, 1000000000)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?)?B?\s*", str(text).upper())
    if not found or (found[2] or "") not in UNITS:
        raise SettingError(f"max_memory must be a size such as 2GB or 512MiB, got {text!r}")
    size = int(float(found[1]) * UNITS[found[2] or ""])
    if size < LEAST:
        raise SettingError(f"max_memory must be at least {LEAST >> 20}MiB, got {text!r}")
    return size


def bytes_each(asked: str | int | None, processes: int) -> int:
    """Return the bytes that each of so many processes may take.

    `asked` is for all together; where it is None $GROKSCOPE_MAX_MEMORY says it, or else it is a quarter of
    the machine. Raises SettingError.
    """
    asked = asked if asked is not None else os.environ.get(VARIABLE) or None
    whole = machine() // OF_THE_MACHINE if asked is None else read_size(asked)
    return max(LEAST, whole // processes)


def machine() -> int:
    """Return the bytes of memory that the machine has, or that this process's group may take."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 8 << 30
    try:
        return min(whole, int(CGROUP.read_text()))
    except (OSError, ValueError):
        return whole


def hold_freed(most: int | None) -> None:
    """Let glibc hold on to 64 MB of what is freed, as it does once nearly 32 MB were freed at once.

    It learns so from a block that nobody has to write into. Until then it gives back more of what is freed,
    and what comes next is taken from the machine anew, page by page: that takes longer than to fill it. Not
    where these 64 MB are much of what this process may take. Other allocators are left to themselves.
    """
    if most is not None and most < MUCH * 2 * FREED:
        return
    import torch

    torch.empty(FREED, dtype=torch.uint8, device="cpu")


def give_back(most: int | None) -> None:
    """Give freed memory back to the machine where this process holds a quarter of what it may take, or more.

    glibc holds on to what is freed between values that stay, and it would count beside what comes next.
    Other systems' allocators are left to themselves.
    """
    if most is None or resident() < most // 4:
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident() -> int:
    """Return the bytes of memory that this process holds now; 0 where that is not known."""
    try:
        with open(STATM, "rb", buffering=0) as file:  # after every cell
            return int(file.read(200).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def lacking(error: BaseException) -> str:
    """Return in a sentence what memory an error of Python, numpy or torch says is lacking; else nothing.

    >>> lacking(MemoryError("Unable to allocate 4.69 GiB for an array"))[:44]
    'there is no memory for 4.69 GiB asked for at'
    >>> lacking(ValueError("no"))
    ''
    """
    said = told(error)
    if not isinstance(error, MemoryError) and not re.search(NO_MEMORY, said):
        return ""
    found = re.search(r"allocate ([\d.]+) ?([KMGT]iB|bytes)", said)
    size = " ".join(found.groups()) if found else "what is"
    if size.endswith("bytes"):
        size = f"{int(size.split()[0]) / 1e9:.2g} GB"
    return (
        f"there is no memory for {size} asked for at once: fewer `workers` and a smaller `max_memory` leave "
        "more of it, other layers or fewer examples need less"
    )


class Memory:
    """How many bytes of values are kept at most, on several shelves; what was not asked for longest goes.

    Small values make no room, and cost a pass as large ones do: they go when no larger one is left.

    Attributes:
        most: bytes kept; None is no bound.
        whole: bytes that the process may take; None is no bound.
        held: bytes kept now.
    """

    def __init__(self, most: int | None = None, whole: int | None = None) -> None:
        self.most, self.whole, self.held = most, whole, 0
        self._sizes: dict[tuple[int, Hashable], int] = {}  # in the order in which they were asked for
        self._shelves: dict[int, weakref.ref[Shelf]] = {}

    def fits(self, size: int) -> bool:
        """Return whether values of so many bytes may be kept beside as many others."""
        return self.most is None or 2 * size <= self.most

    def touch(self, shelf: Shelf, key: Hashable) -> None:
        """Note that a value was asked for."""
        place = (id(shelf), key)
        if place in self._sizes:
            self._sizes[place] = self._sizes.pop(place)

    def keep(self, shelf: Shelf, key: Hashable, value: Any) -> None:
        """Note that a value has come; others go for it."""
        if self.most is None:
            return
        size = size_of(value)
        if not size:
            return
        if size > self.most:
            shelf.drop(key)
            return
        if id(shelf) not in self._shelves:
            self._shelves[id(shelf)] = weakref.ref(shelf, partial(self._left, id(shelf)))
        self._sizes[id(shelf), key] = size
        self.held += size
        while self.held > self.most:
            large = (place for place, size in self._sizes.items() if size > self.most // LARGE)
            at, oldest = next(large, None) or next(iter(self._sizes))
            owner = self._shelves[at]()
            if owner is not None:
                owner.drop(oldest)

    def forget(self, shelf: Shelf, key: Hashable) -> None:
        """Count a value no more."""
        self.held -= self._sizes.pop((id(shelf), key), 0)

    def _left(self, at: int, _: Any) -> None:
        del self._shelves[at]
        for place in [place for place in self._sizes if place[0] == at]:
            self.held -= self._sizes.pop(place)


class Shelf:
    """Values by key, computed when they are first asked for, and again where they had to go.

    `dropped` is told of every value that goes.
    """

    def __init__(self, memory: Memory, dropped: Callable[[Hashable], None] | None = None) -> None:
        self._memory, self._dropped = memory, dropped
        self._values: dict[Hashable, Any] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def __getitem__(self, key: Hashable) -> Any:
        return self._values[key]

    def shared(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return the value, computed where it is not there."""
        if key in self._values:
            self._memory.touch(self, key)
            found: T = self._values[key]
            return found
        value = self._values[key] = compute()
        self._memory.keep(self, key, value)
        return value

    def items(self) -> list[tuple[Hashable, Any]]:
        """Return what is there."""
        return list(self._values.items())

    def drop(self, key: Hashable) -> None:
        """Let a value go."""
        self._memory.forget(self, key)
        if self._dropped is not None:
            self._dropped(key)
        del self._values[key]


def size_of(value: Any) -> int:
    """Return the bytes of the tensors and arrays in a value."""
    if hasattr(value, "element_size"):
        return int(value.numel() * value.element_size())
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    if isinstance(value, (list, tuple)):
        return sum(map(size_of, value))
    if is_dataclass(value) and not isinstance(value, type):
        return sum(size_of(getattr(value, field.name)) for field in fields(value))
    return 0
