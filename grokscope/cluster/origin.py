"""What a process must share with the one that sends it work, so that it computes what that one would."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grokscope.discovery import installed_plugins, left_out
from grokscope.errors import GrokscopeError
from grokscope.run.files import sha256_hex
from grokscope.run.sites import Site, Url, site_of

LIBRARIES = ("torch", "numpy", "scipy")  # on which the last bits of a number depend
SOURCES = ("*.py", "*.toml")
DIGITS = 8  # of a fingerprint, as it is shown


@dataclass(frozen=True)
class Origin:
    """The process that sends work.

    Attributes:
        folder: its current folder, from which relative names are read.
        variables: its environment variables that are grokscope's.
        versions: of all code that numbers depend on, by name; of grokscope and plugins with a fingerprint.
    """

    folder: str
    variables: Mapping[str, str]
    versions: Mapping[str, str]

    @classmethod
    def here(cls) -> Origin:
        """Return this process."""
        unwanted = {_plugin(name) for name in left_out()}
        own = {name: value for name, value in os.environ.items() if name.startswith("GROKSCOPE_")}
        return cls(os.getcwd(), own, {n: v for n, v in _versions().items() if n not in unwanted})

    def unlike(self) -> str:
        """Return in what the process that this is asked in is unlike; "" when it may do the work."""
        here = _versions()
        for name, wanted in self.versions.items():
            if here.get(name, "none") != wanted:
                return (
                    f"it must have {name} {wanted}, got {here.get(name, 'none')}: install what is installed "
                    "where the command runs, and start it again"
                )
        return self.unseen(".")

    def unseen(self, path: str | Site) -> str:
        """Return that `path`, as the origin names it, is not to be seen from here; "" when it is.

        Of a URL whoever opens it says why it cannot.
        """
        place = site_of(path)
        if isinstance(place, Url):
            return ""
        there = Path(self.folder, place)
        return "" if there.exists() else f"it must see the same files, and {there} is not there"

    def enter(self) -> None:
        """Have names in this process mean what they mean at the origin."""
        os.environ.update(self.variables)
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise GrokscopeError(f"{self.folder} cannot be entered: {error.strerror}") from error


@functools.cache
def _versions() -> Mapping[str, str]:
    """Return the versions of what was there when this process first computed: it goes on with that code."""
    found = {name: _version(name).partition("+")[0] for name in LIBRARIES}
    found["grokscope"] = f"{_version('grokscope')} ({_fingerprint('grokscope')})"
    for plugin in installed_plugins():
        if plugin.distribution != "grokscope":
            about = f"{plugin.distribution} {plugin.version} ({_fingerprint(plugin.module)})"
        else:
            about = _fingerprint(plugin.module)
        found.setdefault(_plugin(plugin.name), about)
    return found


def _plugin(name: str) -> str:
    return f"plugin {name}"


def _version(distribution: str) -> str:
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(distribution)
    return "none"


@functools.cache
def _fingerprint(entry: str) -> str:
    """Return what tells the code of the package or module that an entry point's module lies in."""
    found = sorted((str(name), path) for name, path in _sources(entry.partition(":")[0].partition(".")[0]))
    told = [f"{name} {sha256_hex(path.read_bytes())}" for name, path in found]
    return sha256_hex("\n".join(told).encode())[:DIGITS]


def _sources(package: str) -> Iterator[tuple[Path, Path]]:
    """Yield the source files of a package, named from its folder; of a module its one file."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for folder in map(Path, spec.submodule_search_locations or ()):
        for kind in SOURCES:
            yield from ((path.relative_to(folder), path) for path in folder.rglob(kind))
    if not spec.submodule_search_locations and spec.origin and Path(spec.origin).is_file():
        yield Path(package), Path(spec.origin)
