"""What an analysis hands back: numbers by step and column, wide or tidy, with what failed and why."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from grokscope.declare import canonical_json
from grokscope.errors import UnknownName
from grokscope.measure import Column
from grokscope.results.names import STEP, ColumnName, bare, named
from grokscope.run.config import IMPORTED, tells_partly
from grokscope.run.curves import CURVE_COLUMNS, GROKKED_AT, MEMORISED_AT, curve_of
from grokscope.run.outcome import Goal, goals_of, in_a_row
from grokscope.run.tidy import LONG, Value, data_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas


@dataclass(frozen=True)
class Provenance:
    """Where a measure's numbers come from.

    Attributes:
        plugin, distribution, distribution_version: who brought the measure.
        version: the measure's own version.
        parameters: what it was computed with.
        source: the paper.
        baseline: the step of the checkpoint compared with, by step; empty where there is none.
    """

    plugin: str
    distribution: str
    distribution_version: str
    version: int
    parameters: Mapping[str, Any]
    source: str
    baseline: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A cell that could not be computed; `detail` is the traceback of a plugin's own error.

    `tried` is False where nothing was tried, since the measure had ended its process too often.
    """

    plugin: str
    distribution: str
    measure: str
    step: int
    message: str
    detail: str = ""
    tried: bool = True

    def __str__(self) -> str:
        origin = f"plugin {self.plugin} of {self.distribution}" if self.plugin else "run"
        return f"{self.measure} at step {self.step} ({origin}): {self.message}"


