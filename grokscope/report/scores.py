"""The tables of `grokscope score`: what every column says over the runs, fitted to a width."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.report.kit import (
    GROKKED,
    MARKS,
    MEMORISED,
    Field,
    fitting,
    foreign,
    interval,
    p_value,
    plain_table,
    row_names,
    signed,
    without_beginning,
    without_end,
)
from grokscope.report.ranked import answer, in_order
from grokscope.report.text import csv_of, printable
from grokscope.results import ColumnName, Comparison
from grokscope.statistics.evidence import EDGE
from grokscope.statistics.score import Scores

LEAST_NAME = 14  # characters of a column's name that stay
VERDICTS = {
    "leads": "bold green",
    "lags": "yellow",
    "coincides": "cyan",
    "confounded": "red",
    "twin": "red",
    "unresolved": "dim",
    "undecided": "dim",
}
CHANGE = "A"  # test accuracy's own change, beside M and G


def scores_table(scores: Scores, width: int, sort: str = "measure") -> RenderableType:
    """Return when each run groks, what every column says over the runs, or of one run, and what moved first.

    Where the width is short the less important numbers go first; CSV and JSON have them all. `sort` is one of
    `SORTS`; where it is not `measure`, rows are no longer under headings of their measures.
    """
    several = len(scores.reference) > 1
    rows: Sequence[Any] = in_order(scores.summaries if several else scores.rows, sort)
    grouped = sort == "measure"
    room = _room_for_names(rows, width, grouped)
    shown = fitting(rows, _over_runs(scores) if several else _ONE_RUN, width - room)
    legend = Text("\n").join(_legend(scores, [field.header for field in shown]))
    table = _table(rows, shown, room, grouped)
    return Group(_steps(scores, width), Text(), table, Text(), legend, Text(), foreign(answer(scores)))


def _over_runs(scores: Scores) -> Sequence[Field]:
    changes: dict[str, list[float]] = {}
    for row in scores.rows:
        if row.change is not None and row.grokking_step is not None:
            changes.setdefault(row.column, []).append(row.change.middle)
    return (
        Field("change", lambda s: _step(changes.get(s.column), s.unresolved > 0), 5),
        Field("lead", lambda s: signed(s.lead.mean), 8),
        Field("ahead", lambda s: signed(s.ahead.mean), 1),
        Field("interval", lambda s: interval(s.ahead), 4, "left"),
        Field("p", lambda s: p_value(s.p.adjusted), 2),
        Field("sign p", lambda s: p_value(s.p.signs_adjusted), 11),
        Field("rho", lambda s: signed(s.correlations.spearman.mean), 7),
        Field("tau", lambda s: signed(s.correlations.kendall.mean), 10),
        Field("partial", lambda s: _partial(s.correlations.partial.mean, s.twin), 6),
        Field("interval", lambda s: interval(s.correlations.partial), 9, "left"),
        Field("verdict", lambda s: Text(s.verdict, VERDICTS[s.verdict]), 0, "left"),
        Field("why", lambda s: Text(s.judgement.reason, "dim"), 3, "left"),
    )


_ONE_RUN: Sequence[Field] = (
    Field("change", lambda s: _step(s.change and [s.change.middle], not s.resolved), 0),
    Field("shape", lambda s: Text(s.shape or "–"), 7, "left"),
    Field("lead", lambda s: Text("–" if math.isnan(s.lead) else f"{s.lead:+.0f}"), 1),
    Field("log lead", lambda s: signed(s.log_lead), 5),
    Field("ahead", lambda s: signed(s.ahead), 4),
    Field("rho", lambda s: signed(s.spearman), 3),
    Field("tau", lambda s: signed(s.kendall), 6),
    Field("partial", lambda s: _partial(s.partial, s.twin), 2),
)


def _room_for_names(rows: Sequence[Any], width: int, grouped: bool) -> int:
    names = _names([row.column for row in rows], grouped)
    if grouped:
        names += [printable(row.column.measure) for row in rows]
    return min(max(map(len, names), default=0), max(LEAST_NAME, width // 3))


def _names(columns: Sequence[ColumnName], grouped: bool) -> list[str]:
    """What the first column shows: `column:label` under its measure's heading; alone, the measure's name."""
    if not grouped:
        return [printable(str(name)) for name in columns]
    return [printable(name) for name in row_names(columns).values()]


def _table(rows: Sequence[Any], fields: Sequence[Field], room: int, grouped: bool) -> Table:
    table = plain_table()
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for field in fields:
        table.add_column(field.header, justify=field.justify, no_wrap=True)
    heading = ""
    for row, name in zip(rows, _names([row.column for row in rows], grouped), strict=True):
        measure = row.column.measure
        if name.startswith(" ") and measure != heading:
            table.add_row(foreign(without_end(measure, room), "bold"))
        heading = measure
        title = foreign(without_end(name, room), "bold" if grouped and not name.startswith(" ") else "")
        table.add_row(title, *(field.say(row) for field in fields))
    return table


def _steps(scores: Scores, width: int) -> Table:
    """One line per run: when it memorises, when test accuracy changes, when it groks."""
    table = plain_table("run")
    for mark, style, header in (
        (MEMORISED, MARKS[MEMORISED], "memorised"),
        (CHANGE, "bold cyan", "accuracy"),
        (GROKKED, MARKS[GROKKED], "grokked"),
    ):
        head = Text(f"{mark} ", style) + Text(header if width >= 60 else "", "bold")
        table.add_column(head, justify="right", no_wrap=True)
    seen = {row.run: (row.memorisation_step, row.grokking_step) for row in scores.rows}
    room = max(LEAST_NAME, width - (43 if width >= 60 else 24))
    for run, changed in scores.reference.items():
        memorised, grokked = seen.get(run, (None, None))
        shown = ["–" if step is None else str(step) for step in (memorised, changed, grokked)]
        table.add_row(foreign(without_beginning(printable(run), room)), *shown)
    return table


def _legend(scores: Scores, shown: Sequence[str]) -> Iterable[Text]:
    control = printable(scores.control)
    several = len(scores.reference) > 1
    reached = scores.outcome or f"test accuracy ≥ {scores.test:.0%}"
    start = "the memorisation step" if scores.since == "memorisation" else "the start"
    words = {
        "change": f"step of its clearest change from {start} on, the middle between two checkpoints"
        + ("; the median" if several else "")
        + f"; ≤: within {EDGE} checkpoints of where the search begins, it may be earlier",
        "lead": f"before grokking ({printable(reached)}), " + ("log10" if several else "steps"),
        "log lead": "log10 of the ratio of the two steps",
        "ahead": f"before test accuracy's own change ({CHANGE}), log10",
        "p": f"Student's test of ahead, Holm-corrected over {scores.columns_tested} columns",
        "sign p": "sign test of ahead, likewise corrected",
        "interval": f"{scores.confidence:.0%} interval over the runs, of what is left of it",
        "why": "what the verdict rests on: in how many runs it changes before test accuracy; or in how many "
        "its change is clear, of one shape, or at the edge of the search; --json has sentences",
        "rho": "Spearman with test accuracy",
        "tau": "Kendall with test accuracy",
        "partial": f"rho with {control} taken out; twin: it is that column in other words",
    }
    for header in dict.fromkeys(shown):
        if header in words:
            yield Text(f"{header}: ", "bold dim") + Text(words[header], "dim")
    for note in scores.notes:
        yield foreign(note, "yellow")


def _step(steps: Sequence[float] | None, unresolved: bool) -> Text:
    mark = "≤" if unresolved else ""
    return Text(f"{mark}{median(steps):.0f}") if steps else Text("–", "dim")


def _partial(value: float, twin: bool) -> Text:
    return Text("twin", "dim") if twin else signed(value)


def scores_csv(scores: Scores, comparison: Comparison, summary: bool = False) -> str:
    """Return the scores as CSV: one row per column, or per run and column.

    In the latter case with the settings in which the runs differ.
    """
    rows: list[dict[str, Any]]
    if summary:
        rows = [summary.as_dict() for summary in scores.summaries]
    else:
        rows = [{"run": row.run, **comparison.settings_of(row.run), **asdict(row)} for row in scores.rows]
    return csv_of({name: [row[name] for row in rows] for name in (rows[0] if rows else ())})
