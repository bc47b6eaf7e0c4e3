"""One tree of errors: every failure that grokscope foresees, and the exit code it ends a command with.

    GrokscopeError               1   anything foreseen
    ├── UsageError               2   what was asked for cannot be
    │   ├── UnknownName          2   no such task, recipe, measure, parameter, step; near matches are listed
    │   ├── SettingError         2   a setting or parameter of the wrong type or out of bounds
    │   ├── DataError            2   a task's data is missing, or not what it must be
    │   └── RunError             2   a directory that is no run, or another run
    ├── StorageError             1   the disk is full or the file cannot be written
    │   └── ReaderGone         141   ... because whoever read the pipe has stopped: nothing is said
    ├── TrainingError            1   training cannot go on (the loss is not finite)
    ├── DamagedFile              3   a checkpoint, segment or index is not what it should be
    ├── PluginError              3   a plugin failed to import, register or declare itself
    └── MeasureError             3   a measure cannot give its numbers for this checkpoint
        ├── ResultError          3   ... because what it returned is not what it declares
        ├── UnfitBaseline        3   ... because the checkpoint to compare with cannot be compared with
        └── NotApplicable        0   ... because the question makes no sense for this task or network

Every message says: where - what must be, got what, how to fix.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MOST_CHARACTERS = 4000  # of a foreign message: enough to understand it
FIRST_WORDS = 200  # of a foreign library's message about a file: what follows is advice to programmers


def told(error: BaseException) -> str:
    """Return the error's own text in one line: a plugin's exception may fail to give it, or never end."""
    try:
        text = str.__str__(str(error))[:MOST_CHARACTERS]  # an exact str: a subclass of it may do anything
    except BaseException:  # whatever `__str__` raises
        return ""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def further(steps: int) -> str:
    """Return what stands behind a sentence about one step that is true at so many further ones.

    >>> further(0), further(1), further(2)
    ('', ' (and at 1 more step)', ' (and at 2 more steps)')
    """
    return f" (and at {steps} more step{'s' if steps > 1 else ''})" if steps else ""


def described(error: BaseException) -> str:
    """Return the error's type and its text in one line."""
    return f"{type(error).__name__}: {told(error)}".removesuffix(": ")


def reason_of(error: BaseException, most: int = MOST_CHARACTERS) -> str:
    """Return in words why a file cannot be read, from what reading it raised: a KeyError misses something."""
    name = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(name, str):  # h5py raises KeyErrors with sentences, whose str() would be in quotes
        return (name if " " in name else f"{name!r} is missing")[:most]
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return told(error)[:most] or type(error).__name__


class GrokscopeError(Exception):
    """Anything that grokscope foresees; `exit_code` is what a command ends with."""

    exit_code = 1


class UsageError(GrokscopeError):
    """What was asked for cannot be."""

    exit_code = 2


class UnknownName(UsageError):
    """No `kind` is called `name`; the message lists near matches, or all names when there are none."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(set(known))
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            advice = f"did you mean {' or '.join(near)}?"
        elif known:
            advice = f"there is {', '.join(known)}"
        else:
            advice = "there is none"
        super().__init__(f"unknown {kind} {name!r}: {advice}{'; ' + hint if hint else ''}")
        self.kind, self.name, self.near = kind, name, near
        self._arguments = kind, name, known, hint

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is rebuilt from its message unless told otherwise; workers send this one back.
        return type(self), self._arguments


class SettingError(UsageError):
    """A setting or parameter of the wrong type or out of bounds."""


class DataError(UsageError):
    """A task's data is missing, damaged, or not the data that is asked for."""


class RunError(UsageError):
    """A directory that is no run, or that holds a different one."""


class StorageError(GrokscopeError):
    """A file cannot be written: the disk is full, or permission is missing."""


class ReaderGone(StorageError):
    """The reader of a pipe has stopped reading, as `| head` does: no failure of what was done."""

    exit_code = 141  # as a shell shows a process that SIGPIPE ended


class TrainingError(GrokscopeError):
    """Training cannot go on, for example because the loss is not finite."""


class DamagedFile(GrokscopeError):
    """A checkpoint, segment or index is not what it should be."""

    exit_code = 3


class PluginError(GrokscopeError):
    """A plugin failed to import, to register or to declare a measure."""

    exit_code = 3


class MeasureError(GrokscopeError):
    """A measure cannot give its numbers for this checkpoint."""

    exit_code = 3


class ResultError(MeasureError):
    """What a measure returned is not what it declares: a mistake in the measure."""


class UnfitBaseline(MeasureError):
    """The baseline's own state makes every comparison with it impossible; the message says what is amiss.

    Raised about `baseline` alone, whatever the checkpoint that is measured. Where the baseline is the last
    checkpoint the measure is then given the newest one that is not unfit, and the user is told.
    """


class NotApplicable(MeasureError):
    """The measure's question makes no sense for this task or network; the message says why.

    Args:
        message: the reason.
        **settings: parameters with which it would make sense, if there are any: users are told what to type.
    """

    exit_code = 0

    def __init__(self, message: str = "", **settings: Any) -> None:
        super().__init__(message)
        self.settings = settings
