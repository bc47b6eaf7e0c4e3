"""What the user's own network is: a fingerprint of its code and structure, so that old numbers stay old."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.declare import canonical_json

if TYPE_CHECKING:
    from torch import nn

_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))


def fingerprint(network: nn.Module, made_by: Iterable[Any]) -> str:
    """Return the sha256 of what decides a network's numbers besides its weights.

    These are the files that the functions `made_by` and the classes of its modules are written in, without
    comments and layout; of installed packages their versions; and the network's structure, with its layers.
    A changed helper in another file of the user's is not seen.
    """
    inner = getattr(network, "inner", network)
    sources = {name: text for thing in [*made_by, *_classes(inner)] for name, text in _source(thing)}
    about = {
        "sources": sources,
        "structure": re.sub(r" at 0x[0-9a-f]+", "", repr(inner)),
        "layers": list(getattr(network, "hidden", ())),
    }
    return hashlib.sha256(canonical_json(about).encode()).hexdigest()


def _classes(network: nn.Module) -> Iterator[type]:
    yield from dict.fromkeys(type(part) for part in network.modules())


def _source(thing: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and text of the file where a function or class is written, or its package's version."""
    module = sys.modules.get(getattr(thing, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    top = getattr(module, "__name__", "").partition(".")[0]
    if file and any(Path(file).resolve().is_relative_to(place) for place in _INSTALLED):
        if top not in ("torch", "builtins"):
            yield top, str(getattr(sys.modules.get(top), "__version__", ""))
        return
    try:
        text = Path(file).read_text() if file else inspect.getsource(thing)
        yield f"{top}:{Path(file).name if file else thing.__qualname__}", ast.unparse(ast.parse(text))
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
        yield top, ""
