"""What goes where: data to stdout, everything else to stderr; and how a signal ends a command."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from grokscope.cli.wording import worded

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from grokscope.run.sites import Site


def stderr_console() -> Console:
    """Return the console for everything that is not data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


def print_data(content: RenderableType | str) -> None:
    """Print data on stdout: rich tables and text; rich honours NO_COLOR and the terminal's width.

    Raises StorageError where stdout does not take it.
    """
    if isinstance(content, str):
        from grokscope.report.text import without_controls

        sys.stdout.write(without_controls(content).removesuffix("\n") + "\n")
        sys.stdout.flush()
        return
    from rich.console import Console

    Console(highlight=False, emoji=False).print(content)


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout; what stdout's encoding cannot hold is escaped, so nothing is lost."""
    from grokscope.report.text import json_text

    text = json_text(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json_text(value, ascii=True)
    print_data(text)


def print_path(path: Site) -> None:
    """Print a path on stdout: on a terminal what can be shown of it, to a script its very bytes."""
    from grokscope.report.text import printable

    if sys.stdout.isatty() or not hasattr(sys.stdout, "write_bytes"):
        print_data(printable(str(path)))
    else:
        sys.stdout.write_bytes(os.fsencode(str(path)) + b"\n")
        sys.stdout.flush()


def deliver(content: str, file: str) -> None:
    """Write text to a file, pipe or device; `-` is stdout. Raises StorageError."""
    if file == "-":
        print_data(content)
        return
    from grokscope.run.outputs import write_output

    write_output(file, content.encode("utf-8", "replace"))


def present(
    file: str | None,
    json: bool,
    *,
    csv: Callable[[], str],
    plain: Callable[[], Any],
    table: Callable[[], Iterable[RenderableType]],
) -> None:
    """Write what was found to the file that is asked for, and print it: as JSON, or as a table.

    The file is JSON where its name says so, else CSV; with CSV on stdout no table is printed. Of `csv`,
    `plain` values and the `table`'s parts only what is wanted is made. Raises StorageError.
    """
    if file is not None and file.endswith(".json"):
        from grokscope.report.text import json_text

        deliver(json_text(plain()) + "\n", file)
    elif file is not None:
        deliver(csv(), file)
    if json:
        print_json(plain())
    elif file != "-":
        for part in table():
            print_data(part)


def ready_for(*files: str | Path | None) -> None:
    """Refuse files that cannot be written, before anything is computed for them. Raises StorageError."""
    from grokscope.run.outputs import check_output

    for file in files:
        if file is not None and str(file) != "-":
            check_output(file)


def data_width() -> int:
    """Return how wide a table on stdout may be."""
    from rich.console import Console

    return Console().width


def say(message: str, quiet: bool = False) -> None:
    """Print one message on stderr; foreign text in it cannot style or move anything."""
    if not quiet:
        from grokscope.report.text import printable

        sys.stderr.write(printable(worded(message)) + "\n")


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send file descriptor 1 to stderr, so that a plugin may print as it likes and data stays clean."""
    stdout = sys.stdout
    stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = stdout
        stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


A_MOMENT = 0.01  # seconds


class Stopped(BaseException):
    """A signal asked the command to stop; `code` is what it exits with."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.code = 128 + signum


@contextmanager
def on_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` at the first SIGINT, SIGTERM or SIGHUP; a second signal ends the process at once.

    A SIGHUP that is ignored, as under nohup, stays so. Where `act` raises Stopped while Python is calling
    what no exception leaves, as a weak reference's callback, it is called once more, a moment later.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    before = {signum: signal.getsignal(signum) for signum in signals}
    hook = sys.unraisablehook

    def first(signum: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        act(signum)

    def lost(what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, Stopped):
            hook(what)
            return
        for each in signals:
            signal.signal(each, first)
        # By a thread: here, too, it would be lost.
        again = threading.Timer(A_MOMENT, _signal_once_more, [what.exc_value.signum])
        again.daemon = True
        again.start()

    sys.unraisablehook = lost
    for signum in signals:
        signal.signal(signum, first)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _signal_once_more(signum: int) -> None:
    """Send the main thread a signal that it has a handler for, as another process does: that wakes it."""
    if callable(signal.getsignal(signum)):
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signum)
        else:
            _thread.interrupt_main(signal.Signals(signum))


def stop_by_exception(signum: int) -> None:
    """Raise Stopped: what is under way is left, what is done is stored."""
    raise Stopped(signum)
