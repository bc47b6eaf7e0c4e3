"""What a figure of runs shows, in numbers: which runs are one line, its mean and band, the marked steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from grokscope.declare import is_number
from grokscope.errors import UnknownName, UsageError
from grokscope.measure import Column
from grokscope.report.text import number
from grokscope.results import ColumnName, Comparison, Results
from grokscope.results.comparison import telling
from grokscope.run.curves import CURVE_COLUMNS, GROKKED_AT, MEMORISED_AT
from grokscope.run.outcome import Goal, goals_of

SCALES = ("log", "linear")
MOST_PANELS = 30


@dataclass(frozen=True)
class Course:
    """A column over the runs of a group: mean, lowest and highest value at `steps`.

    They are NaN where no run has one; `runs` is how many have one there, or between two of their own.
    """

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray

    @property
    def is_there(self) -> bool:
        """Whether there is anything to draw."""
        return bool(np.isfinite(self.mean).any())


@dataclass(frozen=True)
class Mark:
    """Where the runs of a group memorise or grok: `steps` of those that do, among `runs`."""

    steps: tuple[int, ...]
    runs: int

    @property
    def median(self) -> float:
        """The median step, NaN where no run gets there."""
        return float(np.median(self.steps)) if self.steps else math.nan


@dataclass(frozen=True)
class Group:
    """Runs of the same settings; `label` tells these settings where there are others."""

    label: str
    value: Any
    runs: Mapping[str, Results]
    normalise: bool
    train: float
    test: float

    def course(self, name: str) -> Course:
        """Return the column or metric `name` over the runs, each normalised first where that is asked for."""
        found = [_course_of(results, name) for results in self.runs.values()]
        if self.normalise and name not in CURVE_COLUMNS:
            found = [(steps, normalised(values)) for steps, values in found]
        return averaged(found)

    @property
    def has_accuracies(self) -> bool:
        """Whether any accuracy of these runs is known: where numbers are predicted there is none."""
        return any(self.course(f"{split}_accuracy").is_there for split in ("train", "test"))

    @property
    def goals(self) -> tuple[Goal | None, Goal]:
        """What counts as memorised and as grokked in the first of the runs."""
        return goals_of(next(iter(self.runs.values())).config, self.train, self.test)

    @property
    def is_known(self) -> bool:
        """Whether anything says when these runs generalise."""
        return self.has_accuracies or not self.goals[1].is_usual

    @cached_property
    def memorised(self) -> Mark:
        """Where train accuracy reaches its threshold."""
        return self._mark(0)

    @cached_property
    def grokked(self) -> Mark:
        """Where test accuracy reaches its threshold."""
        return self._mark(1)

    def _mark(self, which: int) -> Mark:
        steps = [results.transitions(self.train, self.test)[which] for results in self.runs.values()]
        return Mark(tuple(sorted(step for step in steps if step is not None)), len(steps))


@dataclass(frozen=True)
class Panel:
    """One panel: its title and unit, and the columns in it with what tells them apart."""

    title: str
    unit: str
    lines: Mapping[str, str]
    log: bool = False


@dataclass(frozen=True)
class Steps:
    """All steps at which anything is drawn, ascending, and the scale of their axis, `log` or `linear`."""

    all: np.ndarray
    scale: str

    @classmethod
    def of(cls, several: Iterable[np.ndarray], scale: str = "log") -> Steps:
        """Return the steps of several courses together; step 0 where there are none."""
        listed = [steps for steps in several if len(steps)]
        return cls(np.unique(np.concatenate(listed)) if listed else np.zeros(1), scale)

    @property
    def ends(self) -> tuple[float, float] | None:
        """The first step after 0 and the last, where these are two."""
        positive = self.all[self.all > 0]
        return (float(positive[0]), float(positive[-1])) if len(positive) > 1 else None

    @property
    def log_ends(self) -> tuple[float, float] | None:
        """The ends where the scale is logarithmic, else None."""
        return self.ends if self.scale == "log" else None

    @property
    def has_zero(self) -> bool:
        """Whether step 0 is among them."""
        return bool(self.all[0] <= 0)


@dataclass(frozen=True)
class Picture:
    """Everything that a figure shows.

    Attributes:
        groups: the lines; one where all runs have the same settings but for the seed.
        told_by: the settings that the groups' labels tell.
        also: other settings in which groups differ.
        panels: what is drawn beside the accuracies, panel by panel.
        normalised: whether every column lies between 0 and 1.
        scale: of the step axis, `log` or `linear`.
        finer: whether it goes by the steps of the finer curve, which accuracies are drawn from.
        declared: what is known of the columns.
    """

    groups: tuple[Group, ...]
    told_by: tuple[str, ...]
    also: tuple[str, ...]
    panels: tuple[Panel, ...]
    normalised: bool
    scale: str
    finer: bool
    declared: Mapping[str, Column]

    @classmethod
    def of(
        cls,
        comparison: Comparison,
        columns: Sequence[str],
        *,
        scale: str = "log",
        finer: bool = True,
        normalise: bool = False,
        train: float = MEMORISED_AT,
        test: float = GROKKED_AT,
    ) -> Picture:
        """Decide what is drawn of `comparison`. Raises UsageError for no runs or too many panels."""
        if scale not in SCALES:
            raise UsageError(f"the step axis must be {' or '.join(SCALES)}, got {scale!r}")
        if not comparison.runs:
            raise UsageError("a figure needs at least one measured run, got none")
        columns = [*_outcomes(comparison, columns), *columns]
        told_by, also, sets = _groups(comparison)
        groups = tuple(
            Group(label, value, {run: comparison.runs[run] for run in runs}, normalise, train, test)
            for label, value, runs in sets
        )
        together = len(groups) == 1
        panels = tuple(_panels(comparison.declared, columns, together, normalise))
        if len(panels) > MOST_PANELS:
            raise UsageError(
                f"a figure has room for {MOST_PANELS} panels, got {len(panels)}: "
                "name fewer columns, for example measure.column"
            )
        return cls(groups, told_by, also, panels, normalise, scale, finer, comparison.declared)

    @cached_property
    def runs(self) -> dict[str, Results]:
        """All runs by name."""
        return {run: results for group in self.groups for run, results in group.runs.items()}

    @cached_property
    def steps(self) -> Steps:
        """All steps at which anything is drawn."""
        drawn = [_steps_of(results, "test_accuracy") for results in self.runs.values() if self.finer]
        return Steps.of(
            [*drawn, *(np.asarray(results.steps, float) for results in self.runs.values())], self.scale
        )

    @cached_property
    def shows_accuracies(self) -> bool:
        """Whether accuracies are drawn: where no run has any, only if there is nothing else."""
        return not self.panels or any(group.has_accuracies for group in self.groups)

    @property
    def name(self) -> str:
        """What the runs are, in few words."""
        if len(self.runs) == 1:
            return next(iter(self.runs))
        configs = [results.config for results in self.runs.values()]
        task = _shared(config.get("task", {}).get("name") for config in configs)
        recipe = _shared(config.get("recipe") for config in configs)
        words = " ".join(word for word in dict.fromkeys((task, recipe)) if word)
        return f"{words}, {len(configs)} runs" if words else f"{len(configs)} runs"

    def title_of(self, column: str) -> str:
        """Return a column's name with its unit."""
        unit = self.declared[column].unit if column in self.declared else ""
        return f"{column} ({unit})" if unit else column


