"""`grokscope report`: one HTML file of runs, to read, to send and to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.measuring import Wanted, end, rounds
from grokscope.cli.options import Measuring, Names, PerLayer, Runs, Watched, output, shared
from grokscope.cli.terminal import ready_for, say


@shared
def report(
    runs: Runs,
    *,
    file: Annotated[
        Path,
        output("The .html file; replaced if it is there."),
    ] = Path("report.html"),
    measure: Names = None,
    title: Annotated[str, typer.Option(help="The heading. Default: task and recipe.")] = "",
    pareto: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y", help="The columns of the Pareto plot when it opens. Default: synergy, redundancy."
        ),
    ] = None,
    per_layer: PerLayer = False,
    watch: Watched = False,
    asked: Measuring,
) -> None:
    """Write a report of runs as one HTML file, which opens in any browser, offline and without a server.

    It shows the runs, their curves, scores, phases and settings, and where every number comes from. With
    --watch it is written anew whenever there is something new, as for `analyze`.

    Examples:
        grokscope report runs/*
        grokscope report five/* -m weight_norm,oinfo -o five.html
    """
    from grokscope.discovery import load_plugins
    from grokscope.report.page import checked_path, write_report
    from grokscope.statistics.score import CONTROL
    from grokscope.statistics.transition import require_ruptures

    checked_path(file)  # before minutes of measuring
    require_ruptures()
    ready_for(file)
    plugins = load_plugins()
    wanted, control = Wanted.of(measure, plugins), plugins.column_of(CONTROL)
    axes = [name.strip() for name in pareto.split(",")] if pareto else None
    for found in rounds(runs, wanted.and_of(control), asked, watch=watch, plugins=plugins):
        if found.runs:
            shown = wanted.only(found, control)
            written = write_report(shown, file, title=title, per_layer=per_layer, pareto=axes)
            if written.is_file():
                say(f"{written}: {written.stat().st_size / 1e6:.2f} MB", asked.quiet)
    end(found)
