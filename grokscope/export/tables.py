"""Which columns a table of results has, and of which types: wide and tidy, measured just now or stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from grokscope.errors import UsageError
from grokscope.export.collected import CURVE, Collected, Share, finite_points
from grokscope.results import ColumnName, Comparison, Results
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.tidy import LONG, Value

_WHOLE = ("step", "version", "baseline")
_REST = [name for name in Value._fields if name not in ("run", "step")]


@dataclass(frozen=True)
class Table:
    """Columns of one type each, and what they are about.

    Attributes:
        columns: the values by name; None where there is none.
        types: `whole`, `number`, `truth` or `text` by name.
        about: runs with their configurations, measures with their provenance: what CSV has no place for.
    """

    columns: Mapping[str, Sequence[Any]]
    types: Mapping[str, str]
    about: Mapping[str, Any]


def measured_columns(found: Results | Comparison, long: bool = False) -> Mapping[str, Sequence[Any]]:
    """Return the columns that `analyze` gives: one row per step, or one per number.

    Of several runs they have the run and the settings in which they differ.
    """
    if not long:
        return found.columns
    settings = found.settings if isinstance(found, Comparison) else ()
    rows = list(found.long())
    return {name: [row[name] for row in rows] for name in (LONG[0], *settings, *LONG[1:])}


def as_dict(found: Results | Comparison) -> dict[str, Any]:
    """Return the results as a JSON object: columns, transitions, notes and failures, of each run."""
    if isinstance(found, Comparison):
        runs = [
            {**as_dict(results), "run": run, "settings": found.settings_of(run)}
            for run, results in found.runs.items()
        ]
        return {
            "settings": list(found.settings),
            "runs": runs,
            "failed": {run: str(error) for run, error in found.failed.items()},
        }
    return {
        "run": found.run,
        "memorisation_step": found.memorisation_step,
        "grokking_step": found.grokking_step,
        "columns": dict(found.columns),
        "notes": dict(found.notes),
        "failures": [str(failure) for failure in found.failures],
    }


def long_table(collected: Collected, curve: bool = True) -> Table:
    """Return the tidy table: one row per number or word."""
    columns: dict[str, list[Any]] = {name: [] for name in ("run", *collected.settings, "step", *_REST)}
    for at, share in enumerate(collected.shares):
        values = [*(_curve_values(share) if curve else ()), *share.values]
        for name, settings in collected.settings.items():
            columns[name] += [settings[at]] * len(values)
        for name, found in zip(Value._fields, zip(*values, strict=True), strict=False):
            columns[name] += found
    types = dict.fromkeys(Value._fields, "text") | dict.fromkeys(_WHOLE, "whole") | {"value": "number"}
    return _typed(columns, types, collected, "long")


def wide_table(collected: Collected, curve: bool = True) -> Table:
    """Return one row per run and step, a column for every measured column.

    Raises UsageError where a result is stored for several baselines.
    """
    names = _wide_names(collected)
    metrics = CURVE_COLUMNS if curve else ()
    columns: dict[str, list[Any]] = {
        name: [] for name in ("run", *collected.settings, "step", *metrics, *names.values())
    }
    for at, share in enumerate(collected.shares):
        rows = len(share.steps)
        columns["run"] += [share.run] * rows
        for name, settings in collected.settings.items():
            columns[name] += [settings[at]] * rows
        columns["step"] += share.steps
        for name, filled in _filled(share, names, metrics).items():
            columns[name] += filled
    words = {names[_place(value)] for value in collected.values() if value.text is not None}
    types = {name: "text" if name in words else "number" for name in names.values()}
    types |= {"run": "text", "step": "whole", **dict.fromkeys(metrics, "number")}
    return _typed(columns, types, collected, "wide")


def _filled(share: Share, names: Mapping[Any, str], metrics: Sequence[str]) -> dict[str, list[Any]]:
    """One run's columns of a wide table."""
    at = {step: row for row, step in enumerate(share.steps)}
    filled: dict[str, list[Any]] = {name: [None] * len(at) for name in (*metrics, *names.values())}
    for name, step, number in finite_points(share.curve):
        if name in metrics and step in at:
            filled[name][at[step]] = number
    for value in share.values:
        column, row = filled[names[_place(value)]], at[value.step]
        if column[row] is not None:
            raise UsageError(
                f"{share.run}: {value.measure} at step {value.step} is stored for several baselines, which a "
                f"wide table has no place for; choose one with `measures` ({value.measure}) and `baseline`"
            )
        column[row] = value.value if value.text is None else value.text
    return filled


def _place(value: Value) -> tuple[Any, ...]:
    return value.plugin, value.measure, value.parameters, value.column, value.layer


def _wide_names(collected: Collected) -> dict[tuple[Any, ...], str]:
    """The names of measured columns: measure by measure, those without a layer first."""
    titles = collected.variants()
    order = {variant: place for place, variant in enumerate(titles)}
    places = dict.fromkeys(map(_place, collected.values()))
    return {
        place: ColumnName(titles[place[:3]], place[3], place[4])
        for place in sorted(places, key=lambda place: (order[place[:3]], place[4] != ""))
    }


def _curve_values(share: Share) -> Iterable[Value]:
    return (
        Value(share.run, step, CURVE, "", name, value, None, None, None, None, None)
        for name, step, value in finite_points(share.curve)
    )


def _typed(
    columns: Mapping[str, list[Any]], types: Mapping[str, str], collected: Collected, shape: str
) -> Table:
    settings = {name: _type(values) for name, values in collected.settings.items()}
    kept = {
        name: [None if value is None else str(value) for value in values]
        if settings.get(name) == "text"
        else values
        for name, values in columns.items()
    }
    types = {**types, **settings}
    return Table(kept, {name: types[name] for name in kept}, _about(collected, shape))


def _type(values: Sequence[Any]) -> str:
    """The one type that a setting's values have, None aside."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "truth"
    if kinds and kinds <= {int, float}:
        return "whole" if kinds == {int} else "number"
    return "text"


def _about(collected: Collected, shape: str) -> dict[str, Any]:
    return {
        "grokscope": _version(),
        "shape": shape,
        "settings": list(collected.settings),
        "runs": [
            {
                "run": share.run,
                **share.config,
                "memorisation_step": share.memorisation_step,
                "grokking_step": share.grokking_step,
            }
            for share in collected.shares
        ],
        "measures": list(_measures(collected)),
    }


def _measures(collected: Collected) -> Iterable[dict[str, Any]]:
    """What each measure's numbers come from: one entry for every version and set of parameters."""
    titles = collected.variants()
    for plugin, measure, parameters, number in dict.fromkeys(
        (v.plugin, v.measure, v.parameters, v.version) for v in collected.values()
    ):
        origin = collected.origins.get((plugin, measure))
        yield {
            "name": titles[plugin, measure, parameters],
            "measure": measure,
            "plugin": plugin,
            "version": number,
            "parameters": json.loads(parameters or "{}"),
            "distribution": origin.distribution if origin else None,
            "distribution_version": origin.distribution_version if origin else None,
            "source": origin.source if origin else None,
            "columns": {
                column.name: {"help": column.help, "unit": column.unit, "direction": column.direction}
                for column in (origin.columns if origin else ())
            },
        }


def _version() -> str:
    try:
        return version("grokscope")
    except PackageNotFoundError:
        return "unknown"
