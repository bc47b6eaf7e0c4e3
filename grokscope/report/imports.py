"""What an import would write, before it does: a row for each checkpoint or revision, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from grokscope.importing.hub import Coming
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


def hub_view(coming: Sequence[Coming]) -> RenderableType:
    """Return the revisions that would be imported, the files that each brings, and how large they are."""
    table = plain_table("step", "revision", "commit", "files")
    table.add_column("MB", justify="right")
    for each in coming:
        step, revision, commit = str(each.revision.step), each.revision.name, each.revision.commit[:10]
        files = foreign(", ".join(each.files))
        table.add_row(step, foreign(revision), foreign(commit), files, f"{each.size / 1e6:.1f}")
    count, size = len(coming), sum(each.size for each in coming)
    words = (
        f"{count} revision{'' if count == 1 else 's'} to import, {size / 1e6:.1f} MB, one at a time on disk"
    )
    return Group(table, foreign(words, "dim"))


def hub_rows(coming: Sequence[Coming]) -> list[dict[str, Any]]:
    """Return a dict for each revision that would be imported: step, names, files, and their bytes."""
    return [{**asdict(each.revision), "files": list(each.files), "bytes": each.size} for each in coming]


def _shown(name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    return percent(value) if name.endswith("accuracy") else number(value)
