"""`grokscope analyze`: measure the checkpoints of runs and print or export the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.measuring import (
    Baseline,
    DataDir,
    Device,
    Kept,
    Names,
    Runs,
    Settings,
    Steps,
    Timeout,
    Workers,
    end,
    measured,
)
from grokscope.cli.options import Quiet
from grokscope.cli.terminal import data_width, deliver, print_data, print_json
from grokscope.cli.trusting import names_code

if TYPE_CHECKING:
    from rich.console import RenderableType

    from grokscope.results import Comparison, Results


@names_code
def analyze(
    runs: Runs,
    measure: Names = None,
    steps: Steps = "all",
    settings: Settings = None,
    baseline: Baseline = None,
    csv_file: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV, one row per step; - is stdout.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    long: Annotated[bool, typer.Option("--long", help="CSV and JSON as tidy rows, one per number.")] = False,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Show the columns by layer in the table too.")
    ] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Compute again what is stored.")] = False,
    out: Kept = None,
    device: Device = "cpu",
    data_dir: DataDir = None,
    workers: Workers = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Measure the checkpoints of a run, or of several. What is stored already is not computed again.

    Of several runs, tables, CSV and JSON tell the run and the settings in which the runs differ.
    """
    found = measured(
        runs,
        quiet=quiet,
        measures=measure,
        steps=steps,
        settings=settings,
        baseline=baseline,
        refresh=refresh,
        out=out,
        device=device,
        data_dir=data_dir,
        workers=workers,
        timeout=timeout,
    )
    if found.runs:
        _print(next(iter(found.runs.values())) if len(runs) == 1 else found, csv_file, json, long, per_layer)
    end(found)


def _print(
    found: Results | Comparison, csv_file: str | None, json: bool, long: bool, per_layer: bool
) -> None:
    from grokscope.export import as_dict, csv_text

    if csv_file is not None:
        deliver(csv_text(found, long), csv_file)
    if json:
        print_json(list(found.long()) if long else as_dict(found))
    elif csv_file != "-":
        print_data(_table(found, per_layer))


def _table(found: Results | Comparison, per_layer: bool) -> RenderableType:
    from grokscope.results import Comparison

    if isinstance(found, Comparison):
        from grokscope.report.runs import comparison_table

        return comparison_table(found, data_width(), per_layer)
    from grokscope.report.tables import results_table

    return results_table(found, data_width(), per_layer)
