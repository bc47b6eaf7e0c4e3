"""The tables over several runs: one row per run, known by the settings in which the runs differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.report.kit import foreign, plain_table, without_beginning
from grokscope.report.text import number, percent, printable, shares, sparkline
from grokscope.results import ColumnName, Comparison, Results
from grokscope.results.columns import noted, shown_columns
from grokscope.results.comparison import run_labels, settings_as_text
from grokscope.run import Run

COURSE = 10  # blocks of a sparkline
GAP = 2
MOST_SHORTENED = 12  # what a run's name keeps: the hash and the seed
TRANSITIONS = ("memorised", "grokked", "delay")
PHASES = {"before": "cyan", "memorised": "yellow", "grokked": "green"}


def runs_table(runs: Sequence[Run], width: int) -> RenderableType:
    """Return what `show` prints of several runs: settings, how far each is, accuracies, transitions."""
    columns = _setting_columns(settings_as_text(runs))
    columns["step"] = [_reached(run) for run in runs]
    for name in ("train", "test"):
        columns[name] = [
            percent(getattr(run.checkpoints[-1], f"{name}_accuracy"), 1) if run.checkpoints else "–"
            for run in runs
        ]
    transitions = [(run.memorisation_step(), run.grokking_step()) for run in runs]
    return _summary(run_labels(runs), columns, transitions, width)


def _reached(run: Run) -> str:
    last, steps = max(run.steps, default=0), run.config["training"].get("steps")
    return str(last) if steps in (last, None) else f"{last} of {steps}"


def comparison_table(comparison: Comparison, width: int, per_layer: bool = False) -> RenderableType:
    """Return several runs' results: their transitions, then for every measure one row per run.

    A column of a measure is its course, coloured by phase, and its value at the run's last step shown. Where
    the columns of a measure are wider than `width` they go on below.
    """
    transitions = [(found.memorisation_step, found.grokking_step) for found in comparison.runs.values()]
    settings = _setting_columns(comparison.settings)
    summary = _summary(list(comparison.runs), settings, transitions, width)
    shown = shown_columns(comparison, per_layer)
    parts: list[RenderableType] = [summary]
    for measure in dict.fromkeys(name.measure for name in shown):
        columns = [name for name in shown if name.measure == measure]
        parts += [Text(), foreign(measure, "bold"), *_blocks(comparison, columns, width)]
    if shown:
        parts += [Text(), _legend()]
    parts += [foreign(line, "dim") for line in noted(comparison, shown)]
    return Group(*parts)


def _setting_columns(settings: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    return {
        printable(name): [printable("–" if value is None else str(value)) for value in values]
        for name, values in settings.items()
    }


def _summary(
    labels: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    transitions: Sequence[tuple[int | None, int | None]],
    width: int,
) -> RenderableType:
    """One row per run.

    Where the width is short, runs' names lose their beginning first, and then columns go on below, in as few
    tables as can be and with as much of the names as that leaves.
    """
    cells = {header: list(map(foreign, values)) for header, values in columns.items()}
    cells |= dict(zip(TRANSITIONS, _transition_cells(transitions), strict=True))
    taken = {header: _taken({header: list(map(str, each))}) for header, each in cells.items()}
    short = min(MOST_SHORTENED, max(map(len, labels), default=0))
    parts = _split_headers(taken, width - short)
    widest = width - max(sum(taken[header] for header in part) for part in parts)
    while widest > short and _split_headers(taken, width - widest) != parts:
        widest -= 1
    names = [without_beginning(printable(label), max(short, widest)) for label in labels]
    blocks = [_summary_block(names, {header: cells[header] for header in part}) for part in parts]
    return Group(*[part for block in blocks for part in (Text(), block)][1:])


def _split_headers(taken: Mapping[str, int], room: int) -> list[list[str]]:
    """The columns side by side, and those that go on below; the transitions stay together where they can."""
    together = sum(taken[header] for header in TRANSITIONS) <= room
    others = [[header] for header in taken if header not in TRANSITIONS]
    units = [*others, *([list(TRANSITIONS)] if together else [[header] for header in TRANSITIONS])]
    parts = []
    while units:
        count = _fitting([sum(taken[header] for header in unit) for unit in units], room)
        parts.append([header for unit in units[:count] for header in unit])
        units = units[count:]
    return parts


def _transition_cells(transitions: Sequence[tuple[int | None, int | None]]) -> Iterable[list[Text]]:
    """The columns of TRANSITIONS."""
    yield [_step(memorised, PHASES["memorised"]) for memorised, _ in transitions]
    yield [_step(grokked, PHASES["grokked"]) for _, grokked in transitions]
    yield [
        _step(None if memorised is None or grokked is None else grokked - memorised, "")
        for memorised, grokked in transitions
    ]


def _summary_block(names: Sequence[str], cells: Mapping[str, Sequence[Text]]) -> Table:
    table = plain_table("run")
    for header in cells:
        right = header in TRANSITIONS
        table.add_column(Text(header), justify="right" if right else "left", overflow="fold")
    for name, *row in zip(names, *cells.values(), strict=True):
        table.add_row(foreign(name), *row)
    return table


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many of the columns of `widths` fit side by side: one at least."""
    return max(1, sum(1 for total in accumulate(widths) if total <= room))


