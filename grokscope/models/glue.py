"""What the user's own network is: a fingerprint of its code and structure, so that old numbers stay old."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from grokscope.declare import canonical_json

if TYPE_CHECKING:
    from torch import nn

_SITES = {"site-packages", "dist-packages"}
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))


def fingerprint(network: nn.Module, made_by: Iterable[Any]) -> str:
    """Return the sha256 of what decides a network's numbers besides its weights.

    These are the files that the functions `made_by` and the classes of its modules are written in, and those
    of the modules in the same folder or package that these import, and so on, without comments and layout; of
    installed packages their versions; and the network's structure, with its layers. A module that is imported
    by a name which is only made up as the code runs is not seen, nor what the code reads from other files.
    """
    inner = getattr(network, "inner", network)
    things = [*made_by, *_classes(inner)]
    sources = {name: text for thing in things for name, text in _source(thing)}
    about = {
        "sources": {**dict(_imported(things)), **sources},
        "structure": re.sub(r" at 0x[0-9a-f]+", "", repr(inner)),
        "layers": list(getattr(network, "hidden", ())),
    }
    return hashlib.sha256(canonical_json(about).encode()).hexdigest()


def _classes(network: nn.Module) -> Iterator[type]:
    yield from dict.fromkeys(type(part) for part in network.modules())


def _source(thing: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and text of the file where a function or class is written, or its package's version."""
    module = _module_of(thing)
    file = getattr(module, "__file__", None)
    top = getattr(module, "__name__", "").partition(".")[0]
    if file and _is_installed(file):
        if top not in ("torch", "builtins"):
            yield top, str(getattr(sys.modules.get(top), "__version__", ""))
        return
    try:
        text = _text(file) if file else ast.unparse(ast.parse(inspect.getsource(thing)))
        yield f"{top}:{Path(file).name if file else thing.__qualname__}", text
    except (OSError, TypeError, SyntaxError, UnicodeDecodeError):
        yield top, ""


def _imported(things: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the modules beside those of `things` that they import, directly or not."""
    waiting = [module for thing in things if (module := _module_of(thing)) and _is_own(module)]
    roots = {_root(module) for module in waiting}
    own, seen = set(map(id, waiting)), set()
    while waiting:
        module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        try:
            text = _text(str(module.__file__))
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue
        if id(module) not in own:
            yield f"{module.__name__}:", text
        for name in _names_imported(text, module):
            found = sys.modules.get(name)
            if found is not None and _is_own(found) and _root(found) in roots:
                waiting.append(found)


def _names_imported(text: str, module: ModuleType) -> Iterator[str]:
    """Yield what may be a module's name among the imports in a text, wherever they stand in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            with suppress(ImportError, ValueError):
                if node.level:
                    base = resolve_name("." * node.level + base, module.__package__ or "")
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_of(thing: Any) -> ModuleType | None:
    return sys.modules.get(getattr(thing, "__module__", None) or "")


def _is_own(module: ModuleType) -> bool:
    file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    return bool(file) and top != "grokscope" and not _is_installed(str(file))


def _root(module: ModuleType) -> Path:
    """Return the folder that the module, or the package that it is in, lies in."""
    path, depth = Path(str(module.__file__)).resolve(), module.__name__.count(".")
    return path.parents[depth + (path.name == "__init__.py")]


@lru_cache(maxsize=4096)
def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    return not _SITES.isdisjoint(path.parts) or any(path.is_relative_to(place) for place in _INSTALLED)


def _text(file: str) -> str:
    """Return the code in a file without comments and layout."""
    return ast.unparse(ast.parse(Path(file).read_text()))
