"""`grokscope score`: which measure changes before test accuracy, how early, and how surely."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli import completing
from grokscope.cli.measuring import Wanted, end, measured
from grokscope.cli.options import Json, Measuring, Names, Output, PerLayer, Runs, Thresholds, shared
from grokscope.cli.terminal import data_width, present, ready_for
from grokscope.statistics import CONFIDENCE

if TYPE_CHECKING:
    from grokscope.results import Comparison
    from grokscope.statistics.score import Scores


class Axis(StrEnum):
    """The step axis."""

    log = "log"
    linear = "linear"


class Since(StrEnum):
    """From where on courses are looked at."""

    memorisation = "memorisation"
    start = "start"


class Sort(StrEnum):
    """The order of the table."""

    ahead = "ahead"
    lead = "lead"
    change = "change"
    rho = "rho"
    partial = "partial"
    p = "p"
    verdict = "verdict"
    measure = "measure"


@shared
def score(
    runs: Runs,
    *,
    measure: Names = None,
    thresholds: Thresholds,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            autocompletion=completing.column,
            help="What the partial correlation controls for. Default: the column that a measure declares so.",
        ),
    ] = None,
    since: Annotated[
        Since, typer.Option(help="Look for changes from memorisation on, or from the start.")
    ] = Since.memorisation,
    x: Annotated[Axis, typer.Option("--x", help="The step axis on which changes are looked for.")] = Axis.log,
    confidence: Annotated[float, typer.Option(help="Of intervals and tests.")] = CONFIDENCE,
    per_layer: PerLayer = False,
    file: Output = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="CSV with one row per column, over the runs.")
    ] = False,
    json: Json = False,
    sort: Annotated[
        Sort, typer.Option("--sort", help="What the table is sorted by; as measured: measure.")
    ] = Sort.ahead,
    asked: Measuring,
) -> None:
    """Say which measure changes before test accuracy, how early, how surely, and beyond the weight norm.

    leads, lags: its change comes before, or after, test accuracy's own. coincides: within 12 % of the step.
    confounded: its correlation with test accuracy is strong, and gone when the control's ranks are taken out.
    undecided: none of these; fewer than five runs that grok decide nothing.

    Examples:
        grokscope score five/*
        grokscope score five/* -m pmi,oinfo --sort partial -o scores.csv
    """
    from grokscope.discovery import load_plugins
    from grokscope.statistics.score import CONTROL
    from grokscope.statistics.score import score as scored
    from grokscope.statistics.transition import require_ruptures

    require_ruptures()
    ready_for(file)
    plugins = load_plugins()
    wanted = Wanted.of(measure, plugins)
    controlled = control or plugins.column_of(CONTROL)
    found = measured(runs, wanted.and_of(controlled), asked, plugins=plugins)
    if found.runs:
        names = wanted.columns(found, per_layer)
        scores = scored(
            found,
            columns=names if controlled in names else [*names, controlled],
            train=thresholds.train_threshold,
            test=thresholds.test_threshold,
            control=controlled,
            scale=x.value,
            since=since.value,
            confidence=confidence,
        )
        _print(scores, found, file, summary, json, sort)
    end(found)


def _print(
    scores: Scores, found: Comparison, file: str | None, summary: bool, json: bool, sort: Sort
) -> None:
    from grokscope.report.scores import scores_csv, scores_table

    present(
        file,
        json,
        csv=lambda: scores_csv(scores, found, summary),
        plain=scores.as_dict,
        table=lambda: [scores_table(scores, data_width(), sort.value)],
    )
