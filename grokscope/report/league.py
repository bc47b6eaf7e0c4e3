"""How the league is told: the table, the sentence that it is for, and its rows as CSV, which read back."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.errors import UsageError
from grokscope.registry import Plugins
from grokscope.report.kit import Field, fitting, foreign, interval, p_value, plain_table, signed, without_end
from grokscope.report.text import csv_of, number, printable
from grokscope.results import ColumnName
from grokscope.statistics.league import RULE, League, Place, Sighting
from grokscope.statistics.league.fates import Fate
from grokscope.statistics.league.places import Share
from grokscope.statistics.transition import Between

LEAST_NAME = 18
NAMED = 5  # columns that foretell, in a sentence
UNSAID, CONTROL = "?", "control"
Knowledge = Mapping[ColumnName, str]  # what each column must know


def knowledge(plugins: Plugins) -> dict[ColumnName, str]:
    """Return in words what each column of installed measures must know beside weights and training inputs."""
    found = {}
    for each in plugins.registered:
        for column in each.measure.columns:
            known = each.measure.known_of(column)
            found[ColumnName(each.title, column.name)] = UNSAID if known is None else ", ".join(known)
    return found


def league_table(league: League, known: Knowledge, width: int) -> RenderableType:
    """Return every column by its rank, then the rule, the notes and what came out.

    Where the width is short the less important numbers go first; CSV and JSON have them all.
    """
    names = [printable(str(place.column)) for place in league.places]
    room = min(max(map(len, names), default=0), max(LEAST_NAME, width // 4))
    fields = fitting(league.places, _fields(known), width - room - 2)
    table = plain_table()
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for each in fields:
        table.add_column(each.header, justify=each.justify, no_wrap=True)
    for place, name in zip(league.places, names, strict=True):
        style = "bold green" if place.foretells else "dim italic" if place.control else ""
        table.add_row(foreign(without_end(name, room), style), *(each.say(place) for each in fields))
    legend = Text("\n").join(_legend(league, [each.header for each in fields]))
    return Group(_settings(league), Text(), table, Text(), legend, Text(), foreign(answer(league), "bold"))


def _fields(known: Knowledge) -> Sequence[Field]:
    return (
        Field("rank", lambda p: Text("–" if p.rank is None else str(p.rank)), 0),
        Field("foresight", lambda p: signed(p.foresight.mean), 1),
        Field("interval", lambda p: interval(p.foresight), 3, "left"),
        Field("p", lambda p: p_value(p.p_adjusted), 4),
        Field("ahead", lambda p: signed(p.ahead.mean), 2),
        Field("interval", lambda p: interval(p.ahead), 8, "left"),
        Field("changes", lambda p: Text(share(p.changes)), 14),
        Field("first", lambda p: Text(share(p.first)), 5),
        Field("alarms", lambda p: Text(share(p.alarms)), 6),
        Field("partial", lambda p: signed(p.partial.mean), 9),
        Field("AUROC", lambda p: Text(number(round(p.value.value, 2))), 7),
        Field("moved", lambda p: Text(number(round(p.moved.value, 2))), 10),
        Field("ms", lambda p: _few(p.ms, 3), 11),
        Field("resolution", lambda p: _few(p.resolution, 2), 13),
        Field("must know", lambda p: foreign(known_of(p, known), "dim"), 12, "left"),
    )


def known_of(place: Place, known: Knowledge) -> str:
    """Return what the measure of a column must know, in words."""
    return CONTROL if place.control else known.get(place.column, UNSAID)


def _few(value: float, digits: int) -> Text:
    return Text("–" if math.isnan(value) else f"{value:.{digits}g}")


def share(of: Share) -> str:
    """Return in how many runs of how many, and in brackets in how many settings in most of them."""
    return f"{of.runs}/{of.of_runs} ({of.settings})" if of.of_runs else "–"


def _settings(league: League) -> Table:
    table = plain_table(show_header=False)
    for words, settings in (("grok", league.grok), ("never do", league.never)):
        named = ", ".join(f"{name} ({runs})" for name, runs in settings.items())
        table.add_row(Text(words, "bold"), foreign(f"{len(settings)} settings: {named}"))
    return table


def _legend(league: League, shown: Sequence[str]) -> Iterable[Text]:
    words = {
        "foresight": "what columns are ranked by, with its interval over settings",
        "p": f"that it is 0, after Holm over {league.tested} columns",
        "ahead": "log10 steps before test accuracy's own change, in runs that grok in which it changes",
        "changes": "the runs that grok in which it does, before test accuracy or after",
        "first": "of the runs that grok, those in which it changes before test accuracy (settings)",
        "alarms": "of the runs that never do, those in which it changes likewise",
        "partial": "rank correlation with test accuracy, weight norm and train loss taken out",
        "AUROC": "of `will grok` by its value at memorisation, both settings of a pair left out",
        "moved": "likewise, by how far it has moved since the start",
        "ms": "of the processor at one checkpoint, without what measures share",
        "resolution": "log10 steps from one of its values to the next: nothing closer can be told apart",
        "must know": "beside weights and training inputs; end: the last checkpoint",
    }
    for header in shown:
        if header in words:
            yield Text(f"{header}: ", "bold dim") + Text(words[header], "dim")
    yield Text(RULE, "dim")
    for note in league.notes:
        yield foreign(note, "yellow")


def outcome(league: League) -> str:
    """Return in a sentence whether anything foretells, in how many settings."""
    over = f"{len(league.grok)} settings that grok and {len(league.never)} that never do"
    found = [printable(str(place.column)) for place in league.foretelling]
    if not league.tested:
        return f"Nothing can be said of {league.columns} columns over {over}."
    if not found:
        return f"Nothing foretells: none of {league.columns} columns over {over}."
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{len(found)} of {league.columns} columns foretell over {over}: {', '.join(found[:NAMED])}{more}."


def answer(league: League) -> str:
    """Return the outcome, and where the controls stand."""
    stand = [f"{place.column.column} {_place(league, place)}" for place in league.places if place.control]
    return f"{outcome(league)} The controls: {', '.join(stand)}." if stand else outcome(league)


def _place(league: League, place: Place) -> str:
    return f"place {league.place(place.column)}" + ("" if place.rank is None else f" (rank {place.rank})")


def as_dict(league: League, known: Knowledge) -> dict[str, Any]:
    """Return the league as plain values, ready for JSON."""
    plain = league.as_dict()
    for row, place in zip(plain["places"], league.places, strict=True):
        row["must_know"] = known_of(place, known)
    return {**plain, "answer": answer(league)}


def league_csv(league: League, known: Knowledge) -> str:
    """Return one row for each column, by rank."""
    rows = [{**place.as_dict(), "must_know": known_of(place, known)} for place in league.places]
    return csv_of({name: [row[name] for row in rows] for name in (rows[0] if rows else ())})


ROWS = (
    *("setting", "run", "groks", "start", "end_after", "end_until", "column"),
    *("shape", "change_after", "change_until", "partial", "value", "moved", "ms", "resolution", "left_out"),
)

LATER = "resolution"  # runs take hours: files that were written before it was there are read too


def rows_csv(rows: Sequence[Sighting], excluded: Mapping[str, str]) -> str:
    """Return one row for each run and column, and one for each run that is left out.

    A measure that has no value in a run stands there with the reason why.

    It is all that the league is made of: `read_rows` reads it back.
    """
    table = [
        (
            *(row.fate.setting, row.run, "yes" if row.fate.groks else "no", row.fate.start),
            *(row.fate.end.after, row.fate.end.until, str(row.column), row.shape),
            *((row.change.after, row.change.until) if row.change else ("", "")),
            *(row.partial, row.value, row.moved, row.ms, row.resolution, row.absent),
        )
        for row in rows
    ]
    table += [("", run, *[""] * (len(ROWS) - 3), why) for run, why in excluded.items()]
    return csv_of(
        dict(zip(ROWS, zip(*table, strict=True), strict=True)) if table else dict.fromkeys(ROWS, ())
    )


def read_rows(*paths: Path) -> tuple[list[Sighting], dict[str, str]]:
    """Return what `rows_csv` wrote, of several files as of one.

    Raises UsageError where a file is none of it, or says of a run another thing than one before it.
    """
    runs: dict[str, list[Mapping[str, str]]] = {}
    rows: list[Sighting] = []
    for path in paths:
        new: dict[str, list[Mapping[str, str]]] = {}
        try:
            for row in _read(path):
                new.setdefault(row["run"], []).append(row)
                if row["column"] and row["run"] not in runs:
                    rows.append(_sighting(row))
        except (OSError, ValueError, csv.Error) as error:
            raise UsageError(f"{path} must be a CSV file that --rows wrote: {error}") from error
        for run, told in new.items():
            if told != runs.get(run, told):
                raise UsageError(
                    f"{path} must say of run {run} what the files before it say: leave one of them out"
                )
        runs |= new
    return rows, {run: told[0]["left_out"] for run, told in runs.items() if not told[0]["column"]}


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        if tuple(table.fieldnames or ()) not in (ROWS, tuple(name for name in ROWS if name != LATER)):
            raise UsageError(f"{path} must have the columns {', '.join(ROWS)}, as --rows writes them")
        return list(table)


def _sighting(row: Mapping[str, str]) -> Sighting:
    def value(name: str) -> float:
        return float(row[name]) if row.get(name) else math.nan

    end = Between(int(row["end_after"]), int(row["end_until"]))
    change = Between(int(row["change_after"]), int(row["change_until"])) if row["change_after"] else None
    return Sighting(
        row["run"],
        Fate(row["setting"], row["groks"] == "yes", int(row["start"]), end),
        ColumnName.read(row["column"]),
        row["shape"],
        change,
        partial=value("partial"),
        value=value("value"),
        moved=value("moved"),
        ms=value("ms"),
        resolution=value("resolution"),
        absent=row["left_out"],
    )
