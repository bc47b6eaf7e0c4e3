"""What all tables are made of: foreign text made harmless, the house's look, marks, names under headings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from grokscope.report.text import printable
from grokscope.results import ColumnName
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT

MEMORISED, GROKKED = "M", "G"
MARKS = {MEMORISED: "bold yellow", GROKKED: "bold green"}


def foreign(content: object, style: str = "") -> Text:
    """Return foreign text: never read as markup, never able to move the cursor."""
    return Text(printable(str(content)), style=style)


def plain_table(*headers: str, **options: Any) -> Table:
    """Return an empty table in the house's look."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", **options)
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def headed_measures(shown: Sequence[ColumnName]) -> list[str]:
    """The measures that have several rows, and so a heading of their own."""
    rows = Counter(name.measure for name in shown)
    return [measure for measure, count in rows.items() if count > 1]


def row_names(shown: Sequence[ColumnName]) -> dict[ColumnName, str]:
    """What the first column shows: `column:label` under a measure's heading, else `measure.column`."""
    headed = headed_measures(shown)
    return {name: f"  {name.own}" if name.measure in headed else name.alone for name in shown}


def without_beginning(name: str, room: int) -> str:
    """Return a run's name that is not too long: it is the end that tells runs apart."""
    return name if len(name) <= room else "…" + name[len(name) + 1 - room :]


def transition_line(memorised: int | None, grokked: int | None) -> Text:
    """Return one line that says when the network memorised and when it grokked."""
    line = Text()
    if memorised is None:
        line.append(f"not memorised: train accuracy is not ≥ {100 * MEMORISED_AT:g} % three times in a row")
    else:
        line.append(MEMORISED, style=MARKS[MEMORISED])
        line.append(f" memorised at step {memorised} (train accuracy ≥ {100 * MEMORISED_AT:g} %)")
    line.append("   ")
    if grokked is None:
        line.append(f"not grokked: test accuracy is not ≥ {100 * GROKKED_AT:g} % three times in a row")
    else:
        line.append(GROKKED, style=MARKS[GROKKED])
        line.append(f" grokked at step {grokked} (test accuracy ≥ {100 * GROKKED_AT:g} %)")
    if memorised is not None and grokked is not None:
        line.append(f"   delay {grokked - memorised} steps")
    return line
