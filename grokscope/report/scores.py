"""The tables of `grokscope score`: what every column says over the runs, fitted to a width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.report.kit import GROKKED, MARKS, MEMORISED, foreign, plain_table, row_names, without_beginning
from grokscope.report.ranked import answer, in_order
from grokscope.report.text import csv_of, printable
from grokscope.results import ColumnName, Comparison
from grokscope.statistics.evidence import EDGE
from grokscope.statistics.over_runs import Mean
from grokscope.statistics.score import Scores

GAP = 2
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


@dataclass(frozen=True)
class _Field:
    """A table's column: its header, what it says of a row, its turn when room is given out."""

    header: str
    say: Callable[[Any], Text]
    turn: int
    justify: Literal["left", "right"] = "right"


def scores_table(scores: Scores, width: int, sort: str = "measure") -> RenderableType:
    """Return when each run groks, what every column says over the runs, or of one run, and what moved first.

    Where the width is short the less important numbers go first; CSV and JSON have them all. `sort` is one of
    `SORTS`; where it is not `measure`, rows are no longer under headings of their measures.
    """
    several = len(scores.reference) > 1
    rows: Sequence[Any] = in_order(scores.summaries if several else scores.rows, sort)
    grouped = sort == "measure"
    room = _room_for_names(rows, width, grouped)
    shown = _fitting(rows, _over_runs(scores) if several else _ONE_RUN, width - room)
    legend = Text("\n").join(_legend(scores, [field.header for field in shown]))
    table = _table(rows, shown, room, grouped)
    return Group(_steps(scores, width), Text(), table, Text(), legend, Text(), foreign(answer(scores)))


def _over_runs(scores: Scores) -> Sequence[_Field]:
    changes: dict[str, list[float]] = {}
    for row in scores.rows:
        if row.change is not None and row.grokking_step is not None:
            changes.setdefault(row.column, []).append(row.change.middle)
    return (
        _Field("change", lambda s: _step(changes.get(s.column), s.unresolved > 0), 5),
        _Field("lead", lambda s: _signed(s.lead.mean), 8),
        _Field("ahead", lambda s: _signed(s.ahead.mean), 1),
        _Field("interval", lambda s: _interval(s.ahead), 4, "left"),
        _Field("p", lambda s: _p(s.p.adjusted), 2),
        _Field("sign p", lambda s: _p(s.p.signs_adjusted), 11),
        _Field("rho", lambda s: _signed(s.correlations.spearman.mean), 7),
        _Field("tau", lambda s: _signed(s.correlations.kendall.mean), 10),
        _Field("partial", lambda s: _partial(s.correlations.partial.mean, s.twin), 6),
        _Field("interval", lambda s: _interval(s.correlations.partial), 9, "left"),
        _Field("verdict", lambda s: Text(s.verdict, VERDICTS[s.verdict]), 0, "left"),
        _Field("why", lambda s: Text(s.judgement.reason, "dim"), 3, "left"),
    )


_ONE_RUN: Sequence[_Field] = (
    _Field("change", lambda s: _step(s.change and [s.change.middle], not s.resolved), 0),
    _Field("shape", lambda s: Text(s.shape or "–"), 7, "left"),
    _Field("lead", lambda s: Text("–" if math.isnan(s.lead) else f"{s.lead:+.0f}"), 1),
    _Field("log lead", lambda s: _signed(s.log_lead), 5),
    _Field("ahead", lambda s: _signed(s.ahead), 4),
    _Field("rho", lambda s: _signed(s.spearman), 3),
    _Field("tau", lambda s: _signed(s.kendall), 6),
    _Field("partial", lambda s: _partial(s.partial, s.twin), 2),
)


def _room_for_names(rows: Sequence[Any], width: int, grouped: bool) -> int:
    names = _names([row.column for row in rows], grouped)
    if grouped:
        names += [printable(row.column.measure) for row in rows]
    return min(max(map(len, names), default=0), max(LEAST_NAME, width // 3))


def _without_end(name: str, room: int) -> str:
    """A column's name that is not too long: its beginning says what it is."""
    return name if len(name) <= room else name[: room - 1] + "…"


def _fitting(rows: Sequence[Any], fields: Sequence[_Field], width: int) -> list[_Field]:
    """The fields that fit into the width, in their order."""
    room = width
    chosen = []
    for field in sorted(fields, key=lambda field: field.turn):
        room -= GAP + max([len(field.header), *(len(field.say(row)) for row in rows)])
        if room < 0:
            break
        chosen.append(field)
    return [field for field in fields if field in chosen]


def _names(columns: Sequence[ColumnName], grouped: bool) -> list[str]:
    """What the first column shows: `column:label` under its measure's heading; alone, the measure's name."""
    if not grouped:
        return [printable(str(name)) for name in columns]
    return [printable(name) for name in row_names(columns).values()]


def _table(rows: Sequence[Any], fields: Sequence[_Field], room: int, grouped: bool) -> Table:
    table = plain_table()
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for field in fields:
        table.add_column(field.header, justify=field.justify, no_wrap=True)
    heading = ""
    for row, name in zip(rows, _names([row.column for row in rows], grouped), strict=True):
        measure = row.column.measure
        if name.startswith(" ") and measure != heading:
            table.add_row(foreign(_without_end(measure, room), "bold"))
        heading = measure
        title = foreign(_without_end(name, room), "bold" if grouped and not name.startswith(" ") else "")
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
    return Text("twin", "dim") if twin else _signed(value)


def _signed(value: float) -> Text:
    return Text("–", "dim") if math.isnan(value) else Text(f"{value:+.2f}")


def _interval(of: Mean) -> Text:
    return Text("" if math.isnan(of.low) else f"{of.low:+.2f} {of.high:+.2f}", "dim")


def _p(value: float) -> Text:
    if math.isnan(value):
        return Text("–", "dim")
    return Text("<0.001" if value < 0.001 else f"{value:.3f}")


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
