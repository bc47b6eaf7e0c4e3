"""How `predict` shows what foretells grokking, and what the papers' hypotheses came to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grokscope.hypothesis import ABOUT, Hypothesis
from grokscope.report.kit import foreign, plain_table
from grokscope.report.text import csv_of
from grokscope.statistics.judging import STYLES
from grokscope.statistics.predict import SIGNIFICANT, Prediction, Predictor
from grokscope.statistics.verdicts import RULE, Verdict

HEADERS, WIDTHS = ("interval", "p", "adj"), (6, 10, 5, 5)
BOTH_FIT = 74  # below it the two halves of the table come one after the other

Cells = Callable[[Predictor], Sequence[str | Text]]


def prediction_table(prediction: Prediction, width: int) -> RenderableType:
    """Return who takes part, how each column foretells whether and when, best first, and what to mind."""
    parts: list[RenderableType] = [*_participants(prediction)]
    whether = any(not math.isnan(row.auroc) for row in prediction.predictors)
    when = any(not math.isnan(row.r2) for row in prediction.predictors)
    if whether and when and width >= BOTH_FIT:
        parts += [Text(), _table(prediction, [("AUROC", _whether), ("R²", _when)])]
    else:
        for shown, half in ((whether, ("AUROC", _whether)), (when, ("R²", _when))):
            parts += [Text(), _table(prediction, [half])] if shown else []
    if whether or when:
        share = f"{prediction.confidence:.0%}"
        legend = [f"interval: {share} bootstrap", "adj: p corrected by Holm over all rows"]
        legend += ["AUROC: 0.5 is chance; + larger values grok, - smaller ones do"] if whether else []
        legend += ["R²: of the log grokking step; 0 is as good as its mean"] if when else []
        parts += [Text(), *(Text(line, style="dim") for line in legend)]
    parts += [Text()] if prediction.warnings else []
    parts += [Text("! ", style="bold yellow") + foreign(warning, "yellow") for warning in prediction.warnings]
    return Group(*parts)


def _participants(prediction: Prediction) -> Iterable[Text]:
    runs, yes = len(prediction.outcomes), sum(prediction.outcomes.values())
    cut = "each run's memorisation step" if prediction.until is None else f"step {prediction.until}"
    within = "as far as they go" if prediction.budget is None else f"by step {prediction.budget}"
    yield Text(f"up to {cut}: {runs} runs, of which {yes} grok {within} and {runs - yes} do not")
    reasons: dict[str, list[str]] = {}
    for run, why in prediction.excluded.items():
        reasons.setdefault(why, []).append(run)
    for why, names in reasons.items():
        yield foreign(f"left out: {', '.join(names)}: {why}", "dim")


def _table(prediction: Prediction, halves: Sequence[tuple[str, Cells]]) -> RenderableType:
    """One grid for all columns, so that a column's long name does not widen it."""
    parts: list[RenderableType] = []
    head = _grid(halves)
    head.add_row("", *(Text(word, style="bold") for name, _ in halves for word in (name, *HEADERS)))
    parts.append(head)
    for column, rows in _best_first(prediction.predictors):
        grid = _grid(halves)
        for row in rows:
            grid.add_row(f" {row.feature}", *(cell for _, cells in halves for cell in cells(row)))
        parts += [foreign(column, "bold"), grid]
    return Group(*parts)


def _grid(halves: Sequence[tuple[str, Cells]]) -> Table:
    grid = plain_table(show_header=False)
    grid.add_column(width=6, no_wrap=True)
    for width in WIDTHS * len(halves):
        grid.add_column(width=width, justify="right", no_wrap=True)
    return grid


def _best_first(rows: Sequence[Predictor]) -> Iterable[tuple[str, list[Predictor]]]:
    columns: dict[str, list[Predictor]] = {}
    for row in rows:
        columns.setdefault(row.column, []).append(row)

    def best(rows: Sequence[Predictor]) -> tuple[float, float]:
        return min((_last(row.p), _last(row.r2_p)) for row in rows)

    return sorted(columns.items(), key=lambda item: best(item[1]))


