"""The curve of a run: points kept with checkpoints, and the steps where memorising and grokking begin."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

CURVE_COLUMNS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
MEMORISED_AT, GROKKED_AT = 0.99, 0.95  # train and test accuracy that count as memorised and grokked
LAST_STEP = 99_999_999  # of eight digits, as in checkpoints' names
LONGEST = 4096  # points per checkpoint: the header that holds them must stay below 1 MiB

Point = tuple[int, float, float, float, float]  # step, then CURVE_COLUMNS


def points(curve: Mapping[str, Sequence[float]]) -> tuple[Point, ...]:
    """Return the points of `curve`, columns by name; a metric that is not there is NaN.

    Beyond LONGEST points every n-th is kept, and the last.
    """
    steps = [int(step) for step in curve.get("step", ())]
    unknown = set(curve) - {"step", *CURVE_COLUMNS}
    if unknown:
        raise ValueError(f"a curve has the columns step, {', '.join(CURVE_COLUMNS)}; got {sorted(unknown)}")
    columns = [[float(value) for value in curve.get(name, [math.nan] * len(steps))] for name in CURVE_COLUMNS]
    found = list(zip(steps, *columns, strict=True))
    stride = -(-len(found) // LONGEST) or 1
    return tuple(found[::-stride][::-1])


def curve_text(found: Iterable[Point]) -> str:
    """Return points as JSON; NaN and the infinities are words, because JSON has no such numbers."""
    return json.dumps([[_json_number(value) for value in point] for point in found], separators=(",", ":"))


def read_curve(text: str) -> tuple[Point, ...]:
    """Return the points that `curve_text` wrote. Raises ValueError for anything else."""
    try:
        found = tuple(_point(*values) for values in json.loads(text))
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError("the curve must be a list of points") from error
    if len(found) > LONGEST:
        raise ValueError(f"the curve must have at most {LONGEST} points, got {len(found)}")
    return found


def joined(pieces: Iterable[Iterable[Point]]) -> list[Point]:
    """Return all points sorted by step; where two have the same step the first given stands."""
    by_step: dict[int, Point] = {}
    for piece in pieces:
        for point in piece:
            by_step.setdefault(point[0], point)
    return [by_step[step] for step in sorted(by_step)]


def as_arrays(found: Iterable[Point]) -> dict[str, np.ndarray]:
    """Return points as arrays: `step`, int64, and each metric, float64."""
    import numpy as np

    columns = list(zip(*found, strict=True)) or [()] * 5
    return {
        name: np.array(column, np.int64 if name == "step" else np.float64)
        for name, column in zip(("step", *CURVE_COLUMNS), columns, strict=True)
    }


def curve_of(curve: Mapping[str, np.ndarray], metric: str, *, partly: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and values of a metric.

    Of a curve whose points may tell some metrics alone, `partly`, those points that tell this one. Elsewhere
    NaN is what was found.
    """
    import numpy as np

    steps, values = curve["step"], np.asarray(curve[metric], float)
    kept = ~np.isnan(values) if partly else slice(None)
    return steps[kept], values[kept]


IN_A_ROW = 3  # evaluations: later dips, as AdamW's loss spikes make them, undo no transition


def first_step_staying_above(
    steps: Iterable[int], values: Iterable[float], threshold: float, in_a_row: int = IN_A_ROW
) -> int | None:
    """Return the first step from which values are >= `threshold` for three evaluations in a row, or None.

    NaN is not above anything.

    >>> first_step_staying_above([0, 10, 20, 30, 40, 50], [0.99, 0.1, 0.95, 1.0, 1.0, 0.9], 0.95)
    20
    """
    row: list[int] = []
    for step, value in zip(steps, values, strict=True):
        row = [*row, int(step)] if value >= threshold else []
        if len(row) == in_a_row:
            return row[0]
    return None


def _json_number(value: float) -> float | str:
    return value if math.isfinite(value) else repr(float(value))


def _point(step: int, a: float | str, b: float | str, c: float | str, d: float | str) -> Point:
    if type(step) is not int or not 0 <= step <= LAST_STEP:
        raise ValueError(f"a step must be within 0 and {LAST_STEP}, got {str(step)[:20]}")
    return step, float(a), float(b), float(c), float(d)
