"""Where a run lies: a directory of this machine, or a URL below which objects have the names of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from grokscope.errors import UsageError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.:-]*)://(?P<key>.*)", re.DOTALL)
_HERE = ("file", "local")  # schemes of this machine's own files


@dataclass(frozen=True, order=True)
class Url:
    """A place in an object store, or the like that fsspec reaches.

    It can what runs ask of a path, and is none: whatever would open it as a file of this machine fails.

    Attributes:
        scheme: of what fsspec calls a protocol, such as `s3`.
        key: bucket and name, without slashes at the ends.
    """

    scheme: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    def __truediv__(self, name: str) -> Url:
        return Url(self.scheme, f"{self.key}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> Url:
        """The place that it lies in; of a bucket itself."""
        return Url(self.scheme, self.key.rpartition("/")[0] or self.key)

    def resolve(self) -> Url:
        """Return itself: it has one name."""
        return self

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False


Site: TypeAlias = Path | Url


def site_of(given: str | Site) -> Site:
    """Return where `given` is. Raises UsageError for a URL that names no place.

    >>> str(site_of("s3://bucket/runs/x/") / "run.toml")
    's3://bucket/runs/x/run.toml'
    >>> site_of("runs/x")
    PosixPath('runs/x')
    """
    if not isinstance(given, str):
        return given
    found = _URL.fullmatch(given)
    if not found:
        return Path(given)
    scheme, key = found["scheme"].lower(), found["key"]
    if scheme in _HERE:
        return Path(key)
    key = key.strip("/")
    if not key or "::" in given or any(part in ("", ".", "..") for part in key.split("/")):
        raise UsageError(
            f"a run's URL must be SCHEME://BUCKET/FOLDER, such as s3://bucket/runs/x, got {given!r}"
        )
    return Url(scheme, key)
