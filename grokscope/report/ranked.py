"""In which order scored columns stand, and the sentence that scoring is for: what moved first, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, get_args

from grokscope.report.text import printable
from grokscope.statistics.evidence import Summary, Verdict
from grokscope.statistics.one_run import Score
from grokscope.statistics.score import Scores

NEXT = 2  # columns that are named after the first


def _number(value: float | None, largest: bool = False) -> float:
    """The place of a number: small ones first, or large ones; what is none comes last."""
    if value is None or math.isnan(value):
        return math.inf
    return -value if largest else value


def _mean(value: Any) -> float:
    """A score's number, or a summary's mean over the runs."""
    return float(getattr(value, "mean", value))


def _moved(row: Score | Summary) -> float | None:
    """The middle of the checkpoints between which it changes; of several runs the median."""
    rows = [row] if isinstance(row, Score) else row.grokked
    middles = [each.change.middle for each in rows if each.change is not None]
    return median(middles) if middles else None


def _rho(row: Any, kind: str) -> float:
    return abs(_mean(getattr(getattr(row, "correlations", row), kind)))


# By what `score --sort` sorts: of a row, the number that is small where it stands first.
SORTS: dict[str, Callable[[Any], float]] = {
    "measure": lambda row: 0.0,
    "ahead": lambda row: _number(_mean(row.ahead), largest=True),
    "lead": lambda row: _number(_mean(row.lead), largest=True),
    "change": lambda row: _number(_moved(row)),
    "rho": lambda row: _number(_rho(row, "spearman"), largest=True),
    "partial": lambda row: _number(_rho(row, "partial"), largest=True),
    "p": lambda row: _number(row.p.adjusted if isinstance(row, Summary) else None),
    "verdict": lambda row: (
        get_args(Verdict).index(row.verdict) if isinstance(row, Summary) else _number(row.ahead, largest=True)
    ),
}


def in_order(rows: Sequence[Any], sort: str) -> list[Any]:
    """Return scores, or summaries, sorted by one of `SORTS`; those that are equal as they were."""
    return sorted(rows, key=SORTS[sort])


def answer(scores: Scores) -> str:
    """Return in a sentence what moved first, and when; of several runs whether that is sure."""
    several = len(scores.reference) > 1
    rows: Sequence[Any] = scores.summaries if several else scores.rows
    first = [row for row in in_order(rows, "ahead") if _mean(row.ahead) > 0]
    own = [step for step in scores.reference.values() if step is not None]
    if not own:
        return "What moved first cannot be said: test accuracy has no clear change of its own."
    when = f"test accuracy's own change at {'a median of ' if several else ''}step {median(own):.0f}"
    if not first:
        return f"Nothing moved before {when}."
    sure = f" ({first[0].verdict}, {len(first[0].grokked)} runs that grok)" if several else ""
    others = " and ".join(_place(row) for row in first[1 : 1 + NEXT])
    return f"Moved first: {_place(first[0])}{sure}, before {when}{'; then ' + others if others else ''}."


def _place(row: Any) -> str:
    return f"{printable(str(row.column))} at step {_moved(row):.0f}"
