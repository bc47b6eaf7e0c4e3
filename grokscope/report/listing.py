"""The tables of `list` and `doctor`: a row per run, a row per thing that was looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from grokscope.doctor import Check
from grokscope.report.kit import foreign, plain_table
from grokscope.run.sites import Site

COLUMNS: dict[str, Literal["left", "right"]] = {
    "run": "left",
    "task": "left",
    "recipe": "left",
    "seed": "right",
    "step": "right",
    "train %": "right",
    "test %": "right",
    "MB": "right",
}
STATES = {"finished": "green", "unfinished": "yellow", "imported": "cyan", "recorded": "cyan"}


def listing_table(rows: Iterable[Mapping[str, Any]], folder: Site) -> RenderableType:
    """Return a row for each run, its name as it stands below `folder`."""
    rows = list(rows)
    table: Table = plain_table()
    for header, justify in COLUMNS.items():
        table.add_column(header, justify=justify, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(
            foreign(_below(row["run"], folder), "bold"),
            foreign(row["task"]),
            foreign(row["recipe"] or "–"),
            str(row["seed"]),
            Text(_reached(row), style=STATES[row["state"]]),
            _share(row["train_accuracy"]),
            _share(row["test_accuracy"]),
            f"{row['bytes'] / 1e6:.1f}",
        )
    total = sum(row["bytes"] for row in rows) / 1e6
    count = f"{len(rows)} run{'s' if len(rows) != 1 else ''}"
    notes = [foreign(f"{row['run']}: {problem}", "yellow") for row in rows for problem in row["problems"]]
    return Group(table, Text(), Text(f"{count}, {total:.1f} MB", style="dim"), *notes)


def _below(run: str, folder: Site) -> str:
    return folder.name if run == str(folder) else run.removeprefix(f"{folder}/")


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f}"


def _reached(row: Mapping[str, Any]) -> str:
    step = "–" if row["step"] is None else str(row["step"])
    return {"unfinished": f"{step}/{row['steps']}", "imported": f"{step} imported"}.get(row["state"], step)


def checks_table(checks: Sequence[Check]) -> RenderableType:
    """Return a row for each check, by group; what is amiss stands out."""
    table = plain_table(show_header=False)
    group = ""
    for check in checks:
        if check.group != group:
            if group:
                table.add_row()
            table.add_row(Text(check.group, style="bold cyan"))
            group = check.group
        table.add_row(foreign(f"  {check.name}"), foreign(check.found, "red" if check.amiss else ""))
    amiss = sum(check.amiss for check in checks)
    words = Text("all is well", style="green") if not amiss else Text(f"{amiss} amiss", style="red")
    return Group(table, Text(), words)
