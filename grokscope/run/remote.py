"""The verbs on objects, as fsspec reaches them: one PUT is the atom, and nothing is renamed or linked.

An object appears whole when its PUT is answered, or not at all. There are no folders, only names that begin
alike, and no file is ever half there, so there is nothing to sweep.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from grokscope.errors import DamagedFile, GrokscopeError, StorageError, UsageError, told
from grokscope.extras import from_extra
from grokscope.run.files import sha256_hex
from grokscope.run.sites import Url

LIBRARIES = {"s3": "s3fs", "s3a": "s3fs"}  # those of the extra `remote`; of others fsspec tells
_S3: dict[str, Any] = {"config_kwargs": {"retries": {"max_attempts": 3, "mode": "standard"}}}
OPTIONS = {"s3": _S3, "s3a": _S3}  # where fsspec's configuration says nothing: a failure is told in seconds
TRIES = 2  # of s3fs, twice around those of botocore: its own five would be 25 times as many
PROBE = f".grokscope-{0:016x}-0-0-{0:016x}.tmp"  # always the same: who may not delete leaves one
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")
_ADVICE = {
    "NoCredentialsError": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "EndpointConnectionError": "AWS_ENDPOINT_URL says where the store is, if it is not Amazon's",
}


class Unreachable(StorageError):
    """The store does not answer, or refuses: of what is there nothing is known."""


class Status(NamedTuple):
    """Of an object what `os.stat` tells of a file; what stands for its time changes with its bytes."""

    st_size: int
    st_mtime_ns: int


class Entry(NamedTuple):
    """An object, or what names have in common up to a slash, as `os.scandir` gives files and folders."""

    place: Url
    status: Status
    folder: bool

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.place.name

    @property
    def path(self) -> str:
        """Its URL."""
        return str(self.place)

    def stat(self, *, follow_symlinks: bool = True) -> Status:
        """Return size and what stands for its time."""
        return self.status

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is an object."""
        return not self.folder

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether other names begin with its own."""
        return self.folder

    def is_symlink(self) -> bool:
        """Return False: there are no links."""
        return False


def read_bytes(url: Url, cap: int) -> bytes:
    """Return the whole object, at most `cap` bytes; one request.

    Raises FileNotFoundError when it is not there, DamagedFile when it is larger, Unreachable.
    """
    try:
        with _asked(url, "read"):
            data = bytes(_system(url).cat_file(url.key, start=0, end=cap + 1))
    except Unreachable as error:
        if _code(error.__cause__) in ("InvalidRange", "416"):  # it is empty, and has no first byte
            return b""
        raise
    if len(data) > cap:
        raise DamagedFile(f"{url} must be at most {cap} bytes, got more")
    return data


def read_starts(urls: Sequence[Url], size: int) -> list[bytes]:
    """Return the first `size` bytes of each object, many at a time; none of one that cannot be read."""
    if not urls:
        return []
    keys, counts = [url.key for url in urls], len(urls)
    with _asked(urls[0], "read"):
        found = _system(urls[0]).cat_ranges(keys, [0] * counts, [size] * counts, on_error="return")
    return [data if isinstance(data, bytes) else b"" for data in found]


def write(url: Url, data: bytes) -> None:
    """Put an object there, or in the place of what was. Raises Unreachable, and then nothing has changed."""
    with _asked(url, "written", missing=False):
        _system(url).pipe_file(url.key, data)


def write_new(url: Url, data: bytes) -> bool:
    """Put an object there unless there is one, and return whether this was done.

    Of two that do it at once one alone succeeds, where the store knows conditional requests, as S3 does.
    """
    try:
        with _asked(url, "written", missing=False):
            _system(url).pipe_file(url.key, data, mode="create")
    except FileExistsError:
        return False
    except Unreachable as error:
        if exists(url):  # what refuses has no error of its own in s3fs
            return False
        if _code(error.__cause__) != "NotImplemented":  # conditional requests are
            raise
        write(url, data)
    return True


def delete(url: Url) -> None:
    """Delete an object; one that is not there is no failure. Raises Unreachable."""
    with suppress(FileNotFoundError), _asked(url, "deleted"):
        _system(url).rm_file(url.key)


def move(url: Url, to: Url, cap: int) -> None:
    """Have the object under another name, then no more under its own. Raises as reading and writing do."""
    write(to, read_bytes(url, cap))
    delete(url)


def exists(url: Url) -> bool:
    """Whether there is such an object. Raises Unreachable."""
    try:
        status(url)
    except FileNotFoundError:
        return False
    return True


def status(url: Url) -> Status:
    """Return the object's size and what stands for its time. Raises FileNotFoundError, Unreachable."""
    with _asked(url, "read"):
        found = _system(url).info(url.key)
    if found["type"] != "file":
        raise FileNotFoundError(str(url))
    return _status(found)


