"""Which columns stand in the league: every number that a measure gives, one course each, and the controls."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from grokscope.measure import Column
from grokscope.results import ColumnName, Results
from grokscope.results.columns import number_columns
from grokscope.results.names import STEP

if TYPE_CHECKING:
    import numpy as np

CONTROL = "control"  # stands where a column's measure stands
NOISE, DRIFT, COPY = (ColumnName(CONTROL, name) for name in ("noise", "drift", "copy"))
CONTROLS = {
    NOISE: "white noise: it knows nothing",
    DRIFT: "a random walk: it goes somewhere, and knows nothing",
    COPY: "test accuracy itself, or what stands for it: it sees the transition when it is there",
}


def entrants(results: Results) -> Results:
    """Return the results with one course for every column, the controls among them.

    A column that a measure gives by layer, and not as a total, is the mean over its rows: what they are
    called differs from network to network. A column that has no value in this run is left out.
    """
    declared: dict[str, Column] = {
        name.total: results.declared[name] for name in reversed(number_columns(results))
    }
    courses: dict[str, Sequence[float]] = {
        name: _course(results, ColumnName.read(name)) for name in reversed(declared)
    }
    for control, course in zip(CONTROLS, _controls(results), strict=True):
        courses[control] = course.tolist()
        declared[control] = Column(control.column, CONTROLS[control])
    known = {name: list(course) for name, course in courses.items() if any(map(math.isfinite, course))}
    return replace(
        results,
        columns={STEP: results.steps, **known},
        declared={name: declared[name] for name in known},
    )


def _course(results: Results, total: ColumnName) -> Sequence[float]:
    if total in results.declared:
        return results.columns[total]
    rows = [results.columns[name] for name in results.measured if name.total == total]
    return [_mean(values) for values in zip(*rows, strict=True)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _controls(results: Results) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise and drift of this run, the same whenever it is asked for, and what the copy is of."""
    import numpy as np

    rng = np.random.default_rng(zlib.crc32(results.run.encode()))
    noise, steps = rng.normal(size=(2, len(results.steps)))
    accuracy = results.rising()
    return noise, np.cumsum(steps), np.full(len(noise), math.nan) if accuracy is None else accuracy
