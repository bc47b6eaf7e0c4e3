"""How the cells of a plan become the results of a run."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grokscope.analysis.plan import Plan
from grokscope.measure import Column
from grokscope.results import ColumnName, Failure, Provenance, Results
from grokscope.run import Cell, CellKey, Run


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
        place = at[step]
        if cell.note:
            notes.setdefault(title, cell.note)
        for row in cell.rows:
            labels = row.labels
            for column, value in row.values.items():
                columns[_named(title, column, labels)][place] = value
            for array, values in row.arrays.items():
                arrays[step, _named(title, array, row.labels)] = values
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
                    declared[_named(registered.title, column.name, labels)] = column
    return declared


@functools.cache
def _named(title: str, column: str, labels: tuple[str, ...]) -> ColumnName:
    return ColumnName(title, column, ",".join(labels))
