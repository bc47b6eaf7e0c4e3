"""`grokscope analyze`: measure the checkpoints of runs and print or export the numbers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.measuring import Wanted, end, rounds
from grokscope.cli.options import (
    Dask,
    Json,
    Measuring,
    Names,
    Output,
    PerLayer,
    Runs,
    Watched,
    ready_for_dask,
    shared,
)
from grokscope.cli.terminal import data_width, present, ready_for, stderr_console, stdout_to_stderr
from grokscope.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from grokscope.analysis.clock import Clock, Spent
    from grokscope.results import Comparison, Results


@shared
def analyze(
    runs: Runs,
    *,
    measure: Names = None,
    file: Output = None,
    json: Json = False,
    long: Annotated[bool, typer.Option("--long", help="CSV and JSON as tidy rows, one per number.")] = False,
    per_layer: PerLayer = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Compute again what is stored.")] = False,
    watch: Watched = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also show what the time went to, measure by measure.")
    ] = False,
    dask: Dask = None,
    asked: Measuring,
) -> None:
    """Measure the checkpoints of a run, or of several. What is stored already is not computed again.

    With --watch another process may still write them: what is new is measured as it comes, until every run
    has ended. Ctrl-C ends the watching before; all that was computed is stored. Several such commands on one
    run work by turns, and none computes what another has.

    Of several runs, tables, CSV and JSON tell the run and the settings in which the runs differ.

    With --dask it is computed on a Dask cluster, whose workers must see the same files and have the same
    grokscope and plugins. What has come back is stored, whatever becomes of the cluster.

    With --profile it also shows what the time went to, in all processes together: each measure's own, and
    what measures share. What is stored already takes none.

    Examples:
        grokscope analyze runs/* -m pmi,synergy
        grokscope analyze runs/* -m all --steps every:1000 -o numbers.csv
        grokscope analyze runs/* -m oinfo --set oinfo.variables=mean --results kept
    """
    ready_for(file)
    ready_for_dask(dask, asked.workers)
    if profile and json and long:
        raise UsageError("--profile must go with --json or with --long: tidy rows have no place for it")
    clock = _clock() if profile else None
    with stdout_to_stderr():
        from grokscope.discovery import MEASURING, load_plugins

        plugins = load_plugins(hooks=MEASURING)
    wanted = Wanted.of(measure, plugins)
    every = rounds(
        runs,
        wanted.measures,
        asked,
        watch=watch,
        dask=dask,
        refresh=refresh,
        plugins=plugins,
        clock=clock,
    )
    found = deque(every, maxlen=1).pop()  # a table is made of the last
    if found.runs:
        kept = wanted.only(found)
        shown = next(iter(kept.runs.values())) if len(runs) == 1 else kept
        _print(shown, file, json, long, per_layer, clock.take() if clock else None)
    end(found)


def _clock() -> Clock:
    from grokscope.analysis.clock import Clock

    return Clock()


def _print(
    found: Results | Comparison,
    file: str | None,
    json: bool,
    long: bool,
    per_layer: bool,
    spent: list[Spent] | None,
) -> None:
    profiles = [] if spent is None else [_profile_table(spent)]
    present(
        file,
        json,
        csv=lambda: _csv(found, long),
        plain=lambda: list(found.long()) if long else _plain(found) | _profile(spent),
        table=lambda: [_table(found, per_layer), *profiles],
    )
    if file == "-" and not json:
        for profile in profiles:
            stderr_console().print(profile)


def _csv(found: Results | Comparison, long: bool) -> str:
    from grokscope.export import measured_columns
    from grokscope.report.text import csv_of

    return csv_of(measured_columns(found, long))


def _plain(found: Results | Comparison) -> dict[str, Any]:
    from grokscope.export import as_dict

    return as_dict(found)


def _profile_table(spent: list[Spent]) -> RenderableType:
    from grokscope.report.profile import profile_table

    return profile_table(spent)


def _profile(spent: list[Spent] | None) -> dict[str, Any]:
    if spent is None:
        return {}
    from grokscope.report.profile import profile_rows

    return {"profile": profile_rows(spent)}


def _table(found: Results | Comparison, per_layer: bool) -> RenderableType:
    from grokscope.results import Comparison

    if isinstance(found, Comparison):
        from grokscope.report.runs import comparison_table

        return comparison_table(found, data_width(), per_layer)
    from grokscope.report.tables import results_table

    return results_table(found, data_width(), per_layer)