def _outcomes(comparison: Comparison, columns: Sequence[str]) -> list[str]:
    """Return the columns by which runs have memorised and generalised, if they are no accuracies, once."""
    goals = dict.fromkeys(goal for results in comparison.runs.values() for goal in results.goals if goal)
    return [goal.column for goal in goals if not goal.is_usual and goal.column not in columns]


def _shared(values: Iterable[Any]) -> str:
    found = {str(value) for value in values if value}
    return found.pop() if len(found) == 1 else ""


def decades(first: float, last: float) -> list[float]:
    """Return the ticks of a log axis: powers of ten, with 2 and 5 between them where there are few.

    >>> decades(5, 6000), decades(30, 600)
    ([10.0, 100.0, 1000.0], [50.0, 100.0, 200.0, 500.0])
    """
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    tens = [10.0**power for power in powers if first <= 10.0**power <= last]
    if len(tens) > 2:
        return tens
    return [m * 10.0**power for power in powers for m in (1, 2, 5) if first <= m * 10.0**power <= last]


def normalised(values: np.ndarray) -> np.ndarray:
    """Return `values` from 0 (the lowest) to 1 (the highest); a constant is 0 all along.

    >>> normalised(np.array([2.0, 3.0, np.nan, 4.0]))
    array([0. , 0.5, nan, 1. ])
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return values
    low, span = finite.min(), np.ptp(finite)
    return np.where(np.isfinite(values), (values - low) / (span or 1.0), np.nan)


def averaged(found: Sequence[tuple[np.ndarray, np.ndarray]]) -> Course:
    """Return the mean and range of several (steps, values) at every step that any of them has.

    Where one has no value of its own between two that it has, it counts by the line between these: else the
    mean would jump to the others and back.
    """
    steps = np.unique(np.concatenate([each for each, _ in found]))
    table = np.full((len(found), len(steps)), np.nan)
    for row, (own, values) in zip(table, found, strict=True):
        finite = np.where(np.isfinite(values), values, np.nan)
        if len(own):
            row[:] = np.interp(steps, own, finite, left=np.nan, right=np.nan)
        row[np.searchsorted(steps, own)] = finite
    runs = np.isfinite(table).sum(axis=0)
    some = runs > 0
    mean, low, high = (np.full(len(steps), np.nan) for _ in range(3))
    mean[some] = np.nanmean(table[:, some], axis=0)
    low[some], high[some] = np.nanmin(table[:, some], axis=0), np.nanmax(table[:, some], axis=0)
    return Course(steps, mean, low, high, runs)


def _course_of(results: Results, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values of a column, or of a metric on the finer curve; nothing where the run has none."""
    steps = _steps_of(results, name)
    if name in CURVE_COLUMNS and results.curve:
        finer, values = results.curve_of(name)
        return steps, values[np.isin(finer, steps)]
    try:
        return steps, results.course(name)
    except UnknownName:
        return steps, np.full(len(steps), np.nan)


