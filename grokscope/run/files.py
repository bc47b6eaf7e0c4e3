"""How bytes reach the disk and come back: a file appears whole by rename or not at all, and is read whole.

Nothing is deleted here that is not provably a temporary file of a process that has ended.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import os
import re
import stat
from pathlib import Path

from grokscope.errors import DamagedFile, StorageError

TEMPORARY = re.compile(
    r"\.grokscope-(?P<machine>[0-9a-f]{16})-(?P<pid>\d{1,10})-(?P<start>\d{1,20})-[0-9a-f]{16}\.tmp",
    re.ASCII,
)
_ACCESS_LIST = "system.posix_acl_access"
MOST_HOLES = 64 << 20  # bytes of a file that may be holes, whatever else it holds
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
_ADVICE = "free some space and run the same command again: nothing that was stored before is lost"


def sha256_hex(data: bytes | memoryview) -> str:
    """Return the sha256 of `data` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def atomic_write(path: str | Path, data: bytes) -> None:
    """Make `path` hold `data`, durably; at any moment it is the old file or the new one, never a part.

    The mode is 0666 less the umask. Raises StorageError, and leaves no temporary file, when it fails.
    """
    try:
        install(Path(path), data)
    except OSError as error:
        raise cannot_write(path, error) from error


def install(path: Path, data: bytes, like: Path | None = None) -> None:
    """Do what `atomic_write` does; mode, owner and access list are those of the file `like`, if given.

    Raises OSError, also where the system does not let them be kept; then nothing has changed.
    """
    temporary = path.parent / temporary_name()
    try:
        _write_durably(temporary, data, like)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def link_file(source: Path, path: Path) -> None:
    """Make `path` a hard link to the file `source`, durably; at any moment it is whole or not there.

    Raises StorageError where the system does not link the two, as across file systems.
    """
    temporary = path.parent / temporary_name()
    try:
        try:
            os.link(os.path.realpath(source), temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)  # rename does nothing where both are the same file already
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"{source} cannot be linked to {path}: {error.strerror or error}; leave `link` out to copy it"
        ) from error


def cannot_write(path: str | Path, error: OSError) -> StorageError:
    """Return the one sentence that says why `path` could not be written and what to do."""
    if error.errno in _FULL:
        return StorageError(f"{path} cannot be written: {_FULL[error.errno]}; {_ADVICE}")
    return StorageError(f"{path} cannot be written: {error.strerror or error}")


