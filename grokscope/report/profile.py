"""Where the time of an analysis went, as a table and as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from grokscope.analysis.clock import Spent
from grokscope.report.kit import foreign, plain_table


def profile_table(spent: Sequence[Spent]) -> Table:
    """Return the parts, the longest first, and their sum. Milliseconds are those of one checkpoint."""
    table = plain_table("where the time went", "kind", "times", "ms each", "CPU ms each", "share")
    for column in table.columns[2:]:
        column.justify = "right"
    for part in profile_rows(spent):
        table.add_row(
            foreign(part["part"]),
            part["kind"],
            str(part["times"]),
            *(f"{part[name]:.4g}" for name in ("ms", "cpu_ms")),
            f"{100 * part['share']:.1f} %",
        )
    seconds = [sum(getattr(each, name) for each in spent) for name in ("seconds", "cpu")]
    table.add_row("all together", "", "", *(f"{each:.3g} s" for each in seconds), "")
    return table


def profile_rows(spent: Sequence[Spent]) -> list[dict[str, Any]]:
    """Return each part's name, kind, times, milliseconds each time, and its share of all seconds."""
    whole = sum(each.seconds for each in spent) or 1.0
    return [
        {
            "part": each.part,
            "kind": each.kind,
            "times": each.times,
            "ms": 1000 * each.seconds / each.times,
            "cpu_ms": 1000 * each.cpu / each.times,
            "share": each.seconds / whole,
        }
        for each in sorted(spent, key=lambda each: -each.seconds)
    ]
