"""Progress on stderr: a bar that redraws on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from grokscope.cli.terminal import Stopped, on_signal, say, stderr_console, stdout_to_stderr
from grokscope.report.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from grokscope.training import Progress as TrainingProgress
    from grokscope.training.sweep import SweepProgress

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


class Display(Protocol):
    """A progress display: a position out of a total, and some words."""

    def show(self, done: int, total: int, words: str) -> None:
        """Show that `done` of `total` is done, and the words."""

    def stop(self) -> None:
        """Take the display away."""


class Silent:
    """Shows nothing."""

    def show(self, done: int, total: int, words: str) -> None:
        """Ignore it."""

    def stop(self) -> None:
        """Nothing to stop."""


class Lines:
    """Prints a line every few seconds, for logs and pipes."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._start = self._last = time.monotonic()
        self._first: int | None = None

    def show(self, done: int, total: int, words: str) -> None:
        """Print when enough time has passed."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        rate = (done - self._first) / (now - self._start)
        left = f", {(total - done) / rate:.0f} s left" if rate > 0 else ""
        say(f"{self._unit} {done} of {total}  {words}  {rate:.1f}/s{left}")

    def stop(self) -> None:
        """Nothing to stop."""


class Bar:
    """Redraws one bar with rate and time left."""

    def __init__(self, unit: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn(unit),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", markup=False),
            TextColumn("{task.fields[rate]}", style="dim"),
            TimeRemainingColumn(compact=True),
            console=stderr_console(),
            transient=True,
        )
        self._task: TaskID | None = None
        self._start = time.monotonic()
        self._first = 0

    def show(self, done: int, total: int, words: str) -> None:
        """Redraw."""
        shown = printable(words)
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task("", total=total, completed=done, words=shown, rate="")
            self._start, self._first = time.monotonic(), done
            return
        seconds = time.monotonic() - self._start
        rate = f"{(done - self._first) / seconds:.1f}/s" if seconds > 0 else ""
        self._progress.update(self._task, completed=done, total=total, words=shown, rate=rate)

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def display(unit: str, quiet: bool) -> Display:
    """Return the display that fits where stderr goes."""
    if quiet:
        return Silent()
    return Bar(unit) if stderr_console().is_terminal else Lines(unit)


class CellsProgress:
    """Progress of an analysis, over checkpoints x measures."""

    def __init__(self, shown: Display) -> None:
        self._shown = shown

    def update(self, done: int, total: int, measure: str, step: int) -> None:
        """Show one more finished cell."""
        self._shown.show(done, total, f"step {step} {measure}")

    def stop(self) -> None:
        """Take the display away."""
        self._shown.stop()


@contextmanager
def cells_progress(quiet: bool) -> Iterator[CellsProgress]:
    """Show the progress of an analysis while the block runs."""
    progress = CellsProgress(display("cell", quiet))
    try:
        yield progress
    finally:
        progress.stop()


def training_words(progress: TrainingProgress) -> str:
    """Return losses and accuracies in a few words."""
    return (
        f"train {progress.train_loss:.3g} {progress.train_accuracy:6.1%}  "
        f"test {progress.test_loss:.3g} {progress.test_accuracy:6.1%}"
    )


def sweep_words(progress: SweepProgress) -> str:
    """Return how many runs have ended, and how, in a few words."""
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f"{progress.finished} of {progress.runs} runs{failed}"


def staged(quiet: bool, work: Callable[..., T | None]) -> T:
    """Return what `work(progress=..., stop=...)` returns, shown stage by stage; a signal ends it in order.

    None means that it was stopped: the command exits, and says how to go on.
    """
    signals: list[int] = []
    shown = Stages(quiet, signals)
    with stdout_to_stderr(), on_signal(signals.append):
        try:
            found = work(progress=shown.show, stop=lambda: bool(signals))
        except Stopped:
            found = None
        finally:
            shown.stop()
    if found is None:
        say(f"stopped; to go on: {shlex.join(['grokscope', *sys.argv[1:]])}")
        raise typer.Exit(128 + signals[0])
    return found


class Stages:
    """Progress through training and measuring, one display after the other."""

    def __init__(self, quiet: bool, signals: list[int]) -> None:
        self._quiet = quiet
        self._signals = signals
        self._words = ""
        self._shown: Display | None = None

    def show(self, words: str, done: int, total: int) -> None:
        """Show one stage; a signal ends measuring here, and training by its own `stop`."""
        if self._signals and words.startswith("measuring"):
            raise Stopped(self._signals[0])
        if words != self._words:
            self.stop()
            self._words = words
            self._shown = display("step" if words.startswith("training") else "cell", self._quiet)
        if self._shown is not None:
            self._shown.show(done, total, words)

    def stop(self) -> None:
        """Take the display away."""
        if self._shown is not None:
            self._shown.stop()