def make_folder(path: Path, inside: Path | None = None) -> None:
    """Make `path` and its parents where they are missing, durably. Raises StorageError.

    With `inside`, no folder from there on may be a link, since what is written must not leave the run; and no
    parent is made, or a run that was moved away would begin anew.
    """
    if inside is not None and (link := first_link(path, inside)):
        raise StorageError(f"{link} must not be a link: nothing is written through links out of a run")
    if path.is_dir():
        return
    try:
        path.mkdir(parents=inside is None, exist_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def first_link(path: Path, inside: Path) -> Path | None:
    """Return the first of the folders from below `inside` down to `path` that is a link, else None."""
    place = inside
    for part in path.relative_to(inside).parts:
        place = place / part
        if os.path.islink(place):
            return place
    return None


def sync_folder(path: Path) -> None:
    """Make the names in folder `path` durable, where the system can do so."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _write_durably(path: Path, data: bytes, like: Path | None = None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666 if like is None else 0o600)
    try:
        if like is not None:
            _take_after(descriptor, like)
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_after(descriptor: int, like: Path) -> None:
    """Give the open file owner, access list and mode of `like`; the mode last, since the others change it."""
    if os.name != "posix":
        return
    wanted, own = os.stat(like), os.fstat(descriptor)
    if (wanted.st_uid, wanted.st_gid) != (own.st_uid, own.st_gid):
        os.fchown(descriptor, wanted.st_uid, wanted.st_gid)
    if hasattr(os, "getxattr"):
        try:
            access = os.getxattr(like, _ACCESS_LIST)
        except OSError:  # it has none, or the file system knows none
            access = b""
        if access:
            os.setxattr(descriptor, _ACCESS_LIST, access)
    os.fchmod(descriptor, stat.S_IMODE(wanted.st_mode))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` to an open file. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_bytes(path: str | Path, cap: int, follow: bool = False) -> bytes:
    """Return the whole regular file `path`, at most `cap` bytes; a link is only followed with `follow`.

    Memory for it is asked for once its size is known, and not for a file that is mostly holes: a few bytes
    on disk would become gigabytes of zeros.

    Raises FileNotFoundError when it is not there, DamagedFile when it is no such file, StorageError when the
    system does not let it be read.
    """
    links = 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    flags = os.O_RDONLY | links | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise DamagedFile(f"{path} must be a regular file")
            if found.st_size > cap:
                raise DamagedFile(f"{path} must be at most {cap} bytes, got {found.st_size}")
            _refuse_holes(descriptor, found.st_size, path)
            return _whole(file, found.st_size)
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise StorageError(f"{path} cannot be read: there is not enough memory for it") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            got = "a link that leads in a circle" if follow else "a link"
            raise DamagedFile(f"{path} must be a regular file, got {got}") from error
        raise StorageError(f"{path} cannot be read: {error.strerror or error}") from error


def _whole(file: io.FileIO, size: int) -> bytes:
    """Return `size` bytes of `file`, or as many as there are: a single read gives at most 2 GiB."""
    first = file.read(size) or b""
    if len(first) in (0, size):
        return first
    parts, have = [first], len(first)
    while have < size and (more := file.read(size - have)):
        parts.append(more)
        have += len(more)
    return b"".join(parts)


def _refuse_holes(descriptor: int, size: int, path: str | Path) -> None:
    """Refuse a file of which more is holes than data, where the system tells holes."""
    if size <= MOST_HOLES or not hasattr(os, "SEEK_DATA"):
        return
    stored = 0
    try:
        end = 0
        while end < size:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            stored += end - start
    except OSError as error:
        if error.errno != errno.ENXIO:  # that is: no data from here on
            return
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    if size - stored > max(MOST_HOLES, stored):
        raise DamagedFile(
            f"{path} declares {size} bytes and only {stored} are stored, the rest is holes; "
            "if it is meant so, write it out with cp --sparse=never"
        )


def temporary_name() -> str:
    """Return a new name for a temporary file: it says which process on which machine made it."""
    return f".grokscope-{_machine()}-{os.getpid()}-{_start(os.getpid()) or 0}-{os.urandom(8).hex()}.tmp"


def sweep(folder: str | Path) -> list[str]:
    """Delete the temporary files that ended processes left in `folder`; return their names.

    Only files that this running system's own processes made are judged: elsewhere an unknown process number
    proves nothing.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_abandoned(entry)]
        for name in names:
            Path(folder, name).unlink(missing_ok=True)
    except OSError:
        return []
    return names


def is_abandoned(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a temporary file whose process, one of this running system, has ended."""
    found = TEMPORARY.fullmatch(entry.name)
    if not found or not entry.is_file(follow_symlinks=False):
        return False
    return bool(_boot()) and found["machine"] == _machine() and _ended(int(found["pid"]), int(found["start"]))


def is_foreign(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a temporary file of another system, or from before a restart of this one."""
    found = TEMPORARY.fullmatch(entry.name)
    return found is not None and (not _boot() or found["machine"] != _machine())


def _ended(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    now = _start(pid)
    return now is not None and now != start


def _start(pid: int) -> int | None:
    """Return when process `pid` started, in clock ticks since boot; None when the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


@functools.cache
def _boot() -> str:
    """Return what names this running system and its process numbers; empty where nothing does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return boot + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _machine() -> str:
    return sha256_hex(_boot().encode())[:16]
