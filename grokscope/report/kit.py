"""What all tables are made of: foreign text made harmless, the house's look, marks, names under headings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from grokscope.report.text import printable
from grokscope.results.names import ColumnName
from grokscope.run.outcome import Goal, goals_of

if TYPE_CHECKING:
    from grokscope.results.results import Results
    from grokscope.run import Run

MEMORISED, GROKKED = "M", "G"
OFTEN = {1: "", 2: " twice in a row", 3: " three times in a row"}
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


def transition_line(of: Run | Results, memorised: int | None, grokked: int | None) -> Text:
    """Return one line that says when the network memorised and when it grokked."""
    line, (learned, generalised) = Text(), goals_of(of.config)
    often = OFTEN[of.asked_in_a_row]
    if learned is None:
        line.append(f"nothing says when it memorises, by the outcome {printable(generalised.words)}")
    else:
        _say(line, MEMORISED, "memorised", learned, memorised, often)
    line.append("   ")
    _say(line, GROKKED, "grokked", generalised, grokked, often)
    if memorised is not None and grokked is not None:
        line.append(f"   delay {grokked - memorised} steps")
    return line


def _say(line: Text, mark: str, word: str, goal: Goal, step: int | None, often: str) -> None:
    words = printable(goal.words)
    if step is None:
        sign = "≥" if goal.above else "≤"
        line.append(f"not {word}: {words.replace(f' {sign}', f' is not {sign}')}{often}")
    else:
        line.append(mark, style=MARKS[mark])
        line.append(f" {word} at step {step} ({words})")