def _last(p: float) -> float:
    return math.inf if math.isnan(p) else p


def _whether(row: Predictor) -> Sequence[str | Text]:
    value = f"{row.sign} {_two(row.auroc)}".strip()
    return _cells(value, row.auroc_low, row.auroc_high, row.p, row.p_adjusted)


def _when(row: Predictor) -> Sequence[str | Text]:
    return _cells(_two(row.r2), row.r2_low, row.r2_high, row.r2_p, row.r2_p_adjusted)


def _cells(value: str, low: float, high: float, p: float, adjusted: float) -> Sequence[Text]:
    style = "bold green" if adjusted < SIGNIFICANT else ""
    interval = "–" if math.isnan(low) else f"{_two(low)}…{_two(high)}"
    return [Text(value, style=style), Text(interval), Text(_p(p)), Text(_p(adjusted), style=style)]


def _two(value: float) -> str:
    return "–" if math.isnan(value) else "<-1" if value < -1 else f"{value:.2f}"


def _p(p: float) -> str:
    return "–" if math.isnan(p) else "<.001" if p < 0.001 else f"{p:.3f}"


def verdicts_table(verdicts: Sequence[Verdict]) -> RenderableType:
    """Return the verdicts that there are, with claim and numbers, then what could not be tested and why."""
    parts: list[RenderableType] = []
    for verdict in (each for each in verdicts if not each.missing):
        head = Text(verdict.verdict, style=f"bold {STYLES[verdict.verdict]}") + foreign(
            f"  {verdict.name}", "bold"
        )
        parts += [head, _set_in(verdict.claim), _set_in(verdict.text), _set_in(verdict.source, "dim")]
    missing: dict[str, list[str]] = {}
    for verdict in (each for each in verdicts if each.missing):
        missing.setdefault(verdict.text, []).append(verdict.name)
    parts += [foreign(f"{', '.join(names)}: {why}", "dim") for why, names in missing.items()]
    parts += [Text(RULE, style="dim")]
    return Group(*parts)


def _set_in(words: str, style: str = "") -> Padding:
    return Padding(foreign(words, style), (0, 0, 0, 2))


def hypotheses_table(hypotheses: Mapping[str, Hypothesis]) -> RenderableType:
    """Return every hypothesis with its claim, what it compares, what it needs and its source."""
    parts: list[RenderableType] = []
    for name, hypothesis in hypotheses.items():
        about = ABOUT[hypothesis.about]
        if hypothesis.groups:
            about += f": {', '.join(hypothesis.groups)}"
        needs = f"needs {', '.join(hypothesis.columns)}; " if hypothesis.columns else ""
        parts += [
            foreign(name, "bold"),
            _set_in(hypothesis.claim),
            _set_in(hypothesis.rule, "dim"),
            _set_in(f"{about}; {needs}{hypothesis.source}", "dim"),
        ]
    return Group(*parts) if parts else Text("no plugin brings a hypothesis")


def prediction_csv(prediction: Prediction) -> str:
    """Return the rows as CSV, one for each column and feature."""
    columns = prediction.columns
    return csv_of(columns)


def as_dict(
    prediction: Prediction, verdicts: Sequence[Verdict], settings: Mapping[str, str]
) -> dict[str, Any]:
    """Return everything as plain data, for JSON; `settings` says what each run is a seed of."""
    return {
        "until": prediction.until,
        "budget": prediction.budget,
        "confidence": prediction.confidence,
        "runs": dict(prediction.outcomes),
        "settings": dict(settings),
        "excluded": dict(prediction.excluded),
        "predictors": [asdict(row) for row in prediction.predictors],
        "warnings": list(prediction.warnings),
        "hypotheses": [
            {**asdict(verdict), "numbers": dict(verdict.numbers), "effects": dict(verdict.effects)}
            for verdict in verdicts
        ],
    }