def _taken(columns: Mapping[str, Sequence[str]]) -> int:
    return sum(max(map(len, [header, *cells])) + GAP for header, cells in columns.items())


def _step(step: int | None, style: str) -> Text:
    return Text("–", style="dim") if step is None else Text(str(step), style=style)


def _legend() -> Text:
    line = Text("course and last value; colours: ", style="dim")
    words = ("before memorisation", "memorised", "grokked")
    return line + Text(", ").join(
        Text(word, style=style) for word, style in zip(words, PHASES.values(), strict=True)
    )


def _blocks(comparison: Comparison, columns: Sequence[ColumnName], width: int) -> Iterable[Table]:
    """The columns of one measure, as many side by side as the width allows."""
    names = _identities(comparison, width)
    room = width - _taken(names)
    while columns:
        fitting, columns = _split(comparison, columns, room)
        yield _block(comparison, names, fitting)


def _identities(comparison: Comparison, width: int) -> dict[str, list[str]]:
    """What tells the runs apart: their settings where these do and leave room, else their names."""
    settings = _setting_columns(comparison.settings)
    different = len(set(zip(*settings.values(), strict=True))) == len(comparison.runs) if settings else False
    if different and _taken(settings) <= width // 2:
        return settings
    room = max(MOST_SHORTENED, width // 3)
    return {"run": [without_beginning(printable(run), room) for run in comparison.runs]}


def _split(
    comparison: Comparison, columns: Sequence[ColumnName], room: int
) -> tuple[Sequence[ColumnName], Sequence[ColumnName]]:
    count = _fitting([_column_width(comparison, name) + GAP for name in columns], room)
    return columns[:count], columns[count:]


def _title(name: ColumnName) -> str:
    return printable(name.own)


def _column_width(comparison: Comparison, name: ColumnName) -> int:
    return max(len(_title(name)), COURSE + 1 + _value_width(comparison, name))


def _value_width(comparison: Comparison, name: str) -> int:
    return max(len(_last(results, name)) for results in comparison.runs.values())


def _last(results: Results, name: str) -> str:
    return number(results.columns[name][-1]) if results.columns.get(name) else "–"


def _block(comparison: Comparison, names: Mapping[str, list[str]], columns: Sequence[ColumnName]) -> Table:
    table = plain_table(*names)
    for name in columns:
        table.add_column(Text(_title(name)), no_wrap=True, overflow="ellipsis")
    widths = {name: _value_width(comparison, name) for name in columns}
    for at, results in enumerate(comparison.runs.values()):
        cells = [
            _course(results, name) + Text(f" {_last(results, name):>{widths[name]}}") for name in columns
        ]
        table.add_row(*(foreign(values[at]) for values in names.values()), *cells)
    return table


def _course(results: Results, name: str) -> Text:
    """The sparkline of a column, each block in the colour of the phase that its last step lies in."""
    blocks = sparkline(results.columns.get(name, []), COURSE)
    line = Text()
    for block, (_, end) in zip(blocks, shares(len(results.steps), COURSE), strict=False):
        line.append(block, style=PHASES[_phase(results, results.steps[end - 1])])
    line.pad_right(COURSE - len(blocks))
    return line


def _phase(results: Results, step: int) -> str:
    if results.grokking_step is not None and step >= results.grokking_step:
        return "grokked"
    if results.memorisation_step is not None and step >= results.memorisation_step:
        return "memorised"
    return "before"
