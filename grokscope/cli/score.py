"""`grokscope score`: which measure changes before test accuracy, how early, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.measuring import (
    Baseline,
    DataDir,
    Device,
    Names,
    Runs,
    Settings,
    Steps,
    Timeout,
    Workers,
    end,
    measured,
    titles,
    with_measure_of,
)
from grokscope.cli.options import Quiet
from grokscope.cli.terminal import data_width, deliver, print_data, print_json
from grokscope.cli.trusting import names_code

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


@names_code
def score(
    runs: Runs,
    measure: Names = None,
    steps: Steps = "all",
    settings: Settings = None,
    baseline: Baseline = None,
    train_threshold: Annotated[
        float, typer.Option(help="Train accuracy that counts as memorised, three evaluations in a row.")
    ] = 0.99,
    test_threshold: Annotated[
        float, typer.Option(help="Test accuracy that counts as grokked, likewise.")
    ] = 0.95,
    control: Annotated[
        str, typer.Option(metavar="COLUMN", help="What the partial correlation controls for.")
    ] = "weight_norm.l2_all",
    since: Annotated[
        Since, typer.Option(help="Look for changes from memorisation on, or from the start.")
    ] = Since.memorisation,
    x: Annotated[Axis, typer.Option("--x", help="The step axis on which changes are looked for.")] = Axis.log,
    confidence: Annotated[float, typer.Option(help="Of intervals and tests.")] = 0.95,
    per_layer: Annotated[bool, typer.Option("--per-layer", help="Score the columns by layer too.")] = False,
    csv_file: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Write CSV, one row per run and column; - is stdout."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="CSV with one row per column, over the runs.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
    workers: Workers = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Say which measure changes before test accuracy, how early, how surely, and beyond the weight norm.

    leads, lags: its change comes before, or after, test accuracy's own. coincides: within 12 % of the step.
    confounded: its correlation with test accuracy is strong, and gone when the control's ranks are taken out.
    undecided: none of these; fewer than five runs that grok decide nothing.
    """
    from grokscope.discovery import load_plugins
    from grokscope.statistics.score import score as scored

    plugins = load_plugins()
    asked = titles(plugins, measure)
    found = measured(
        runs,
        quiet=quiet,
        measures=with_measure_of(control, asked),
        steps=steps,
        settings=settings,
        baseline=baseline,
        device=device,
        data_dir=data_dir,
        workers=workers,
        timeout=timeout,
        plugins=plugins,
    )
    if found.runs:
        scores = scored(
            found,
            columns=_columns(found, asked, control, per_layer),
            train=train_threshold,
            test=test_threshold,
            control=control,
            scale=x.value,
            since=since.value,
            confidence=confidence,
        )
        _print(scores, found, csv_file, summary, json)
    end(found)


def _columns(found: Comparison, asked: Sequence[str], control: str, per_layer: bool) -> list[str]:
    """The columns of the measures asked for, and the control."""
    from grokscope.results.columns import shown_columns

    names = [name for name in shown_columns(found, per_layer) if name.measure in asked]
    return [*names] if control in names else [*names, control]


def _print(scores: Scores, found: Comparison, csv_file: str | None, summary: bool, json: bool) -> None:
    if csv_file is not None:
        from grokscope.report.scores import scores_csv

        deliver(scores_csv(scores, found, summary), csv_file)
    if json:
        print_json(scores.as_dict())
    elif csv_file != "-":
        from grokscope.report.scores import scores_table

        print_data(scores_table(scores, data_width()))
