"""Which step each state is of: said by its file's name, inside it, by a list beside it, or by a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from grokscope.errors import SettingError, UsageError
from grokscope.importing.inside import numbers_beside
from grokscope.importing.shards import shown_name, step_of_folder
from grokscope.importing.sources import Source

LAST_STEP = 99_999_999
USUAL = ("steps", "global_steps", "iterations", "iters", "its", "epochs", "step", "epoch")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,_.'\u2019\u202f ]\d{3})+")
_WORDS = ("step", "iteration", "iter", "epoch", "checkpoint", "ckpt")
_IN_NAMES = [re.compile(rf"{word}s?[-_=]?(\d+)", re.I) for word in _WORDS]
_MORE = re.compile(r"(?:,\d{3})+(?!\d)")


@dataclass(frozen=True)
class StepRule:
    """How steps are found.

    Attributes:
        step_from: a regular expression over file names; its first group is the step, or all that it finds.
        steps: for lists: `every:N`, or the name of the list of steps beside the state dicts.
        step: the step of the one state that there is.
    """

    step_from: str | None = None
    steps: str | None = None
    step: int | None = None
    _pattern: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pattern", pattern_of(self.step_from))
        if self.steps and ":" in self.steps and not re.fullmatch(r"every:0*[1-9]\d{0,8}", self.steps):
            raise SettingError(
                f"`steps` must be every:N or the name of a list in the file, got {self.steps!r}"
            )

    def check(self, files: int) -> None:
        """Raise UsageError where one step is given for several files."""
        if self.step is not None and files > 1:
            raise UsageError(
                f"`step` is for one file, and `checkpoints` are {files}: leave it out, and give `step_from` "
                "where their names do not say the steps"
            )

    def of(self, source: Source) -> tuple[list[int], str]:
        """Return the step of each state dict in `source`, and a sentence of what says so, if it is a guess.

        Raises UsageError when they are not to be found.
        """
        if self.step is not None:
            if len(source.found.entries) > 1:
                count = len(source.found.entries)
                raise UsageError(
                    f"`step` is for one state dict, and {source.path} holds {count}: give `steps`"
                )
            found, said = [self.step], ""
        else:
            found, said = self._of_list(source) if source.is_list else self._of_file(source)
        for step in found:
            if not 0 <= step <= LAST_STEP:
                raise UsageError(f"{source.path}: a step must be within 0 and {LAST_STEP}, got {step}")
        return found, said

    def _of_file(self, source: Source) -> tuple[list[int], str]:
        if self._pattern is not None:
            return [_number(self._pattern, source.path)], ""
        entry, of_folder = source.found.entries[0], step_of_folder(source.path)
        if of_folder is not None:
            return [of_folder], ""
        if entry.step is not None:
            return [entry.step], _called("epoch") if entry.said_by == "epoch" else ""
        pattern = _in_name(Path(shown_name(source.path)).stem)
        if pattern is None:
            raise UsageError(
                f"{source.path} does not say its step: give `step_from` with a regular expression for "
                r"its name, for example 'step_(\d+)', or `step` where it is the only one"
            )
        said = "steps are the numbers in the files' names; give `step_from` where they are not"
        return [_number(pattern, source.path)], said

    def _of_list(self, source: Source) -> tuple[list[int], str]:
        count, beside = (
            len(source.found.entries),
            numbers_beside(source.found.beside, len(source.found.entries)),
        )
        if self.steps and self.steps.startswith("every:"):
            every = int(self.steps.removeprefix("every:"))
            return [place * every for place in range(count)], ""
        own = [entry.step for entry in source.found.entries if entry.step is not None]
        if not self.steps and len(own) == count:
            return own, ""
        named = [self.steps] if self.steps else USUAL
        for name in named:
            if name in beside:
                return beside[name], ""
        guess = "" if self.steps else _guessed(beside, source.found.key)
        if guess:
            return beside[guess], _called(guess)
        there = f"; it has {', '.join(beside)}" if beside else ""
        raise UsageError(
            f"{source.path} holds {count} state dicts: give `steps` every:N, or the name of the list of "
            f"{count} whole numbers beside them that are their steps{there}"
        )


def pattern_of(step_from: str | None) -> re.Pattern[str] | None:
    """Return the regular expression that was given, if one was. Raises SettingError where it is none."""
    try:
        return None if step_from is None else re.compile(step_from)
    except re.error as error:
        raise SettingError(f"`step_from` must be a regular expression: {error}") from error


def step_in(name: str, pattern: re.Pattern[str] | None = None) -> int | None:
    """Return the step that a name says, by a pattern or by itself; None where it says none."""
    pattern = pattern or _in_name(name)
    text = pattern and _text(pattern, name)
    return int(text) if text and text.isascii() and text.isdigit() else None


def _called(name: str) -> str:
    return f"steps are those that the files call {name}"


def _in_name(name: str) -> re.Pattern[str] | None:
    """Return what finds the step in a file's name: a number after the word for it, or the only number."""
    called = next((pattern for pattern in _IN_NAMES if pattern.search(name)), None)
    numbers = re.findall(r"\d+", _THOUSANDS.sub("1", name))
    return called or (re.compile(r"\d+") if len(numbers) == 1 else None)


def _guessed(beside: dict[str, list[int]], key: str) -> str:
    """Return the list that must be the steps: the one called after the states, or the only one that rises."""
    rising = [name for name, steps in beside.items() if all(a < b for a, b in pairwise(steps))]
    called = [name for name in rising if key and name.startswith(f"{key}_")]
    return next((names[0] for names in (called, rising) if len(names) == 1), "")


def _number(pattern: re.Pattern[str], path: Path) -> int:
    """Return the number that `pattern` finds in the file's name or, where it finds none, in its path.

    Thousands may be set apart: of `step_10,000` it is 10000, whether or not the pattern takes in the comma.
    """
    text = _text(pattern, shown_name(path)) or _text(pattern, str(path))
    if text is None or not (text.isascii() and text.isdigit()):
        got = "nothing" if text is None else repr(text)
        raise UsageError(
            f"`step_from` {pattern.pattern!r} must find a whole number in {shown_name(path)!r}, found {got}"
        )
    return int(text)


def _text(pattern: re.Pattern[str], name: str) -> str | None:
    """Return what the pattern finds, with the thousands that are set apart after it."""
    match = pattern.search(name)
    group = 1 if pattern.groups else 0
    text = match[group] if match else None
    if match and text and re.fullmatch(r"\d{1,3}", text, re.ASCII):
        more = _MORE.match(name, match.end(group))
        text += more[0] if more else ""
    return re.sub(r"\D", "", text) if text and _THOUSANDS.fullmatch(text) else text
