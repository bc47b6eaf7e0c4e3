"""Opens the rooms of a package when something of theirs is first asked for, and not before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def opened(package: str, rooms: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the package's `__getattr__`: `rooms` says in which of its modules each name is."""

    def find(name: str) -> Any:
        if name not in rooms:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{rooms[name]}"), name)

    return find
