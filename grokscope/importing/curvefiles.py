"""The losses and accuracies that a training logged: which column of a file is which, and at which step."""

from __future__ import annotations

import bisect
import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grokscope.errors import DamagedFile, UsageError, reason_of
from grokscope.extras import from_extra
from grokscope.run.curves import CURVE_COLUMNS, LAST_STEP, Point
from grokscope.run.files import read_bytes

_CAP = 256 << 20
_STEPS = (  # the first that is there
    *("step", "global_step", "_step", "trainer/global_step", "steps", "iteration", "iter", "iterations"),
    *("its", "it", "update", "updates", "epoch", "epochs"),
)
_SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("test", "val", "valid", "validation", "eval", "evaluation", "dev"), "test"),
}
_WHAT = {
    **dict.fromkeys(("loss", "losses", "nll"), "loss"),
    **dict.fromkeys(("acc", "accs", "accuracy", "accuracies"), "accuracy"),
}
_IDLE = {"step", "epoch", "mean", "avg", "curve", "metrics", "log", "logs", "full", "history"}


@dataclass(frozen=True)
class Curve:
    """What was read of a training's curve.

    Attributes:
        path: the file.
        points: by step.
        columns: what the file calls each metric that it has.
    """

    path: str = ""
    points: Sequence[Point] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    def at(self, step: int) -> dict[str, float]:
        """Return what the curve says of `step`, by metric."""
        place = bisect.bisect_left(self.points, step, key=lambda point: point[0])
        if place == len(self.points) or self.points[place][0] != step:
            return {}
        found = zip(CURVE_COLUMNS, self.points[place][1:], strict=True)
        return {name: value for name, value in found if not math.isnan(value)}

    def remarks(self, steps: Sequence[int]) -> list[str]:
        """Return what was taken for what, and how much lies after the last checkpoint."""
        if not self.points:
            return []
        said = ", ".join(f"{theirs} is {own}" for own, theirs in self.columns.items() if theirs != own)
        found = [f"in {self.path}, {said}"] if said else []
        after = sum(point[0] > max(steps, default=-1) for point in self.points)
        if after:
            found.append(
                f"{after} of the {len(self.points)} points in {self.path} lie after the last checkpoint"
            )
        return found


def metric_of(name: str) -> tuple[str, int]:
    """Return which metric a column of that name is, and how many other words it has; "" for none.

    >>> metric_of("val/acc_epoch"), metric_of("loss"), metric_of("lr")
    (('test_accuracy', 1), ('train_loss', 1), ('', 0))
    """
    words = re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]+", name)
    words = [word.lower() for word in words]
    splits = {_SPLITS[word] for word in words if word in _SPLITS}
    whats = {_WHAT[word] for word in words if word in _WHAT}
    others = [word for word in words if word not in _SPLITS and word not in _WHAT]
    if len(whats) != 1 or len(splits) > 1 or not _IDLE.issuperset(others):
        return "", 0
    return f"{next(iter(splits), 'train')}_{whats.pop()}", len(others) + (not splits)


def read_curves(path: Path) -> Curve:
    """Return the curve in `path`: CSV, JSON, JSON Lines, or TensorBoard's event file or folder of them.

    Rows of one step are taken together; a number that is not there is NaN. Raises UsageError, also for a file
    in which no step and no loss or accuracy is found, and DamagedFile.
    """
    if path.is_dir() or "tfevents" in path.name:
        rows = _event_rows(path)
    else:
        try:
            rows = _rows(read_bytes(path.resolve(), _CAP).decode("utf-8-sig"), path)
        except FileNotFoundError as error:
            raise UsageError(f"`curves` must be a file, and {path} is not there") from error
        except (ValueError, TypeError, RecursionError, csv.Error) as error:
            raise DamagedFile(f"{path} is no CSV, JSON or JSON Lines file: {reason_of(error)}") from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    step_name = next((name for name in _STEPS if name in names), "")
    columns = _columns(names)
    if not step_name or not columns:
        what = "a loss or an accuracy" if step_name else "the step"
        there = ", ".join(names[:8]) or "nothing"
        raise UsageError(
            f"`curves` must have a column with {what}, such as step and train_loss; {path} has {there}"
        )
    return Curve(str(path), _points(rows, step_name, columns, path), columns)