@contextmanager
def scan(url: Url) -> Iterator[Iterator[Entry]]:
    """Yield what lies directly below, as `os.scandir` does. Raises FileNotFoundError, Unreachable."""
    system = _system(url)
    with _asked(url, "listed"):
        system.invalidate_cache()
        found = system.ls(url.key, detail=True)
    named = ((each["name"].strip("/"), each) for each in found)
    own = ((name, each) for name, each in named if name != url.key)
    yield (
        Entry(url / name.rpartition("/")[2], _status(each), each["type"] == "directory") for name, each in own
    )


def is_writable(url: Url) -> bool:
    """Whether objects can be put below: one is put there, and deleted. Raises Unreachable."""
    probe = url / PROBE
    try:
        write(probe, b"whether this can be written")
    except Unreachable as error:
        if isinstance(error.__cause__, PermissionError):
            return False
        raise
    with suppress(Unreachable):  # whoever may put may be forbidden to delete
        delete(probe)
    return True


def _status(found: Mapping[str, Any]) -> Status:
    """Return size and a number for what the store says tells its bytes from others."""
    said: Any = next((found[name] for name in _VERSIONS if found.get(name)), "")
    said = str(said.timestamp() if isinstance(said, datetime) else said)  # lists may have either
    return Status(int(found.get("size") or 0), int(sha256_hex(said.encode())[:15], 16))


def _system(url: Url) -> Any:
    """Return what fsspec has for the scheme. Raises UsageError where there is none, or it is missing."""
    return _made(url.scheme, os.getpid())


@functools.cache
def _made(scheme: str, process: int) -> Any:
    """Return it, made once in a process."""
    import fsspec
    from fsspec.config import conf

    what = f"a run at {scheme}://"
    try:
        if scheme in LIBRARIES:
            with from_extra("remote", what):
                import_module(LIBRARIES[scheme])
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise UsageError(f"{what} needs a library: {told(error)}") from error
    except ValueError as error:
        raise UsageError(
            f"{what} must be at a scheme that fsspec knows, such as s3, gs or memory, got {scheme}"
        ) from error
    try:
        options = {**OPTIONS.get(scheme, {}), **conf.get(scheme, {}), "use_listings_cache": False}
        system = fsspec.filesystem(scheme, **options)
    except Exception as error:  # of whatever library it is
        raise Unreachable(f"{what} cannot be reached: {told(error)}") from error
    if scheme in LIBRARIES:
        system.retries = TRIES
    return system


@contextmanager
def _asked(url: Url, done: str, missing: bool = True) -> Iterator[None]:
    """Say what a request came to: every library has errors of its own.

    That an object is not there is `missing`, and said by FileNotFoundError, or one sentence as any other.
    """
    try:
        yield
    except (GrokscopeError, FileExistsError):
        raise
    except FileNotFoundError as error:
        if missing and _code(error) != "NoSuchBucket":
            raise
        raise Unreachable(f"{url} cannot be {done}: {_words(error)}") from error
    except Exception as error:
        raise Unreachable(f"{url} cannot be {done}: {_words(error)}") from error


def _code(error: BaseException | None) -> str:
    """Return the word by which S3 says what is amiss; "" where another store says it."""
    response = getattr(error and error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _words(error: BaseException) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or told(error) or type(error).__name__
    advice = _ADVICE.get(type(error).__name__)
    return said.strip().rstrip(".") + (f"; {advice}" if advice else "")
