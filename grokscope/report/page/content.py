"""What the page shows: a comparison's numbers and words and their origin, as data; foreign text disarmed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from grokscope.declare import canonical_json
from grokscope.errors import UnknownName, UsageError, further
from grokscope.report.page.packing import Axes, kept, packed
from grokscope.report.text import printable
from grokscope.results import ColumnName, Comparison, Results
from grokscope.results.columns import column_of, shown_columns
from grokscope.results.comparison import telling
from grokscope.results.names import bare
from grokscope.run.config import config_hash, hash_of, run_id, seed_of, tells_partly
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.run.outcome import Goal

PARETO = ("synergy", "redundancy")  # roles of columns, x first
TABLES = ("task", "model", "training", "imported")


def content_of(
    comparison: Comparison,
    scores: Any,
    phases: Mapping[str, Any],
    *,
    title: str,
    per_layer: bool,
    pareto: Sequence[str] | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return everything that the page shows, ready to be JSON; `page` says what the arguments are."""
    columns = shown_columns(comparison, per_layer)
    axes, usual = Axes(), _usual(comparison, columns)
    settings = _settings(comparison)
    runs = [
        _run(label, results, columns, axes, comparison.settings_of(label))
        for label, results in comparison.runs.items()
    ]
    for run, label in zip(runs, _short_labels(comparison), strict=True):
        run["label"] = label
    found = {
        "title": title or _title(comparison),
        "grokscope": _version(),
        "facts": _facts(comparison),
        "thresholds": _thresholds(comparison),
        "runs": runs,
        "differing": list(comparison.settings),
        "groups": _groups(comparison),
        "columns": [_column(name, comparison) for name in columns],
        "open": _opened(columns, usual),
        "pareto": _pareto(columns, usual, pareto),
        "settings": settings,
        "scores": _scores(scores),
        "phases": _phases(phases, list(comparison.runs)),
        "provenance": _provenance(comparison),
        "words": _words(comparison),
        "notes": [*notes, *_notes(comparison)],
        "axes": axes.found,
    }
    disarmed: dict[str, Any] = _disarmed(found)
    return disarmed


def _disarmed(value: Any) -> Any:
    """Text printable, numbers that JSON does not have null, everything else as it is."""
    if isinstance(value, Mapping):
        return {key: _disarmed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_disarmed(item) for item in value]
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _version() -> str:
    try:
        return version("grokscope")
    except PackageNotFoundError:
        return "unknown"


def _run(
    label: str, results: Results, columns: Sequence[str], axes: Axes, differing: Mapping[str, Any]
) -> dict[str, Any]:
    memorised, grokked = results.transitions()
    return {
        "name": label,
        "memorised": memorised,
        "grokked": grokked,
        "differing": [_shown(value) for value in differing.values()],
        "checkpoints": len(results.steps),
        "axis": axes.of(results.steps),
        "columns": [packed(results.course(name)) if name in results.columns else None for name in columns],
        "curve": _curve(results, axes),
        "origin": _origin(results.config),
    }


def _curve(results: Results, axes: Axes) -> dict[str, Any] | None:
    if not results.curve or not len(results.curve["step"]):
        return None
    steps = [int(step) for step in results.curve["step"]]
    marks = [step for step in results.transitions() if step is not None]
    at = kept(steps, marks)
    return {
        "axis": axes.of([steps[index] for index in at]),
        "last": {name: float([math.nan, *results.curve_of(name)[1]][-1]) for name in CURVE_COLUMNS},
        "points": len(steps),
        "partly": tells_partly(results.config),
        **{name: packed([float(results.curve[name][index]) for index in at]) for name in CURVE_COLUMNS},
    }


def _origin(config: Mapping[str, Any]) -> dict[str, Any]:
    """What identifies a run: as its run.toml and `Run` say it."""
    if not config:
        return {"id": "", "config": "", "task": "", "data": "", "seed": None}
    return {
        "id": run_id(config),
        "config": config_hash(config),
        "task": hash_of(config["task"]),
        "data": str(config["task"].get("data_sha256") or ""),
        "seed": seed_of(config),
    }


def _column(name: ColumnName, comparison: Comparison) -> dict[str, Any]:
    declared = comparison.declared[name]
    short = name.measure if name.column == bare(name.measure) else name.column
    return {
        "name": name,
        "measure": name.measure,
        "title": f"{short} · {name.label}" if name.label else short,
        "help": declared.help,
        "unit": declared.unit,
        "direction": declared.direction,
    }


def _title(comparison: Comparison) -> str:
    configs = [results.config for results in comparison.runs.values() if results.config]
    tasks = list(dict.fromkeys(str(config["task"].get("name", "")) for config in configs))
    recipes = list(dict.fromkeys(str(config.get("recipe", "")) for config in configs))
    parts = [names[0] for names in (tasks, recipes) if len(names) == 1 and names[0]]
    return " · ".join(parts) or "grokscope report"


