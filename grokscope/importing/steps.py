"""Which step each state dict is of: said by its file's name, by a list beside it, or by a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.errors import SettingError, UsageError
from grokscope.importing.sources import Source

LAST_STEP = 99_999_999
USUAL = ("steps", "epochs", "step", "epoch")


@dataclass(frozen=True)
class StepRule:
    """How steps are found.

    Attributes:
        step_from: a regular expression over file names; its first group is the step, or all that it finds.
        steps: for lists: `every:N`, or the name of the list of steps beside the state dicts.
    """

    step_from: str | None
    steps: str | None
    _pattern: re.Pattern[str] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        try:
            pattern = None if self.step_from is None else re.compile(self.step_from)
        except re.error as error:
            raise SettingError(f"`step_from` must be a regular expression: {error}") from error
        object.__setattr__(self, "_pattern", pattern)
        if self.steps and ":" in self.steps and not re.fullmatch(r"every:0*[1-9]\d{0,8}", self.steps):
            raise SettingError(
                f"`steps` must be every:N or the name of a list in the file, got {self.steps!r}"
            )

    def of(self, source: Source) -> list[int]:
        """Return the step of each state dict in `source`. Raises UsageError when it is not to be found."""
        found = self._of_list(source) if source.is_list else [self._of_file(source)]
        for step in found:
            if not 0 <= step <= LAST_STEP:
                raise UsageError(f"{source.path}: a step must be within 0 and {LAST_STEP}, got {step}")
        return found

    def _of_file(self, source: Source) -> int:
        if self._pattern is None:
            if source.global_step is None:
                raise UsageError(
                    f"{source.path} does not say its step: give `step_from` with a regular expression for "
                    r"its name, for example 'step_(\d+)'"
                )
            return source.global_step
        return _number(self._pattern, source.path)

    def _of_list(self, source: Source) -> list[int]:
        count = len(source.states)
        if self.steps and self.steps.startswith("every:"):
            every = int(self.steps.removeprefix("every:"))
            return [place * every for place in range(count)]
        for name in [self.steps] if self.steps else USUAL:
            if name in source.beside:
                return list(source.beside[name])
        there = f"; it has {', '.join(source.beside)}" if source.beside else ""
        raise UsageError(
            f"{source.path} holds {count} state dicts: give `steps` every:N, or the name of the list of "
            f"{count} whole numbers beside them that are their steps{there}"
        )


def _number(pattern: re.Pattern[str], path: Path) -> int:
    """Return the number that `pattern` finds in the file's name or, where it finds none, in its path."""
    match = pattern.search(path.name) or pattern.search(str(path))
    text = (match[1] if pattern.groups else match[0]) if match else None
    if text is None or not (text.isascii() and text.isdigit()):
        got = "nothing" if text is None else repr(text)
        raise UsageError(
            f"`step_from` {pattern.pattern!r} must find a whole number in {path.name!r}, found {got}"
        )
    return int(text)
