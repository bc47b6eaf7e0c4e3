"""Which distributions are installed, and what they say of themselves: read from what lies beside them.

`importlib.metadata` reads the same, and takes longer to be loaded than all names of plugins take to be found.
It is asked about what is not plainly a folder: archives, eggs, distributions of other finders.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any, NamedTuple

ENDINGS = (".dist-info", ".egg-info")
_VALUE = re.compile(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\])?\s*")


class EntryPoint(NamedTuple):
    """What a distribution offers in a group: a name for a module, or for something in one."""

    name: str
    value: str
    group: str

    def load(self) -> Any:
        """Import it and return it. Raises ValueError where it says no module, and whatever importing does."""
        found = _VALUE.fullmatch(self.value)
        if not found:
            raise ValueError(f"an entry point must be MODULE or MODULE:OBJECT, got {self.value!r}")
        path = (found[2] or "").split(".") if found[2] else []
        return functools.reduce(getattr, path, import_module(found[1]))


class Distribution:
    """A distribution by the folder of its metadata; it can what grokscope asks of importlib.metadata's."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def read_text(self, name: str) -> str | None:
        """Return what a file of the metadata says; None where there is none."""
        try:
            with open(os.path.join(self._folder, name), encoding="utf-8") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
            return None

    @property
    def entry_points(self) -> list[EntryPoint]:
        """What it offers. Raises ValueError for a line that has no equals sign."""
        group, found = "", []
        lines = (line.strip() for line in (self.read_text("entry_points.txt") or "").splitlines())
        for line in lines:
            if line.startswith("[") and line.endswith("]"):
                group = line[1:-1]
            elif line and not line.startswith("#"):
                name, equals, value = line.partition("=")
                if not equals:
                    raise ValueError(f"entry_points.txt must have NAME = VALUE in each line, got {line!r}")
                found.append(EntryPoint(name.strip(), value.strip(), group))
        return found

    @property
    def metadata(self) -> dict[str, str]:
        """The headers of its description."""
        text = self.read_text("METADATA") or self.read_text("PKG-INFO") or ""
        headers = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
        return {name: value.strip() for name, colon, value in headers if colon}


def distributions() -> Iterator[Any]:
    """Yield all distributions on the path, in its order; one may come twice."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        yield from _asked()
        return
    for place in (place for place in sys.path if isinstance(place, str)):  # nothing else is imported from
        if os.path.isdir(place or ".") and not place.endswith(".egg"):
            with suppress(OSError):
                names = os.listdir(place or ".")
                yield from (Distribution(os.path.join(place, n)) for n in names if n.endswith(ENDINGS))
        elif os.path.exists(place):
            yield from _asked(path=[place])


def _asked(**where: Any) -> Iterator[Any]:
    import importlib.metadata

    return iter(importlib.metadata.distributions(**where))
