"""What an analysis hands back: numbers by step and column, wide or tidy, with what failed and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grokscope.analysis.plan import Plan
from grokscope.errors import UnknownName
from grokscope.measure import Column
from grokscope.run import Cell, CellKey, Run
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT, METRICS, first_step_staying_above
from grokscope.run.tidy import data_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from grokscope.analysis.ledger import Failure

Value = float | str


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
class Results:
    """The results of one `analyze`.

    Attributes:
        run: the run's name.
        columns: `step` and one list per `measure.column` or `measure.column:label`; a cell that is missing
            or failed is NaN.
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

    @property
    def steps(self) -> list[int]:
        """The steps, ascending."""
        return self.columns["step"]

    @property
    def measured(self) -> list[str]:
        """The column names without `step`, in the order of the measures asked for."""
        return [name for name in self.columns if name != "step"]

    def course(self, name: str) -> np.ndarray:
        """Return a column of numbers at `steps` in float64, NaN where there is none; or a metric of the curve
        (`train_loss`, `test_loss`, `train_accuracy`, `test_accuracy`) at the same steps.

        Raises UnknownName where there is no such column of numbers.
        """
        import numpy as np

        if name in METRICS and self.curve:
            at = dict(zip(self.curve["step"].tolist(), self.curve[name].tolist(), strict=True))
            return np.array([at.get(step, math.nan) for step in self.steps], np.float64)
        if name not in self.declared or self.declared[name].text:
            numbers = [known for known in self.measured if not self.declared[known].text]
            raise UnknownName("column", name, [*numbers, *METRICS])
        return np.array(self.columns[name], np.float64)

    def values(self, name: str, start: float = -math.inf, end: float = math.inf) -> np.ndarray:
        """Return the finite values of `course(name)` at steps from `start` to `end`, both included."""
        import numpy as np

        steps, course = np.array(self.steps), self.course(name)
        return course[(steps >= start) & (steps <= end) & np.isfinite(course)]

    def transitions(
        self, train: float = MEMORISED_AT, test: float = GROKKED_AT
    ) -> tuple[int | None, int | None]:
        """Return memorisation and grokking step, None when never: the first steps of the curve from which
        train (test) accuracy is at least `train` (`test`) for three evaluations in a row."""
        if not self.curve:
            return self.memorisation_step, self.grokking_step
        steps = self.curve["step"]
        return (
            first_step_staying_above(steps, self.curve["train_accuracy"], train),
            first_step_staying_above(steps, self.curve["test_accuracy"], test),
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one dict per step."""
        names = list(self.columns)
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def long(self) -> Iterator[dict[str, Any]]:
        """Yield tidy rows: run, step, measure, layer, column, value."""
        for row in self.rows():
            for name in self.measured:
                if _absent(row[name]):
                    continue
                measure, column, label = split_name(name)
                yield {
                    "run": self.run,
                    "step": row["step"],
                    "measure": measure,
                    "layer": label,
                    "column": column,
                    "value": row[name],
                }

    def to_pandas(self) -> pandas.DataFrame:
        """Return the columns as a DataFrame indexed by step. Raises UsageError where pandas is missing."""
        return data_frame(self.columns).set_index("step")


def split_name(name: str) -> tuple[str, str, str]:
    """Return (measure, column, label) of a column's name.

    >>> split_name("weight_norm.l2:layers.0.weight")
    ('weight_norm', 'l2', 'layers.0.weight')
    """
    plugin, colon, rest = name.partition(":")
    if colon and "." not in plugin:  # `plugin:measure.column`: two plugins have a measure of that name
        measure, column, label = split_name(rest)
        return f"{plugin}:{measure}", column, label
    head, _, label = name.partition(":")
    measure, _, column = head.partition(".")
    return measure, column, label


def without_layers(names: Iterable[str], measured: Iterable[str]) -> list[str]:
    """Return `names` without those by layer of measures that have totals among `measured`.

    >>> names = ["weight_norm.l2_all", "weight_norm.l2:head", "gini.gini:head"]
    >>> without_layers(names, names)
    ['weight_norm.l2_all', 'gini.gini:head']
    """
    totals = {split_name(name)[0] for name in measured if not split_name(name)[2]}
    return [name for name in names if not split_name(name)[2] or split_name(name)[0] not in totals]


def assemble(
    run: Run,
    plan: Plan,
    cells: Mapping[CellKey, Cell],
    *,
    failures: Sequence[Failure] = (),
    messages: Sequence[str] = (),
    computed: int = 0,
) -> Results:
    """Return the plan's cells as Results; cells that are not there are NaN."""
    found = [(planned, cells[planned.key]) for planned in plan.cells if planned.key in cells]
    declared = _declared(plan, found)
    steps = [checkpoint.step for checkpoint in plan.checkpoints]
    at = {step: index for index, step in enumerate(steps)}
    columns: dict[str, list[Any]] = {"step": steps}
    columns |= {name: ["" if c.text else math.nan] * len(steps) for name, c in declared.items()}
    arrays: dict[tuple[int, str], Any] = {}
    notes: dict[str, str] = {}
    for planned, cell in found:
        step, title = planned.checkpoint.step, planned.registered.title
        if cell.note:
            notes.setdefault(title, cell.note)
        for row in cell.rows:
            for column, value in row.values.items():
                columns[_name(title, column, row.labels)][at[step]] = value
            for array, values in row.arrays.items():
                arrays[step, _name(title, array, row.labels)] = values
    return Results(
        run=run.name,
        columns=columns,
        declared=declared,
        arrays=arrays,
        notes=notes,
        failures=tuple(failures),
        damaged=tuple(run.problems),
        messages=tuple(messages),
        computed=computed,
        memorisation_step=run.memorisation_step(),
        grokking_step=run.grokking_step(),
        curve=run.curves,
        config=run.config,
        provenance={
            registered.title: Provenance(
                registered.plugin,
                registered.distribution,
                registered.version,
                registered.measure.version,
                plan.parameters[registered.id],
                registered.measure.source,
                plan.baselines(registered),
            )
            for registered in plan.measures
        },
    )


def _declared(plan: Plan, found: Iterable[tuple[Any, Cell]]) -> dict[str, Column]:
    """Columns in the order of measures, then unlabelled before labelled, then as declared."""
    seen: dict[str, dict[tuple[str, ...], set[str]]] = {}
    for planned, cell in found:
        present_by_labels = seen.setdefault(planned.registered.id, {})
        for row in cell.rows:
            present_by_labels.setdefault(row.labels, set()).update(row.values)
    declared: dict[str, Column] = {}
    for registered in plan.measures:
        for labels, present in sorted(seen.get(registered.id, {}).items(), key=lambda item: bool(item[0])):
            for column in registered.measure.columns:
                if column.name in present:
                    declared[_name(registered.title, column.name, labels)] = column
    return declared


def _name(title: str, column: str, labels: tuple[str, ...]) -> str:
    return f"{title}.{column}:{','.join(labels)}" if labels else f"{title}.{column}"


def _absent(value: Value) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))
