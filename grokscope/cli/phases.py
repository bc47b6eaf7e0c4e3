"""`grokscope phases`: which phase each run's training is in, from synergy, redundancy and test loss."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.measuring import end, measured
from grokscope.cli.options import Json, Measuring, Output, Runs, shared
from grokscope.cli.terminal import data_width, present, ready_for

if TYPE_CHECKING:
    from grokscope.statistics.phases import Phases


@shared
def phases(
    runs: Runs,
    *,
    synergy: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of synergy. Default: the column that a measure declares so.",
            autocompletion=completing.column,
        ),
    ] = None,
    redundancy: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Of redundancy. Default: likewise.",
            autocompletion=completing.column,
        ),
    ] = None,
    file: Output = None,
    json: Json = False,
    asked: Measuring,
) -> None:
    """Show the phases of Clauw et al.: feature learning, emergence (also delayed), divergence, decoupling.

    They are the rises and falls of smoothed synergy that are more than its noise, named by redundancy and
    test loss; the rule is printed below the table. Where there is none, as in noise, there is nothing to see.

    What is not measured yet is measured and stored.

    Examples:
        grokscope phases runs/*
        grokscope phases five/* -o phases.csv
    """
    from grokscope.discovery import load_plugins
    from grokscope.results import ColumnName
    from grokscope.statistics.phases import REDUNDANCY, SYNERGY
    from grokscope.statistics.phases import phases as found_in

    ready_for(file)
    plugins = load_plugins()
    first = ColumnName.read(synergy or plugins.column_of(SYNERGY))
    second = ColumnName.read(redundancy or plugins.column_of(REDUNDANCY))
    found = measured(runs, list(dict.fromkeys((first.measure, second.measure))), asked, plugins=plugins)
    if found.runs:
        by_run = {
            run: found_in(results, synergy=first, redundancy=second) for run, results in found.runs.items()
        }
        from grokscope.report.phases import phases_csv, phases_table

        present(
            file,
            json,
            csv=lambda: phases_csv(found, by_run),
            plain=lambda: _as_dict(by_run),
            table=lambda: [phases_table(found, by_run, data_width(), columns=(first, second))],
        )
    end(found)


def _as_dict(by_run: dict[str, Phases]) -> dict[str, Any]:
    from grokscope.statistics.phases import RULE

    runs = [
        {"run": run, "phases": [asdict(phase) for phase in found.found], "note": found.note}
        for run, found in by_run.items()
    ]
    return {"rule": RULE, "runs": runs}
