"""The verbs by which a run is read and written wherever it lies: as files of this machine, or as objects."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from grokscope.errors import DamagedFile, StorageError
from grokscope.run import files, remote
from grokscope.run.sites import Site, Url


def read_bytes(place: Site, cap: int, follow: bool = False) -> bytes:
    """Return the whole file or object, at most `cap` bytes; see `files.read_bytes`."""
    return remote.read_bytes(place, cap) if isinstance(place, Url) else files.read_bytes(place, cap, follow)


def atomic_write(place: Site, data: bytes) -> None:
    """Make `place` hold `data`, durably: always it is the old bytes or the new. Raises StorageError."""
    if isinstance(place, Url):
        remote.write(place, data)
    else:
        files.atomic_write(place, data)


def write_new(place: Site, data: bytes) -> bool:
    """Do what `atomic_write` does where nothing is there, and return whether that was so.

    Files are not looked at: whoever asks has just seen that there is none, and renaming cannot tell.
    """
    if isinstance(place, Url):
        return remote.write_new(place, data)
    files.atomic_write(place, data)
    return True


def exists(place: Site) -> bool:
    """Whether there is an object, or anything of that name."""
    return remote.exists(place) if isinstance(place, Url) else os.path.lexists(place)


def scan(folder: Site) -> AbstractContextManager[Any]:
    """Return what lies in a folder, as `os.scandir` does. Raises FileNotFoundError, OSError, StorageError."""
    return remote.scan(folder) if isinstance(folder, Url) else os.scandir(folder)


def status(place: Site) -> os.stat_result | remote.Status:
    """Return size and time, or what stands for it. Raises FileNotFoundError, OSError, StorageError."""
    return remote.status(place) if isinstance(place, Url) else place.stat()


def delete(place: Site) -> None:
    """Delete a file or object, where there is one. Raises OSError, StorageError."""
    if isinstance(place, Url):
        remote.delete(place)
    else:
        place.unlink(missing_ok=True)


def move(place: Site, to: Site, cap: int) -> None:
    """Give a file or object of at most `cap` bytes another name. Raises OSError, StorageError."""
    if isinstance(place, Url) and isinstance(to, Url):
        remote.move(place, to, cap)
    else:
        os.replace(str(place), str(to))


def is_writable(folder: Site) -> bool:
    """Whether something can be put into a folder. Of a URL it is tried, which costs two requests."""
    return remote.is_writable(folder) if isinstance(folder, Url) else os.access(folder, os.W_OK)


def require_writable(folder: Site) -> None:
    """Raise StorageError where nothing can be put below a URL; of directories writing itself tells."""
    if isinstance(folder, Url) and not is_writable(folder):
        raise StorageError(f"{folder} is read-only: nothing can be put there")


def make_folder(folder: Site, inside: Site | None = None) -> None:
    """Make a folder where files need one, see `files.make_folder`; objects need none."""
    if isinstance(folder, Path):
        files.make_folder(folder, inside if isinstance(inside, Path) else None)


def link_file(source: Path, place: Site) -> None:
    """Make `place` a hard link to the file `source`, see `files.link_file`. Raises StorageError."""
    if isinstance(place, Url):
        raise StorageError(f"{source} cannot be linked to {place}: it must be copied, leave `link` out")
    files.link_file(source, place)


def sweep(folder: Site) -> list[str]:
    """Delete what ended processes left half written, see `files.sweep`; of objects there is nothing such."""
    return files.sweep(folder) if isinstance(folder, Path) else []


def holds(place: Site, data: bytes) -> bool:
    """Whether just these bytes are there, as far as they can be read."""
    try:
        return read_bytes(place, len(data), follow=True) == data
    except (FileNotFoundError, DamagedFile, StorageError):
        return False