def _short_labels(comparison: Comparison) -> list[str]:
    """The fewest settings that tell the runs apart, where that is at most three; else the runs' names."""
    names = telling(comparison.settings)
    rows = _rows(comparison, names)
    tells = names and len(set(rows)) == len(rows)
    return [_pairs(names, row) for row in rows] if tells else list(comparison.runs)


def _rows(comparison: Comparison, names: Iterable[str]) -> list[tuple[str, ...]]:
    """Each run's values of these settings."""
    return list(zip(*(map(_shown, comparison.settings[name]) for name in names), strict=True))


def _pairs(names: Iterable[str], values: Iterable[str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def _groups(comparison: Comparison) -> dict[str, Any] | None:
    """Which runs differ in their seed alone: a label per group, and each run's group; None if none do."""
    kinds = comparison.kinds
    if len(kinds) == len(comparison.settings) or not kinds:
        return None
    names = telling(kinds) or tuple(kinds)
    rows = dict(zip(comparison.runs, _rows(comparison, names), strict=True))
    alike = list(comparison.repetitions.values())
    of = {run: at for at, group in enumerate(alike) for run in group}
    labels = [_pairs(names, rows[group[0]]) for group in alike]
    return {"labels": labels, "of": [of[run] for run in comparison.runs]}


def _usual(comparison: Comparison, columns: Sequence[ColumnName]) -> list[ColumnName]:
    """The columns of PARETO, as far as they are there."""
    found = (column_of(comparison, role) for role in PARETO)
    return [name for name in found if name is not None and name in columns]


def _opened(columns: Sequence[ColumnName], usual: Sequence[ColumnName]) -> list[int]:
    """Three columns to draw at first: synergy and redundancy if they are there, then one of each measure."""
    first = {name.measure: name for name in reversed(columns) if not _repeats_the_curve(name)}
    wanted = [*usual]
    wanted += [name for name in columns if name in first.values() and name not in wanted]
    return [columns.index(name) for name in wanted[:3]]


def _repeats_the_curve(name: ColumnName) -> bool:
    return name.column in CURVE_COLUMNS


def _pareto(
    columns: Sequence[ColumnName], usual: Sequence[ColumnName], wanted: Sequence[str] | None
) -> list[int] | None:
    """The columns on the axes of the Pareto plot; where the usual are missing, the first two."""
    if wanted is not None and len(wanted) != 2:
        raise UsageError(f"a Pareto plot must have two columns, got {len(wanted)}")
    for name in wanted or ():
        if name not in columns:
            raise UnknownName("column", name, columns)
    chosen = wanted or usual
    if len(chosen) < 2:
        chosen = columns[:2]
    return [columns.index(name) for name in chosen] if len(chosen) == 2 else None


def _settings(comparison: Comparison) -> dict[str, Any]:
    """Every setting that all runs share, those that none has, and those in which they differ."""
    tables = [dict(_flat(results.config)) for results in comparison.runs.values()]
    names = list(dict.fromkeys(name for table in tables for name in table))
    values = {name: [table.get(name) for table in tables] for name in names}
    same = {name: row[0] for name, row in values.items() if len(set(map(canonical_json, row))) == 1}
    return {
        "shared": [[name, _shown(value)] for name, value in same.items() if value is not None],
        "unset": [name for name, value in same.items() if value is None],
        "differing": [[name, list(map(_shown, row))] for name, row in values.items() if name not in same],
    }


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings by dotted name, without `local`: where things lay on a machine is nobody else's business."""
    if config:
        yield "recipe", config.get("recipe") or None
    for table in TABLES:
        yield from _leaves(config.get(table, {}), table)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}")
    else:
        yield name, value


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_shown(item)}" for key, item in value.items())
    return str(value)


def _thresholds(comparison: Comparison) -> str:
    """What counts as memorised and grokked, by every rule that the runs have."""
    rules = dict.fromkeys((*results.goals, results.asked_in_a_row) for results in comparison.runs.values())
    said = []
    for memorised, grokked, in_a_row in rules:
        often = {1: "", 2: " for two evaluations in a row"}.get(in_a_row, " for three evaluations in a row")
        first = f"Memorised: the first step from which {_at_least(memorised)}{often}; " if memorised else ""
        likewise = (
            f"grokked: likewise {_at_least(grokked).replace(' is at least', ',')}."
            if memorised
            else f"Grokked: the first step from which {_at_least(grokked)}{often}."
        )
        said.append(first + likewise)
    return " ".join(dict.fromkeys(said))


def _at_least(goal: Goal) -> str:
    if goal.is_usual:
        return f"{goal.column.replace('_', ' ')} is at least {100 * goal.bound:g} %"
    return f"{goal.column} is at {'least' if goal.above else 'most'} {goal.bound:g}"


