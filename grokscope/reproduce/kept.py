"""What came out of figures, kept as three plain tables: runs, their courses, and whose groups they are in.

A course stands in one row, its steps as `first:last:stride` where they are even, a value that stays as
`value*times`, so that a hundred runs are a few megabytes. Read back, they are judged anew and drawn as if
just measured: no verdict is kept.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.declare import canonical_json
from grokscope.errors import UsageError
from grokscope.figure import Figure, Group, Trained
from grokscope.measure import Column
from grokscope.registry import Plugins
from grokscope.reproduce import Judged, Reproduction, beyond, choose_readings
from grokscope.reproduce.checking import check
from grokscope.results import ColumnName, Comparison, Results
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.statistics.courses import reread
from grokscope.statistics.judging import with_thresholds

TABLES = {
    "runs": ("run", "config"),
    "groups": ("figure", "reading", "group", "run"),
    "courses": ("run", "column", "parameters", "looked_at", "steps", "values"),
}
# Long, and said by others: by the courses' steps, and by what `subnetwork` names.
UNTOLD = ("checkpoint_every", "masked_units")
CURVE = ("", "curve")
MOST_STEPS = 10_000_000  # in a row: no course is longer
Key = tuple[str, str, str]  # of a course of one run: column, parameters, which steps were looked at


@dataclass(frozen=True)
class _Course:
    steps: tuple[int, ...]
    values: tuple[float, ...]


def kept_tables(reproduced: Iterable[Reproduction]) -> dict[str, str]:
    """Return what was found of figures as CSV, by the name of the table; see `Kept`.

    Of each run its configuration, its curve, and the columns that the figures draw or their claims read.
    Numbers have six significant digits.

    Raises UsageError where a figure is in its smaller variant, which is not the paper's.
    """
    runs: dict[str, str] = {}
    groups: list[tuple[str, ...]] = []
    courses: dict[tuple[str, Key], _Course] = {}
    for each in reproduced:
        if each.quick:
            raise UsageError(f"{each.figure.name} must be at full size to be kept, got its quick variant")
        for judged in each.judged:
            under = each.figure.under(judged.reading)
            for name, found in judged.found.items():
                if not found.runs:
                    groups.append((each.figure.name, judged.reading.name, name, ""))
                for run, results in found.runs.items():
                    runs[run] = _told(results.config)
                    groups.append((each.figure.name, judged.reading.name, name, run))
                    courses |= {(run, key): course for key, course in _courses(under, name, results)}
    rows: dict[str, Sequence[Sequence[str]]] = {
        "runs": sorted(runs.items()),
        "groups": groups,
        "courses": [
            (run, *key, steps_text(course.steps), values_text(course.values))
            for (run, key), course in sorted(courses.items(), key=lambda found: found[0])
        ],
    }
    return {name: _csv(header, rows[name]) for name, header in TABLES.items()}


def _told(config: Mapping[str, Any]) -> str:
    training = {name: value for name, value in config["training"].items() if name not in UNTOLD}
    return canonical_json({**config, "training": training, "local": {}})


def _courses(figure: Figure, name: str, results: Results) -> Iterator[tuple[Key, _Course]]:
    """Yield the run's curve, and what the figure reads of it in this group, by the columns' own names."""
    steps = tuple(results.curve["step"].tolist())
    for metric in CURVE_COLUMNS:
        yield (metric, *CURVE), _Course(steps, tuple(results.curve[metric].tolist()))
    group = figure.groups[name]
    for column in _read(figure, name):
        if column in results.columns:
            values = tuple(map(float, results.columns[column]))
            yield _key(group, column), _Course(tuple(results.steps), values)


def _read(figure: Figure, group: str) -> list[ColumnName]:
    """Return the columns that the figure reads of a group: panels draw them, or its claim is about them."""
    asked = [name for part in figure.asks if group in part.groups for name in part.hypothesis.columns]
    drawn = [name for panel in figure.panels if group in panel.groups for name in (*panel.left, *panel.right)]
    return [ColumnName.read(name) for name in dict.fromkeys(asked + drawn) if name not in CURVE_COLUMNS]


def _key(group: Group, column: ColumnName) -> Key:
    """Return under what the course of a column is kept: as what it was measured, with which parameters."""
    own = ColumnName.read(group.columns.get(column.total, column.total))
    given = {
        name.partition(".")[2]: value
        for name, value in group.parameters.items()
        if name.partition(".")[0] == own.measure
    }
    parameters = ",".join(f"{name}={given[name]}" for name in sorted(given))
    return ColumnName(own.measure, own.column, column.label), parameters, group.steps


def steps_text(steps: Sequence[int]) -> str:
    """Return steps in few words.

    >>> steps_text([0, 10, 20, 40, 45])
    '0:20:10 40 45'
    >>> steps_of(steps_text([0, 10, 20, 40, 45]))
    (0, 10, 20, 40, 45)
    """
    words, at = [], 0
    while at < len(steps):
        end = at + 1
        while end + 1 < len(steps) and steps[end + 1] - steps[end] == steps[at + 1] - steps[at]:
            end += 1
        even = at + 2 <= end < len(steps)
        words.append(f"{steps[at]}:{steps[end]}:{steps[end] - steps[end - 1]}" if even else str(steps[at]))
        at = end + 1 if even else at + 1
    return " ".join(words)


def steps_of(text: str) -> tuple[int, ...]:
    """Return the steps that `steps_text` wrote. Raises ValueError for anything else."""
    found: list[int] = []
    for word in text.split():
        first, *more = map(int, word.split(":"))
        if more:
            last, stride = more
            if (last - first) // stride > MOST_STEPS:
                raise ValueError(f"{word} are more steps than {MOST_STEPS}")
            found += range(first, last + 1, stride)
        else:
            found.append(first)
    return tuple(found)


def values_text(values: Sequence[float]) -> str:
    """Return numbers with six significant digits, those that stay for some steps once.

    >>> values_text([0.0, 0.0, 0.0, 1 / 3, float("nan"), float("nan")])
    '0*3 0.333333 nan*2'
    >>> values_of(values_text([0.0, 0.0, 0.0, 0.5]), 4)
    (0.0, 0.0, 0.0, 0.5)
    """
    runs = ((word, len(list(run))) for word, run in itertools.groupby(f"{value:.6g}" for value in values))
    return " ".join(word if times == 1 else f"{word}*{times}" for word, times in runs)


def values_of(text: str, most: int) -> tuple[float, ...]:
    """Return the numbers that `values_text` wrote. Raises ValueError for others, or over `most`."""
    found: list[float] = []
    for word in text.split():
        value, star, times = word.partition("*")
        more = int(times) if star else 1
        if not 0 < more <= most - len(found):
            raise ValueError(f"there are {most} steps, and more values: {word}")
        found += [float(value)] * more
    return tuple(found)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def differing(reproduced: Iterable[Reproduction], kept: Kept, plugins: Plugins) -> Iterator[str]:
    """Yield where what is kept says another thing than the runs: a claim reads what it does not declare."""
    for each in reproduced:
        again = kept.reproduction(each.figure, plugins, [judged.reading.name for judged in each.judged])
        for judged, other in zip(each.judged, again.judged, strict=True):
            for part, same in zip(judged.parts, other.parts, strict=True):
                if part.outcomes != same.outcomes:
                    under = f"{each.figure.name} under {judged.reading.name}"
                    wrong = f"{part.hypothesis} says another thing of what is kept than of the runs"
                    yield f"{under}: {wrong}; does it declare every column that it reads?"


@dataclass(frozen=True)
class Kept:
    """What `kept_tables` made, read back.

    Attributes:
        configs: the configuration of every run, without where its data lay and at which steps it was kept.
        groups: the runs of a group, by figure, reading and group.
        courses: by run, and there by column, parameters and which steps were looked at.
    """

    configs: Mapping[str, Mapping[str, Any]]
    groups: Mapping[tuple[str, str, str], Sequence[str]]
    courses: Mapping[str, Mapping[Key, _Course]]

    @classmethod
    def read(cls, folder: str | Path) -> Kept:
        """Read the three tables in a folder. Raises UsageError where they are not there, or not those."""
        tables = {name: _table(Path(folder) / f"{name}.csv", header) for name, header in TABLES.items()}
        groups: dict[tuple[str, str, str], list[str]] = {}
        for figure, reading, group, run in tables["groups"]:
            groups.setdefault((figure, reading, group), []).extend([run] if run else [])
        courses: dict[str, dict[Key, _Course]] = {}
        try:
            configs = {run: json.loads(config) for run, config in tables["runs"]}
            for run, column, parameters, looked_at, steps, values in tables["courses"]:
                at = steps_of(steps)
                course = _Course(at, values_of(values, len(at)))
                if len(course.steps) != len(course.values):
                    raise ValueError(
                        f"{column} of {run} has {len(course.values)} values at {len(course.steps)} steps"
                    )
                courses.setdefault(run, {})[column, parameters, looked_at] = course
        except ValueError as error:
            raise UsageError(f"{folder} must hold what reproduce --rows wrote: {error}") from error
        kept = cls(configs, groups, courses)
        for run in kept.without_curve():
            raise UsageError(
                f"{folder} must hold the configuration and the curve of {run}, which a group has"
            )
        return kept

    @classmethod
    def joined(cls, folders: Sequence[str | Path]) -> Kept:
        """Read what lies in several folders as if it were one: runs that several machines trained.

        Raises UsageError as `read` does, where one run is another in two of them, and where the runs of a
        group are of several tasks, as where some data was at hand for some.
        """
        configs: dict[str, Mapping[str, Any]] = {}
        groups: dict[tuple[str, str, str], list[str]] = {}
        courses: dict[str, dict[Key, _Course]] = {}
        for folder in folders:
            part = cls.read(folder)
            for run, config in part.configs.items():
                known = courses.setdefault(run, {})
                own = part.courses.get(run, {})
                if configs.setdefault(run, config) != config or any(
                    str(known.get(key, course)) != str(course) for key, course in own.items()
                ):
                    raise UsageError(f"{run} must be one run in all folders, got another in {folder}")
                known |= own
            for key, runs in part.groups.items():
                of = groups.setdefault(key, [])
                of += [run for run in runs if run not in of]
        for (figure, _, group), runs in groups.items():
            tasks = {str(configs[run]["task"]["name"]) for run in runs}
            if len(tasks) > 1:
                raise UsageError(
                    f"{figure}, {group} must have runs of one task, got {', '.join(sorted(tasks))}"
                )
            runs.sort(key=lambda run: (configs[run]["training"]["seed"], run))
        return cls(configs, groups, courses)

    def without_curve(self) -> Iterator[str]:
        """Yield the runs of groups of which there is no configuration, or no curve."""
        for run in (run for runs in self.groups.values() for run in runs):
            known = self.courses.get(run, {})
            if run not in self.configs or any((metric, *CURVE) not in known for metric in CURVE_COLUMNS):
                yield run

    @property
    def figures(self) -> list[str]:
        """The names of the figures that are kept."""
        return list(dict.fromkeys(figure for figure, _, _ in self.groups))

    def reproduction(
        self, figure: Figure, plugins: Plugins, readings: str | Sequence[str] | None = None
    ) -> Reproduction:
        """Return the figure judged anew, under the readings that are kept of it or some of these.

        Raises UsageError where nothing of it is kept, UnknownName for a reading that it has not.
        """
        there = {reading for name, reading, _ in self.groups if name == figure.name}
        chosen = [each for each in choose_readings(figure, readings) if each.name in there]
        if not chosen:
            raise UsageError(f"{figure.name} must be among what is kept, got {', '.join(self.figures)}")
        judged: list[Judged] = []
        stand_ins: dict[str, str] = {}
        for reading in chosen:
            under = figure.under(reading)
            found = {}
            for name, group in under.groups.items():
                runs = self.groups.get((figure.name, reading.name, name), ())
                found[name] = Comparison(
                    {run: self._results(run, under, name, plugins) for run in runs}, {}, {}
                )
                stand_ins |= _stand_in(group, found[name])
            paths = {name: tuple(map(Path, each.runs)) for name, each in found.items()}
            judged.append(Judged(reading, found, paths, check(figure, found)))
        return Reproduction(figure, False, judged, stand_ins, beyond(figure, False, bool(stand_ins)))

    def _results(self, run: str, figure: Figure, name: str, plugins: Plugins) -> Results:
        import numpy as np

        group, known = figure.groups[name], self.courses[run]
        found = {
            key[0]: known[key] for column in _read(figure, name) if (key := _key(group, column)) in known
        }
        metrics = {metric: known[metric, *CURVE] for metric in CURVE_COLUMNS}
        steps = metrics[CURVE_COLUMNS[0]].steps
        looked_at = next((course.steps for course in found.values()), steps)
        results = Results(
            run,
            {"step": list(looked_at), **{column: list(course.values) for column, course in found.items()}},
            {column: _declared(ColumnName.read(column), plugins) for column in found},
            curve={"step": np.array(steps), **{metric: np.array(c.values) for metric, c in metrics.items()}},
            config=self.configs[run],
        )
        return with_thresholds(reread(results, group.columns) if group.columns else results)


def _table(path: Path, header: Sequence[str]) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} must be a table that reproduce --rows wrote: {error}") from error
    if not rows or tuple(rows[0]) != tuple(header) or any(len(row) != len(header) for row in rows):
        raise UsageError(f"{path} must have the columns {', '.join(header)}, as reproduce --rows writes them")
    return rows[1:]


def _stand_in(group: Group, found: Comparison) -> dict[str, str]:
    """Return which task stood in for which in these runs, if one did."""
    if not isinstance(group.runs, Trained):
        return {}
    own, first = group.runs.task, next(iter(found.runs.values()), None)
    task = own if first is None else str(first.config["task"]["name"])
    return {own: task} if task != own else {}


def _declared(column: ColumnName, plugins: Plugins) -> Column:
    """Return the declaration of a column, as far as the measure is installed that gave it."""
    registered = plugins.measures.get(column.measure)
    known = registered.measure.columns if registered else ()
    return next((each for each in known if each.name == column.column), Column(column.column, ""))