@dataclass(frozen=True)
class Results:
    """The results of one `analyze`.

    Attributes:
        run: the run's name.
        columns: `step` and one list per `measure.column` or `measure.column:label`; a cell that is missing
            or failed is NaN. The measured names are `ColumnName`s.
        declared: the declaration of every column but `step`.
        arrays: the arrays stored beside rows, by (step, `measure.array` or `measure.array:label`).
        notes: why a measure does not apply, by measure.
        failures: cells that could not be computed.
        damaged: files of the run that could not be believed and were left out.
        messages: anything else that was noticed: a rebuilt index, results that are not deterministic.
        computed: how many cells were computed by this call; the others were stored already.
        memorisation_step, grokking_step: None when never reached; see `transitions` for other thresholds.
        curve: the run's finer curve: `step`, losses and accuracies; it has every checkpoint's step, and more.
        config: the run's configuration: `recipe` and the tables `task`, `model`, `training`.
        provenance: where each measure's numbers come from, by measure.
    """

    run: str
    columns: Mapping[str, list[Any]]
    declared: Mapping[str, Column]
    arrays: Mapping[tuple[int, str], Any] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    damaged: Sequence[str] = ()
    messages: Sequence[str] = ()
    computed: int = 0
    memorisation_step: int | None = None
    grokking_step: int | None = None
    curve: Mapping[str, np.ndarray] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Provenance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", named(self.columns))
        object.__setattr__(self, "declared", named(self.declared))

    @property
    def steps(self) -> list[int]:
        """The steps, ascending."""
        return self.columns[STEP]

    @property
    def measured(self) -> list[ColumnName]:
        """The column names without `step`, in the order of the measures asked for."""
        return [name for name in self.columns if isinstance(name, ColumnName)]

    def course(self, name: str) -> np.ndarray:
        """Return a column of numbers at `steps` in float64, NaN where there is none.

        Or a metric of the curve (`train_loss`, `test_loss`, `train_accuracy`, `test_accuracy`) at the same
        steps.

        Raises UnknownName where there is no such column of numbers.
        """
        import numpy as np

        if name in CURVE_COLUMNS and self.curve:
            at = dict(zip(self.curve["step"].tolist(), self.curve[name].tolist(), strict=True))
            return np.array([at.get(step, math.nan) for step in self.steps], np.float64)
        if name not in self.declared or self.declared[name].text:
            numbers = [known for known in self.measured if not self.declared[known].text]
            raise UnknownName("column", name, [*numbers, *CURVE_COLUMNS])
        return np.array(self.columns[name], np.float64)

    def values(self, name: str, start: float = -math.inf, end: float = math.inf) -> np.ndarray:
        """Return the finite values of `course(name)` at steps from `start` to `end`, both included."""
        import numpy as np

        steps, course = np.array(self.steps), self.course(name)
        kept: np.ndarray = course[(steps >= start) & (steps <= end) & np.isfinite(course)]
        return kept

    def transitions(
        self, train: float = MEMORISED_AT, test: float = GROKKED_AT
    ) -> tuple[int | None, int | None]:
        """Return memorisation and grokking step, None when never.

        The first steps of the curve from which train (test) accuracy is at least `train` (`test`) for three
        evaluations in a row. A run with an outcome of its own has its own bounds, see `goals`.
        """
        memorised, grokked = goals_of(self.config, train, test)
        return self._first_step(memorised, self.memorisation_step), self._first_step(
            grokked, self.grokking_step
        )

    @property
    def asked_in_a_row(self) -> int:
        """How many evaluations in a row must be beyond a goal, see `in_a_row`."""
        evaluations = len(self.curve["step"]) if self.curve else len(self.steps)
        return in_a_row(evaluations, IMPORTED in self.config)

    @property
    def goals(self) -> tuple[Goal | None, Goal]:
        """What counts as having memorised, if anything does, and as having generalised, in this run."""
        return goals_of(self.config)

    def rising(self) -> np.ndarray | None:
        """Return the course of what says that the network has generalised, at `steps`; None without one.

        Test accuracy or, turned so that it rises, the column of the run's outcome.
        """
        goal = self.goals[1]
        known = goal.column in self.declared or (goal.column in CURVE_COLUMNS and self.curve)
        return goal.rising(self.course(goal.column)) if known else None

    def evaluated(self) -> Sequence[int]:
        """Return the steps at which it is known whether the network has generalised."""
        goal = self.goals[1]
        if goal.column not in CURVE_COLUMNS:
            return self.steps
        return self.curve_of(goal.column)[0].tolist() if self.curve else ()

    def _first_step(self, goal: Goal | None, known: int | None) -> int | None:
        """Return the first step on the curve; `known`, the run's own, where the goal is no metric of it."""
        if goal is None or goal.column not in CURVE_COLUMNS or not self.curve:
            return known
        return goal.first_step(*self.curve_of(goal.column), self.asked_in_a_row)

    def curve_of(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps and values of a metric on the finer curve.

        Points that do not tell it, as the curve of a recorded loop may have them, are left out.
        """
        return curve_of(self.curve, metric, partly=tells_partly(self.config))

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one dict per step."""
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def only(self, names: Collection[str]) -> Results:
        """Return the results with these columns alone."""
        columns = {name: values for name, values in self.columns.items() if name in (STEP, *names)}
        declared = {name: column for name, column in self.declared.items() if name in columns}
        return replace(self, columns=columns, declared=declared)

    def long(self) -> Iterator[dict[str, Any]]:
        """Yield tidy rows: run, step, measure, layer, column, value."""
        for step, name, found in self._present():
            yield dict(zip(LONG, (self.run, step, name.measure, name.label, name.column, found), strict=True))

    def tidy(self) -> Iterator[Value]:
        """Yield every number and word with what it was computed with, by step."""
        parameters = {name: canonical_json(dict(each.parameters)) for name, each in self.provenance.items()}
        for step, name, found in self._present():
            word, origin = found if isinstance(found, str) else None, self.provenance[name.measure]
            start = (self.run, step, bare(name.measure), name.label, name.column)
            end = (origin.plugin, origin.version, parameters[name.measure], origin.baseline.get(step))
            yield Value(*start, None if word else found, word, *end)

    def _present(self) -> Iterator[tuple[int, ColumnName, Any]]:
        """Yield step, name and value of all that is not missing, by step."""
        for at, step in enumerate(self.steps):
            for name in self.measured:
                found = self.columns[name][at]
                if not _absent(found):
                    yield step, name, found

    def to_pandas(self) -> pandas.DataFrame:
        """Return the columns as a DataFrame indexed by step. Raises UsageError where pandas is missing."""
        return data_frame(self.columns).set_index("step")


def _absent(value: float | str) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))
