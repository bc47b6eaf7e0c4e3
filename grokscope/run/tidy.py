"""Stored results as a tidy table: one row per number or word, with what it was computed with."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from grokscope.declare import canonical_json
from grokscope.extras import from_extra
from grokscope.run.glue import NETWORK
from grokscope.run.results import Cell

if TYPE_CHECKING:
    import numpy as np
    import pandas

BASELINE = "@baseline"  # in a key's parameters: the sha256 of the checkpoint that was compared with


class Value(NamedTuple):
    """One number or word of a result; its fields are the columns of tidy tables.

    `value` is None where it is a word, `text` where it is a number. `layer` holds all labels of the row.
    `parameters` is canonical JSON. `baseline` is the step of the checkpoint that was compared with, None
    where there is none or where it is no longer in the run.
    """

    run: str
    step: int
    measure: str
    layer: str
    column: str
    value: float | None
    text: str | None
    plugin: str | None
    version: int | None
    parameters: str | None
    baseline: int | None


LONG = Value._fields[: Value._fields.index("text")]  # what `long` gives, a word being a value there too


def tidy_values(run: str, cells: Iterable[Cell], steps: Mapping[str, int]) -> Iterator[Value]:
    """Yield every number and word of a run's cells; what is missing (NaN, an empty word) has no row.

    Args:
        run: the run's name.
        cells: of checkpoints that are there.
        steps: where these checkpoints lie, by their sha256.
    """
    for cell in cells:
        yield from _values(run, cell, steps)


def _values(run: str, cell: Cell, steps: Mapping[str, int]) -> Iterator[Value]:
    plugin, _, measure = cell.key.measure.rpartition(":")
    parameters = json.loads(cell.key.parameters)
    parameters.pop(NETWORK, None)
    baseline = steps.get(parameters.pop(BASELINE, ""))
    end = (plugin, cell.key.version, canonical_json(parameters), baseline)
    for row in cell.rows:
        for column, found in row.values.items():
            start = (run, steps[cell.key.checkpoint], measure, ",".join(row.labels), column)
            if isinstance(found, str):
                if found:
                    yield Value(*start, None, found, *end)
            elif not math.isnan(found):
                yield Value(*start, found, None, *end)


def stored_course(
    cells: Iterable[Cell], column: str, steps: Mapping[str, int], code: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and numbers of the column `measure.column` or `measure.column:label`, ascending.

    Those of the measure's newest version; where it was measured with several parameters, of those with which
    most steps were. What was computed by another code of the user's own than `code` is left out.
    """
    import numpy as np

    found: dict[tuple[int, str], dict[int, float]] = {}
    for cell in cells:
        if json.loads(cell.key.parameters).get(NETWORK, code) != code:
            continue
        for each in _values("", cell, steps):
            name = f"{each.measure}.{each.column}" + (f":{each.layer}" if each.layer else "")
            if column in (name, f"{each.plugin}:{name}") and each.value is not None:
                of = cell.key.version, each.parameters or ""
                found.setdefault(of, {})[each.step] = each.value
    newest = max((version for version, _ in found), default=0)
    course = max((c for (version, _), c in found.items() if version == newest), key=len, default={})
    ordered = sorted(course)
    return np.array(ordered, np.int64), np.array([course[step] for step in ordered], np.float64)


def values_frame(values: Iterable[Value]) -> pandas.DataFrame:
    """Return values as a DataFrame, a row each. Raises UsageError where pandas is missing."""
    columns = list(zip(*values, strict=True)) or [()] * len(Value._fields)
    frame = data_frame(dict(zip(Value._fields, map(list, columns), strict=True)))
    whole = dict.fromkeys(("version", "baseline"), "Int64")  # pandas' whole numbers that may be missing
    return frame.astype({"step": "int64", "value": "float64", **whole})


def data_frame(columns: Mapping[str, Sequence[Any]]) -> pandas.DataFrame:
    """Return columns as a DataFrame. Raises UsageError where pandas is missing."""
    with from_extra("pandas", "a DataFrame"):
        import pandas
    return pandas.DataFrame(dict(columns))
