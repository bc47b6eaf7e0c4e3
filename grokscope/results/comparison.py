"""The results of several runs side by side, with the settings in which the runs differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from grokscope.errors import GrokscopeError
from grokscope.measure import Column
from grokscope.results.names import ColumnName, by_measure
from grokscope.results.results import Results
from grokscope.run import Run, differing_settings, is_seed
from grokscope.run.tidy import data_frame

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Comparison:
    """The results of one `analyze_many`.

    Attributes:
        runs: each run's results, by the run's name, or by its path where two runs have one name.
        settings: the settings in which the runs differ, by name, each with one value for every run; what is a
            list is text, and None where a run has no such setting.
        failed: why a run could not be measured at all, by its path: the error.
    """

    runs: Mapping[str, Results]
    settings: Mapping[str, Sequence[Any]]
    failed: Mapping[str, GrokscopeError]

    @classmethod
    def of(cls, found: Sequence[tuple[Run, Results]], failed: Mapping[str, GrokscopeError]) -> Comparison:
        """Put the results of runs side by side."""
        return cls(
            runs=dict(zip(run_labels([run for run, _ in found]), (r for _, r in found), strict=True)),
            settings=settings_as_text([run for run, _ in found]),
            failed=failed,
        )

    @cached_property
    def kinds(self) -> dict[str, Sequence[Any]]:
        """The settings other than seeds in which the runs differ; runs alike in them are repetitions."""
        return {name: values for name, values in self.settings.items() if not is_seed(name)}

    @cached_property
    def repetitions(self) -> dict[tuple[Any, ...], list[str]]:
        """The runs that repeat one another, by their values of `kinds`."""
        found: dict[tuple[Any, ...], list[str]] = {}
        for at, run in enumerate(self.runs):
            found.setdefault(tuple(values[at] for values in self.kinds.values()), []).append(run)
        return found

    @cached_property
    def declared(self) -> dict[str, Column]:
        """The declaration of every measured column that any run has, in the order of the measures."""
        found: dict[str, Column] = {}
        for results in self.runs.values():
            found = {**results.declared, **found}
        return {name: found[name] for name in self.measured}

    @cached_property
    def measured(self) -> list[ColumnName]:
        """The names of the measured columns that any run has, in the order of the measures."""
        return by_measure(name for results in self.runs.values() for name in results.measured)

    @property
    def columns(self) -> dict[str, list[Any]]:
        """`run`, the settings, `step` and the measured columns of all runs, one below the other."""
        names = ["run", *self.settings, "step", *self.declared]
        rows = list(self.rows())
        return {name: [row[name] for row in rows] for name in names}

    def only(self, names: Collection[str]) -> Comparison:
        """Return the comparison with these columns alone."""
        return replace(self, runs={run: results.only(names) for run, results in self.runs.items()})

    def settings_of(self, run: str) -> dict[str, Any]:
        """Return one run's values of the settings in which the runs differ."""
        at = self._places[run]
        return {name: values[at] for name, values in self.settings.items()}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {run: at for at, run in enumerate(self.runs)}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one dict per run and step; a column that the run does not have is NaN, or empty for text."""
        absent = {name: "" if column.text else math.nan for name, column in self.declared.items()}
        for run, results in self.runs.items():
            head = {"run": run, **self.settings_of(run)}
            for row in results.rows():
                yield {**head, "step": row["step"], **absent, **row}

    def long(self) -> Iterator[dict[str, Any]]:
        """Yield tidy rows: run, the settings, step, measure, layer, column, value."""
        for run, results in self.runs.items():
            head = {"run": run, **self.settings_of(run)}
            for row in results.long():
                yield {**head, **{name: value for name, value in row.items() if name != "run"}}

    def to_pandas(self) -> pandas.DataFrame:
        """Return the columns as a DataFrame by run and step. Raises UsageError where pandas is missing."""
        return data_frame(self.columns).set_index(["run", "step"])


def telling(settings: Mapping[str, Sequence[Any]], most: int = 3) -> tuple[str, ...]:
    """Return the fewest settings that tell apart all that all of them do; none where that takes over `most`.

    >>> telling({"seed": [0, 1, 0, 1], "hidden": [8, 8, 9, 9], "run": ["a", "b", "c", "d"]})
    ('run',)
    """
    rows = len(set(zip(*settings.values(), strict=True)))
    for few in range(1, min(most, len(settings)) + 1):
        for chosen in combinations(settings, few):
            if len(set(zip(*(settings[name] for name in chosen), strict=True))) == rows:
                return chosen
    return ()


def run_labels(runs: Sequence[Run]) -> list[str]:
    """Return what to call each run: its name, or its path where two have one name."""
    count = Counter(run.name for run in runs)
    return [run.name if count[run.name] == 1 else str(run.path) for run in runs]


def settings_as_text(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ, each with one value for every run; lists are text."""
    return {
        name: [",".join(map(str, value)) if isinstance(value, list) else value for value in values]
        for name, values in differing_settings([run.config for run in runs]).items()
    }
