"""When a run has memorised and generalised: by its accuracies, or by the column and bound in its run.toml."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from grokscope.declare import is_number
from grokscope.errors import SettingError
from grokscope.run.curves import GROKKED_AT, IN_A_ROW, MEMORISED_AT, first_step_staying_above

OUTCOME = "outcome"  # a table of run.toml that may be there, and is no part of what identifies the run
TRAIN, TEST = "train_accuracy", "test_accuracy"
_TEST = re.compile(r"(?<![^\W_])test(?![^\W_])")  # a word of a name
FEW = 9  # evaluations of an imported run, from which on three in a row are asked for


class Goal(NamedTuple):
    """A bound that a course reaches, and stays beyond for some evaluations.

    Attributes:
        column: of the curve, or `measure.column`.
        bound: a finite number.
        above: whether values of at least `bound` are beyond it, and not those of at most.
    """

    column: str
    bound: float
    above: bool = True

    @property
    def is_usual(self) -> bool:
        """Whether it is of an accuracy, as where nothing else was said."""
        return self.column in (TRAIN, TEST) and self.above

    @property
    def words(self) -> str:
        """The goal as it is read: `test accuracy ≥ 95 %`, `test_loss ≤ 0.1`."""
        if self.is_usual:
            return f"{self.column.replace('_', ' ')} ≥ {100 * self.bound:g} %"
        return f"{self.column} {'≥' if self.above else '≤'} {self.bound:g}"

    def rising(self, values: Any) -> Any:
        """Return a course of the column turned so that reaching the goal is a rise."""
        return values if self.above else -values

    def first_step(self, steps: Iterable[int], values: Any, in_a_row: int = IN_A_ROW) -> int | None:
        """Return the first step from which so many evaluations in a row are beyond the bound, or None."""
        bound = self.bound if self.above else -self.bound
        return first_step_staying_above(steps, self.rising(values), bound, in_a_row)


def goals_of(
    config: Mapping[str, Any], train: float = MEMORISED_AT, test: float = GROKKED_AT
) -> tuple[Goal | None, Goal]:
    """Return what counts as memorised, None where there is no such thing, and as having generalised.

    That is a train and test accuracy of `train` and `test`, unless the run's configuration has an outcome of
    its own. Then it has memorised where the same is true of the column that has `train` for `test` in its
    name.
    """
    table = config.get(OUTCOME)
    if not table:
        return Goal(TRAIN, train), Goal(TEST, test)
    above = "above" in table
    goal = Goal(table["column"], table["above" if above else "below"], above)
    counterpart = _TEST.sub("train", goal.column)
    return Goal(counterpart, goal.bound, above) if counterpart != goal.column else None, goal


def in_a_row(evaluations: int, imported: bool) -> int:
    """Return how many evaluations in a row must be beyond a goal: three.

    Of the checkpoints of an imported run, where there are fewer than nine, it is a third of them, at least
    one.

    >>> [in_a_row(count, imported=True) for count in (1, 3, 6, 9, 100)]
    [1, 1, 2, 3, 3]
    """
    return max(1, evaluations // IN_A_ROW) if imported and evaluations < FEW else IN_A_ROW


def outcome_table(column: str | None, above: float | None, below: float | None) -> dict[str, Any]:
    """Return the table of a column and its bound; empty where nothing is given.

    Raises SettingError unless there is a column with just one bound, a finite number.
    """
    if column is None and above is None and below is None:
        return {}
    table = {"column": column, **{n: v for n, v in (("above", above), ("below", below)) if v is not None}}
    return checked_outcome(table)


def checked_outcome(table: Any) -> dict[str, Any]:
    """Return the table as run.toml has it. Raises SettingError."""
    bounds = {"above", "below"} & set(table) if isinstance(table, Mapping) else set()
    if len(bounds) != 1 or set(table) != {"column", *bounds} or not isinstance(table["column"], str):
        raise SettingError(
            "`outcome` must be a column, with either `above` or `below`: the bound beyond which the network "
            "has generalised"
        )
    (side,) = bounds
    value = table[side]
    if not (is_number(value) and math.isfinite(value)):
        raise SettingError(f"`{side}` must be a finite number, got {str(value)[:40]}")
    return {"column": table["column"], side: float(value)}
