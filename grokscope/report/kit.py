"""What all tables are made of: foreign text made harmless, the house's look, marks, names under headings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from rich.table import Table
from rich.text import Text

from grokscope.report.text import printable
from grokscope.results.names import ColumnName
from grokscope.run.config import RECORDED
from grokscope.run.outcome import Goal, goals_of

if TYPE_CHECKING:
    from grokscope.results.results import Results
    from grokscope.run import Run
    from grokscope.statistics.over_runs import Mean

GAP = 2
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


class Field(NamedTuple):
    """A table's column: its header, what it says of a row, its turn when room is given out."""

    header: str
    say: Callable[[Any], Text]
    turn: int
    justify: Literal["left", "right"] = "right"


def fitting(rows: Sequence[Any], fields: Sequence[Field], width: int) -> list[Field]:
    """Return the fields that fit into the width, in their order."""
    room = width
    chosen = []
    for field in sorted(fields, key=lambda field: field.turn):
        room -= GAP + max([len(field.header), *(len(field.say(row)) for row in rows)])
        if room < 0:
            break
        chosen.append(field)
    return [field for field in fields if field in chosen]


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


def without_end(name: str, room: int) -> str:
    """Return a column's name that is not too long: its beginning says what it is."""
    return name if len(name) <= room else name[: room - 1] + "…"


def transition_line(of: Run | Results, memorised: int | None, grokked: int | None) -> Text:
    """Return one line that says when the network memorised and when it grokked."""
    line, (learned, generalised) = Text(), goals_of(of.config)
    often = OFTEN[of.asked_in_a_row]
    if unknown := _unknown(of, generalised):
        return Text(unknown)
    if learned is None:
        line.append(f"nothing says when it memorises, by the outcome {printable(generalised.words)}")
    else:
        _say(line, MEMORISED, "memorised", learned, memorised, often)
    line.append("   ")
    _say(line, GROKKED, "grokked", generalised, grokked, often)
    if memorised is not None and grokked is not None:
        line.append(f"   delay {grokked - memorised} steps")
    return line


def _unknown(of: Run | Results, generalised: Goal) -> str:
    """Return why nothing says whether it memorised or grokked, and what does; nothing where it is known."""
    if not generalised.is_usual or _tells(of, "test_accuracy"):
        return ""
    if _tells(of, "test_loss"):
        return (
            "nothing says when it memorised or grokked, since it has no accuracies: import or record it with "
            "an outcome, as --outcome test_loss --below 0.1"
        )
    if RECORDED not in of.config:  # imported weights that are not finite have no accuracies
        return ""
    return (
        "it is not known when it memorised or grokked, since its accuracies were not computed: measure fit, "
        "and import or record it with an outcome, as --outcome fit.test_accuracy --above 0.95"
    )


def _tells(of: Run | Results, metric: str) -> bool:
    """Whether the curve has the metric anywhere, or there is nothing yet that could have it."""
    import numpy as np

    from grokscope.results.results import Results

    curve = of.curve if isinstance(of, Results) else of.curves
    return not (curve and of.steps) or bool(np.isfinite(curve[metric]).any())


def _say(line: Text, mark: str, word: str, goal: Goal, step: int | None, often: str) -> None:
    words = printable(goal.words)
    if step is None:
        sign = "≥" if goal.above else "≤"
        line.append(f"not {word}: {words.replace(f' {sign}', f' is not {sign}')}{often}")
    else:
        line.append(mark, style=MARKS[mark])
        line.append(f" {word} at step {step} ({words})")


def signed(value: float) -> Text:
    """Return a number with its sign, a dash for what is missing."""
    return Text("–", "dim") if math.isnan(value) else Text(f"{value:+.2f}")


def interval(of: Mean) -> Text:
    """Return the limits of a mean's interval, nothing where it has none."""
    return Text("" if math.isnan(of.low) else f"{of.low:+.2f} {of.high:+.2f}", "dim")


def p_value(value: float) -> Text:
    """Return a p-value."""
    if math.isnan(value):
        return Text("–", "dim")
    return Text("<0.001" if value < 0.001 else f"{value:.3f}")
