"""What an import would write, before it does: a row for each checkpoint, and what is wrong."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from grokscope.importing.session import Plan
from grokscope.report.kit import foreign, plain_table
from grokscope.report.text import number, percent
from grokscope.run.curves import CURVE_COLUMNS


def plan_view(plan: Plan) -> RenderableType:
    """Return the checkpoints that would be imported, and how many are there already."""
    table = plain_table("step", "from")
    for name in CURVE_COLUMNS:
        table.add_column(Text(name.replace("_", " ")), justify="right")
    for row in plan_rows(plan):
        shown = [_shown(name, row[name]) for name in CURVE_COLUMNS]
        table.add_row(str(row["step"]), foreign(row["from"]), *shown)
    known = len(plan.known.records)
    there = f"; {known} {'is' if known == 1 else 'are'} in {plan.out} already" if known else ""
    count = len(plan.new)
    return Group(table, foreign(f"{count} checkpoint{'' if count == 1 else 's'} to import{there}", "dim"))


def plan_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return a dict for each checkpoint that would be imported: step, where from, losses and accuracies."""
    return [
        {
            "step": item.record.step,
            "from": item.record.source + (f" [{item.record.position}]" if item.record.position >= 0 else ""),
            **dict(zip(CURVE_COLUMNS, item.record.point, strict=True)),
        }
        for item in plan.new
    ]


def _shown(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    return percent(value) if name.endswith("accuracy") else number(value)
