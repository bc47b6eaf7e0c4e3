"""stdout and stderr made safe: what they cannot hold has a stand-in, and a failing one does no harm.

A command's work does not depend on where its words go: stderr may be closed or full. What stdout cannot take
is data lost, and so an error.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from grokscope.errors import ReaderGone, StorageError

_NAME = "grokscope stand-ins"
_STAND_INS = {
    **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True)),
    **dict(zip("–—−…─━│┃·•×▽▼", "---.--||.@xvV", strict=True)),
    **dict.fromkeys("┌┐└┘├┤┬┴┼", "+"),
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "±": "+-",
    "²": "^2",
    "∞": "inf",
}


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    """Encode what an encoding lacks: lines and blocks as ASCII draws them, `?` for any other character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STAND_INS.get(c, "*" if "\u2800" < c <= "\u28ff" else "?") for c in lacking), error.end


class Guarded:
    """A text stream whose failures to write go to `failed`; in all else it is the stream itself."""

    def __init__(self, stream: Any, failed: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._failed = failed
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        """Write the lines."""
        self.write("".join(lines))

    def write_bytes(self, data: bytes) -> None:
        """Write bytes behind what was written so far."""
        self.flush()
        self._try(lambda: self._stream.buffer.write(data))

    def flush(self) -> None:
        """Send what was written on its way."""
        self._try(lambda: self._stream.flush())

    def _try(self, act: Callable[[], Any]) -> None:
        if self.broken:
            return
        try:
            act()
        except OSError as error:
            self.broken = True
            _silence(self._stream)
            self._failed(error)


@contextmanager
def guarded_streams(data: bool = True) -> Iterator[None]:
    """Guard sys.stdout and sys.stderr for the block; a closed one is there, and fails when written to.

    In the block what goes to stdout raises ReaderGone when its reader has gone, and StorageError when it
    cannot be written for another reason; what stderr does not take is dropped. Without `data` that holds for
    stdout too: in a process whose stdout only ever shows what plugins print.
    """
    codecs.register_error(_NAME, _stand_in)
    _occupy_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout = Guarded(_replacing(before[0], 1), _stdout_failed if data else _dropped)
    sys.stderr = Guarded(_replacing(before[1], 2), _dropped)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _dropped(error: OSError) -> None:
    """What a stream of mere words does not take is no loss."""


def _stdout_failed(error: OSError) -> None:
    if isinstance(error, BrokenPipeError):
        raise ReaderGone("standard output is not read any more") from error
    from grokscope.run.files import cannot_write

    if error.errno == errno.EBADF:
        raise StorageError("standard output cannot be written: it is closed") from error
    raise cannot_write("standard output", error) from error


def _replacing(stream: Any, descriptor: int) -> Any:
    """Return the stream with stand-ins; a new one where Python has none because it was closed."""
    if stream is None:
        return open(descriptor, "w", encoding="utf-8", errors=_NAME, closefd=False)
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=_NAME)
    return stream


def _occupy_closed_descriptors() -> None:
    """Have 0, 1 and 2 open, so that no file that is opened later, such as a checkpoint, becomes one of them.

    What goes to a closed 2 is dropped. A closed 1 fails when it is written to: data would be lost there.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            _put_nowhere(descriptor, mode)


def _put_nowhere(descriptor: int, mode: int) -> None:
    opened = os.open(os.devnull, mode)
    if opened != descriptor:
        os.dup2(opened, descriptor)
        os.close(opened)


def _silence(stream: Any) -> None:
    """Let what is still in the buffers of a broken stream go nowhere, or Python's end reports it."""
    with suppress(OSError, ValueError, AttributeError):
        _put_nowhere(stream.fileno(), os.O_WRONLY)
