"""What the library calls an argument and the command line an option: its sentences are said in flags here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

# Arguments of the library that a command calls otherwise: by the first of these that it has.
OTHERWISE = {"measures": ("measure",), "out": ("results", "run"), "without": ("no_plugins",)}
_flags: ContextVar[dict[str, str]] = ContextVar("flags", default={})  # noqa: B039 - never written to


def speak_of(parameters: Iterable[Any]) -> None:
    """Say from now on the flags of these parameters, or their places, where a sentence names an argument."""
    flags = {}
    for each in parameters:
        longest = max(each.opts, key=len, default="")
        flags[each.name.rpartition("__")[2]] = longest if longest.startswith("--") else longest.upper()
    for name, others in OTHERWISE.items():
        for other in others:
            if other in flags:
                flags.setdefault(name, flags[other])
    _flags.set(flags)


def worded(sentence: str) -> str:
    """Return a sentence with each argument in backticks called by its flag, where the command has one."""
    flags = _flags.get()
    return re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), sentence)