def _facts(comparison: Comparison) -> list[list[str]]:
    """The numbers at the top: how many runs, how many memorised and grokked, and when."""
    transitions = [results.transitions() for results in comparison.runs.values()]
    memorised = [m for m, _ in transitions if m is not None]
    grokked = [g for _, g in transitions if g is not None]
    delays = [g - m for m, g in transitions if m is not None and g is not None]
    count = len(transitions)
    checkpoints = sum(len(results.steps) for results in comparison.runs.values())
    return [
        ["runs", str(count), f"{checkpoints} checkpoints measured"],
        ["memorised", f"{len(memorised)} of {count}", _when(memorised, "at step", "never")],
        ["grokked", f"{len(grokked)} of {count}", _when(grokked, "at step", "never")],
        ["delay", *_delay(delays)],
    ]


def _when(steps: Sequence[int], word: str, none: str) -> str:
    if not steps:
        return none
    return f"{word} {steps[0]}" if len(steps) == 1 else f"{word} {min(steps)} to {max(steps)}"


def _delay(delays: Sequence[int]) -> list[str]:
    if not delays:
        return ["–", "no run memorised and then grokked"]
    middle = f"{median(delays):g}"
    return [middle, "steps"] if len(delays) == 1 else [middle, f"steps, median of {len(delays)} runs"]


def _scores(scores: Any) -> dict[str, Any] | None:
    """Rows and summaries by field, and what else the scores say of how they were made."""
    if scores is None:
        return None
    rest = {
        field.name: getattr(scores, field.name)
        for field in dataclasses.fields(scores)
        if field.name not in ("rows", "summaries")
    }
    return {
        "rows": [dataclasses.asdict(row) for row in scores.rows],
        "summaries": [summary.as_dict() for summary in scores.summaries],
        "made": [
            [name.replace("_", " "), _shown(value)]
            for name, value in rest.items()
            if isinstance(value, (str, int, float)) and value != ""
        ],
        "notes": list(getattr(scores, "notes", ())),
    }


def _phases(phases: Mapping[str, Any], runs: Sequence[str]) -> dict[str, Any] | None:
    """The phases of each run in their order, the rules by which they were found, and why a run has none."""
    if not phases:
        return None
    found = [phases.get(run) for run in runs]
    return {
        "of": [[dataclasses.asdict(phase) for phase in each.found] if each else [] for each in found],
        "rules": list(dict.fromkeys(each.rule for each in found if each and each.rule)),
        "notes": [getattr(each, "note", "") or "" if each else "" for each in found],
    }


def _provenance(comparison: Comparison) -> list[dict[str, Any]]:
    """One entry per measure and way of making it, with the runs that it holds for."""
    found: dict[str, dict[str, Any]] = {}
    for at, results in enumerate(comparison.runs.values()):
        for measure, origin in results.provenance.items():
            parameters = [[name, _shown(value)] for name, value in origin.parameters.items()]
            entry = {
                "measure": measure,
                "version": origin.version,
                "plugin": origin.plugin,
                "distribution": origin.distribution,
                "distribution_version": origin.distribution_version,
                "parameters": parameters,
                "source": origin.source,
            }
            found.setdefault(hash_of(entry), {**entry, "runs": []})["runs"].append(at)
    return list(found.values())


def _words(comparison: Comparison) -> list[dict[str, Any]]:
    """What the columns of text say, each with the runs in which they do."""
    found: dict[tuple[str, str], list[int]] = {}
    for at, results in enumerate(comparison.runs.values()):
        for name in results.measured:
            if results.declared[name].text:
                said = ", ".join(dict.fromkeys(str(value) for value in results.columns[name] if value))
                if said:
                    found.setdefault((name, said), []).append(at)
    return [{"column": name, "said": said, "runs": runs} for (name, said), runs in found.items()]


def _notes(comparison: Comparison) -> Iterator[str]:
    """What did not apply, failed, was damaged or was noticed, each once."""
    several = len(comparison.runs) + len(comparison.failed) > 1
    applies: dict[tuple[str, str], list[str]] = {}
    for label, results in comparison.runs.items():
        for note in results.notes.items():
            applies.setdefault(note, []).append(label)
    for (measure, why), labels in applies.items():
        scope = "" if len(labels) == len(comparison.runs) else f" to {', '.join(labels)}"
        yield f"{measure} does not apply{scope}: {why}"
    for label, results in comparison.runs.items():
        for said in [*_failed(results), *results.damaged, *results.messages]:
            yield f"{label}: {said}" if several else said
    for path, error in comparison.failed.items():
        yield f"Left out: {error}" if path in str(error) else f"Left out: {path}: {error}"


def _failed(results: Results) -> Iterator[str]:
    grouped: dict[str, list[Any]] = {}
    for failure in results.failures:
        grouped.setdefault(failure.measure, []).append(failure)
    for failures in grouped.values():
        yield f"failed: {failures[0]}{further(len(failures) - 1)}"
