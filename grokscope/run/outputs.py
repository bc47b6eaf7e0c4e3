"""Where an output that the user names goes.

A file is replaced whole, a link is written through, a pipe or device is written to.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path

from grokscope.errors import ReaderGone, StorageError
from grokscope.run.files import cannot_write, install, sweep, write_all
from grokscope.run.sites import Url, site_of

_DESCRIPTORS = re.compile(r"/proc/(?P<pid>\d+)(/task/\d+)?/fd|/dev/fd")
_LINKS = 40  # as many as Linux follows
# Why a file that may be written cannot be replaced: its folder, its owner, or a mount on the file itself.
_NO_REPLACING = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS)


def write_output(path: str | Path, data: bytes) -> None:
    """Make the output `path` hold `data`, or send it there.

    A regular file appears whole, durably, and keeps mode and owner; one with a second hard link becomes a
    file of its own. A symbolic link stays, and what it points to is written likewise. Pipes, devices,
    `/dev/stdout`, `/dev/fd/N` and what a shell opens for `>(command)` are written to. Where the system lets a
    file be written but not replaced (another's folder, a file that is a mount) it is written in place.
    Temporary files that killed processes left beside it are swept.

    Raises:
        ReaderGone: it is a pipe that nobody reads any more.
        StorageError: it cannot be written; a file that only its mode protects is left as it is.
    """
    path = Path(path)
    try:
        descriptor = _own_descriptor(path)
        if descriptor is not None:
            _send(descriptor, data)
        elif _is_stream(path):
            _write_into(path, data)
        else:
            _write_file(path, data)
    except BrokenPipeError as error:
        raise ReaderGone(f"{path} is not read any more") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def check_output(path: str | Path) -> None:
    """Refuse an output that cannot be written, before what it is to hold is computed. Raises StorageError.

    What can only be told by writing, such as a full disk, is told then.
    """
    if isinstance(site_of(str(path)), Url):
        raise StorageError(f"{path} cannot be written: runs may lie at URLs, what is made of them goes here")
    path = Path(path)
    if is_stream(path):
        return
    target = Path(os.path.realpath(path))
    if path.is_dir():
        raise StorageError(f"{path} cannot be written: it is a directory")
    if not target.parent.is_dir():
        raise StorageError(f"{path} cannot be written: there is no directory {target.parent}")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise StorageError(f"{path} cannot be written: permission is missing")


def is_stream(path: str | Path) -> bool:
    """Whether `path` is a pipe, a device or an open descriptor rather than a file, there or still to come."""
    return _own_descriptor(Path(path)) is not None or _is_stream(Path(path))


def _is_stream(path: Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _own_descriptor(path: Path) -> int | None:
    """Return the number of this process's open file that `path` means, as `/dev/stdout` does; else None.

    It must not be opened anew: where the shell sent it to a file, that would begin at the file's first byte.
    """
    place = os.path.abspath(path)
    for _ in range(_LINKS):
        folder, name = os.path.split(place)
        folder = os.path.realpath(folder)
        found = _DESCRIPTORS.fullmatch(folder)
        if found and name.isdecimal():
            return int(name) if found["pid"] in (None, str(os.getpid())) else None
        try:
            place = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return None
    return None


def _send(descriptor: int, data: bytes) -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):  # what was printed before comes before
        stream.flush()
    write_all(descriptor, data)


def _write_file(path: Path, data: bytes) -> None:
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise StorageError(f"{path} cannot be written: there is no directory {target.parent}")
    sweep(target.parent)
    try:
        os.close(os.open(path, os.O_WRONLY))  # refused where `>` would be: a rename asks for no permission
    except FileNotFoundError:
        install(target, data)
        return
    if not target.exists() or not path.samefile(target):  # what /proc links to may have gone
        _write_into(path, data)
        return
    try:
        install(target, data, like=target)
    except OSError as error:
        if error.errno not in _NO_REPLACING:
            raise
        _write_into(path, data)


def _write_into(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)  # neither makes a file nor replaces one
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)