def _columns(names: Sequence[str]) -> dict[str, str]:
    """Return the name of each metric's column: the one with the fewest other words, the first of equals."""
    found: dict[str, tuple[int, str]] = {}
    for name in names:
        metric, others = metric_of(name)
        if metric and (metric not in found or others < found[metric][0]):
            found[metric] = others, name
    return {metric: found[metric][1] for metric in CURVE_COLUMNS if metric in found}


def _points(
    rows: Iterable[Mapping[str, Any]], step_name: str, columns: Mapping[str, str], path: Path
) -> list[Point]:
    by_step: dict[int, dict[str, float]] = {}
    for row in rows:
        step = _number(row.get(step_name))
        if math.isnan(step):
            continue
        if not step.is_integer() or not 0 <= step <= LAST_STEP:
            raise UsageError(f"{path}: a step must be a whole number within 0 and {LAST_STEP}, got {step:g}")
        told = {metric: _number(row.get(name)) for metric, name in columns.items()}
        known = {metric: value for metric, value in told.items() if not math.isnan(value)}
        by_step[int(step)] = known | by_step.get(int(step), {})
    return [_point(step, by_step[step]) for step in sorted(by_step) if by_step[step]]


def _point(step: int, told: Mapping[str, float]) -> Point:
    a, b, c, d = (told.get(metric, math.nan) for metric in CURVE_COLUMNS)
    return step, a, b, c, d


def _number(thing: Any) -> float:
    try:
        return math.nan if thing is None else float(thing)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _rows(text: str, path: Path) -> list[dict[str, Any]]:
    if not text.lstrip().startswith(("{", "[")):
        return [dict(row) for row in csv.DictReader(io.StringIO(text)) if None not in row]
    try:
        return list(_json_rows(json.loads(text)))
    except json.JSONDecodeError:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        return [row for row in rows if isinstance(row, dict)]


def _json_rows(found: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list of them, of transformers' trainer_state.json, or of lists by column."""
    if isinstance(found, dict):
        found = found.get("log_history", found)
    if isinstance(found, dict) and all(isinstance(value, list) for value in found.values()):
        found = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    for row in found if isinstance(found, list) else [found]:
        if isinstance(row, dict):
            yield row


def _event_rows(path: Path) -> list[dict[str, Any]]:
    with from_extra("tensorboard", "an event file"):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util
    files = [path] if path.is_file() else [file for file in path.rglob("*tfevents*") if file.is_file()]
    if not files:
        raise UsageError(f"`curves` must be a file, and {path} is none and holds no event files")
    if sum(file.stat().st_size for file in files) > _CAP:
        raise DamagedFile(f"{path} must be at most {_CAP} bytes of events")
    rows: list[dict[str, Any]] = []
    for file in sorted(files):
        try:
            events = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0}).Reload()
            tags = events.Tags()
            for tag in tags["scalars"]:
                rows += ({"step": event.step, tag: event.value} for event in events.Scalars(tag))
            for tag in tags["tensors"] if any(map(metric_of, tags["tensors"])) else ():
                made = (
                    (event.step, tensor_util.make_ndarray(event.tensor_proto))
                    for event in events.Tensors(tag)
                )
                rows += ({"step": step, tag: value.item()} for step, value in made if value.size == 1)
        except Exception as error:  # whatever a hostile file makes of TensorBoard's reader
            raise DamagedFile(f"{file} cannot be read as TensorBoard's events: {reason_of(error)}") from error
    return rows


def between(curve: Curve, steps: Iterable[int]) -> dict[int, tuple[Point, ...]]:
    """Return the points before each of `steps` and after the one before it."""
    found: dict[int, tuple[Point, ...]] = {}
    last = -1
    for step in sorted(steps):
        found[step] = tuple(point for point in curve.points if last < point[0] < step)
        last = step
    return found
