"""The tables of one run: its results, fitted to a width, and what it is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from grokscope.report.kit import (
    GROKKED,
    MARKS,
    MEMORISED,
    foreign,
    headed_measures,
    plain_table,
    row_names,
    transition_line,
)
from grokscope.report.text import number, percent, printable, shares, sparkline
from grokscope.results import ColumnName, Results
from grokscope.results.columns import noted, shown_columns
from grokscope.run import Run
from grokscope.run.outcome import OUTCOME


def results_table(results: Results, width: int, per_layer: bool = False) -> RenderableType:
    """Return the results: a row per column with its course as a sparkline and its values at chosen steps.

    The last step is always among the chosen; the first and those of memorisation and grokking are as far as
    the width allows, in this order. Columns by layer are left out where a measure has a total, unless
    `per_layer`.
    """
    if not results.steps:
        return Text("no checkpoints were selected")
    shown = shown_columns(results, per_layer)
    marks = _marks(results)
    if not shown:
        return _footer(results, shown)
    names = row_names(shown)
    name_width = max(len(printable(name)) for name in [*names.values(), *headed_measures(shown)])
    cell_width = _cell_width(results, shown)
    trend_width, chosen = _layout(results, marks, width - name_width - 2, cell_width)
    table = plain_table()
    table.add_column("", no_wrap=True, overflow="ellipsis")
    table.add_column(_mark_line(results.steps, marks, trend_width), no_wrap=True)
    for step in chosen:
        table.add_column(_step_header(results, step, marks), justify="right", no_wrap=True)
    headed = headed_measures(shown)
    for name in shown:
        measure = name.measure
        if measure in headed:
            headed.remove(measure)
            table.add_row(foreign(measure, "bold"))
        values = results.columns[name]
        cells = [foreign(number(values[results.steps.index(step)])) for step in chosen]
        title = foreign(names[name], "" if names[name].startswith(" ") else "bold")
        table.add_row(title, Text(sparkline(values, trend_width), style="cyan"), *cells)
    return Group(table, _footer(results, shown))


def _words(results: Results) -> Iterable[tuple[str, str]]:
    """The columns that hold words, each with its different words and how often they came."""
    for name in results.measured:
        if results.declared[name].text:
            counts = Counter(value for value in results.columns[name] if value)
            if len(counts) == 1:
                yield name, next(iter(counts))
            elif counts:
                yield name, "; ".join(f"{word} ({count} steps)" for word, count in counts.most_common(3))


def _marks(results: Results) -> dict[str, int]:
    """The checkpoint at, or the first measured after, memorisation and grokking."""
    found = {}
    for mark, step in _transitions(results).items():
        after = [s for s in results.steps if step is not None and s >= step]
        if after:
            found[mark] = after[0]
    return found


def _transitions(results: Results) -> dict[str, int | None]:
    return {MEMORISED: results.memorisation_step, GROKKED: results.grokking_step}


def _cell_width(results: Results, shown: Sequence[ColumnName]) -> int:
    widest = max(len(number(value)) for name in shown for value in results.columns[name])
    return max(widest, len(str(results.steps[-1])) + 3)


def _layout(results: Results, marks: Mapping[str, int], room: int, cell: int) -> tuple[int, list[int]]:
    """Return the sparkline's width and the steps whose values are shown; without room the marks go first."""
    steps = results.steps
    wanted = list(dict.fromkeys([steps[-1], steps[0], *reversed(list(marks.values()))]))
    wanted = wanted[: max(1, (room - 12) // (cell + 2))]
    trend = max(min(len(steps), 32, room - len(wanted) * (cell + 2) - 2), 1)
    spare = min((room - trend - 2) // (cell + 2), 10) - len(wanted)
    if spare > 0:
        others = [step for step in steps if step not in wanted]
        wanted += [others[(stop + start) // 2] for start, stop in shares(len(others), spare)]
    return trend, sorted(set(wanted))


def _mark_line(steps: Sequence[int], marks: Mapping[str, int], width: int) -> Text:
    """The sparkline's header: a letter over the block that holds the marked step."""
    line = Text(" " * min(width, len(steps)))
    for place, (start, stop) in enumerate(shares(len(steps), width)):
        for mark, step in marks.items():
            if step in steps[start:stop]:
                line = line[:place] + Text(mark, style=MARKS[mark]) + line[place + 1 :]
    return line


def _step_header(results: Results, step: int, marks: Mapping[str, int]) -> Text:
    """A step, with its marks: `M 240` memorised there, `M<240` before it, at a step that was not measured."""
    header = Text()
    for mark, marked in marks.items():
        if marked == step:
            exact = _transitions(results)[mark] == step
            header.append(f"{mark} " if exact else f"{mark}<", style=MARKS[mark])
    return header + Text(str(step))


def _footer(results: Results, shown: Sequence[ColumnName]) -> RenderableType:
    lines = [transition_line(results, results.memorisation_step, results.grokking_step)]
    lines += [foreign(f"{name}: {words}", "dim") for name, words in _words(results)]
    lines += [foreign(line, "dim") for line in noted(results, shown)]
    return Padding(Group(*lines), (1, 0, 0, 0))


def run_view(run: Run, stored: Mapping[str, int], width: int) -> RenderableType:
    """Return what `show` prints: configuration, checkpoints, course of the accuracies, stored measures."""
    facts = plain_table(show_header=False)
    for key, value in _facts(run):
        facts.add_row(Text(key, style="bold"), foreign(value))
    parts: list[RenderableType] = [facts, Text()]
    if len(run.curves["step"]):
        course = plain_table("", "course", "first", "last")
        for name in ("train_accuracy", "test_accuracy", "train_loss", "test_loss"):
            values = run.curve_of(name)[1].tolist() or [math.nan]
            line = Text(sparkline(values, min(48, max(8, width - 50))), style="cyan")
            course.add_row(name, line, number(values[0]), number(values[-1]))
        parts += [course, Text()]
    parts.append(transition_line(run, run.memorisation_step(), run.grokking_step()))
    parts.append(Text())
    if stored:
        table = plain_table("measure", "checkpoints stored")
        for name, count in stored.items():
            table.add_row(foreign(name), f"{count} of {len(run.checkpoints)}")
        parts.append(table)
    else:
        parts.append(
            Text("no measures are stored yet: grokscope analyze measures the checkpoints", style="dim")
        )
    return Group(*parts)


def _facts(run: Run) -> Iterable[tuple[str, str]]:
    yield "run", f"{run.name} ({run.path})"
    for table in ("task", "model", "training"):
        settings = run.config[table]
        yield table, "  ".join(f"{key}={_setting(value)}" for key, value in settings.items())
    if OUTCOME in run.config:
        yield "outcome", f"it has generalised where {run.goals[1].words}"
    if run.is_imported:
        table = run.config["imported"]
        words = [f"names: {table.get('layout')}", "linked" if table.get("link") else "copied"]
        if "stored" in table:
            words.append(f"stored as {table['stored']}, measured in {run.config['training'].get('dtype')}")
        yield "imported", "  ".join(words)
    steps = run.steps
    if not steps:
        yield "checkpoints", "none yet"
        return
    size = sum(checkpoint.size for checkpoint in run.checkpoints)
    yield "checkpoints", f"{len(steps)}, steps {steps[0]} to {steps[-1]}, {size / 1e6:.1f} MB"
    last = run.checkpoints[-1]
    yield (
        "last",
        (
            f"train loss {number(last.train_loss)}, accuracy {percent(last.train_accuracy)}; "
            f"test loss {number(last.test_loss)}, accuracy {percent(last.test_accuracy)}"
        ),
    )


def _setting(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