def _steps_of(results: Results, name: str) -> np.ndarray:
    """The steps of a column, or of the finer curve as far as steps were selected."""
    steps = np.asarray(results.steps, float)
    if name not in CURVE_COLUMNS or not results.curve:
        return steps
    finer = results.curve_of(name)[0].astype(float)
    if len(steps) < 2:
        return finer
    return finer[(finer >= steps[0]) & (finer <= steps[-1])]


def _panels(
    declared: Mapping[str, Column], columns: Iterable[str], together: bool, normalise: bool
) -> Iterable[Panel]:
    """One panel per column; one for all columns that share an axis, where there is only one group."""
    columns = [name for name in columns if not name.endswith("_accuracy") or name not in CURVE_COLUMNS]
    losses = [name for name in columns if name in CURVE_COLUMNS]
    others = [name for name in columns if name not in CURVE_COLUMNS]
    if losses:
        yield Panel("loss", "", {name: name.removesuffix("_loss") for name in losses}, log=True)
    if normalise and together and others:
        yield Panel("", "", {name: name for name in others})
        return
    for (measure, column), names in _by_column(others).items():
        unit = declared[names[0]].unit if names[0] in declared else ""
        if together and len(names) > 1:
            yield Panel(f"{measure}.{column}", unit, {name: ColumnName.read(name).label for name in names})
            continue
        for name in names:
            yield Panel(name, unit, {name: ""})


def _by_column(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Columns that differ in their label alone, together; one without a label is by itself."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        read = ColumnName.read(name)
        found.setdefault((read.measure, read.column) if read.label else (name, ""), []).append(name)
    return found


def _groups(
    comparison: Comparison,
) -> tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, Any, list[str]]]]:
    """The settings that tell the groups apart, other settings that differ, and the groups.

    A group has a label, the value of a single setting, and names of runs. Numbers ascend, words come in the
    order of the runs.
    """
    kinds, runs = comparison.kinds, comparison.repetitions
    if len(runs) == 1:
        return (), (), [("", None, next(iter(runs.values())))]
    names = telling(kinds) or tuple(kinds)
    places = [list(kinds).index(name) for name in names]
    found = []
    for key, members in _ascending(runs, places):
        values = [key[at] for at in places]
        found.append((_label(names, values), values[0] if len(values) == 1 else None, members))
    return names, tuple(name for name in kinds if name not in names), found


def _ascending(
    runs: Mapping[tuple[Any, ...], list[str]], places: Sequence[int]
) -> list[tuple[tuple[Any, ...], list[str]]]:
    found = list(runs.items())
    if all(is_number(key[at]) for key in runs for at in places):
        found.sort(key=lambda item: [item[0][at] for at in places])
    return found


def _label(names: Sequence[str], values: Sequence[Any]) -> str:
    """The value of a single setting, or `name value, name value`."""
    words = [
        number(value) if is_number(value) else "none" if value is None else str(value) for value in values
    ]
    return words[0] if len(words) == 1 else ", ".join(map(" ".join, zip(names, words, strict=True)))
