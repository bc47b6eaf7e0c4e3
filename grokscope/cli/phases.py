"""`grokscope phases`: which phase each run's training is in, from synergy, redundancy and test loss."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.measuring import end, measured
from grokscope.cli.options import Json, Measuring, Runs, shared
from grokscope.cli.terminal import data_width, print_data, print_json

if TYPE_CHECKING:
    from grokscope.statistics.phases import Phases


@shared
def phases(
    runs: Runs,
    *,
    synergy: Annotated[str, typer.Option(metavar="COLUMN", help="The column of synergy.")] = "oinfo.synergy",
    redundancy: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column of redundancy.")
    ] = "oinfo.redundancy",
    json: Json = False,
    asked: Measuring,
) -> None:
    """Show the phases of Clauw et al.: feature learning, emergence (also delayed), divergence, decoupling.

    They are the rises and falls of smoothed synergy that are more than its noise, named by redundancy and
    test loss; the rule is printed below the table. Where there is none, as in noise, there is nothing to see.

    What is not measured yet is measured and stored.
    """
    from grokscope.results import ColumnName
    from grokscope.statistics.phases import phases as found_in

    measures = list(dict.fromkeys(ColumnName.read(name).measure for name in (synergy, redundancy)))
    found = measured(runs, measures, asked)
    if found.runs:
        by_run = {
            run: found_in(results, synergy=synergy, redundancy=redundancy)
            for run, results in found.runs.items()
        }
        if json:
            print_json(_as_dict(by_run))
        else:
            from grokscope.report.phases import phases_table

            print_data(phases_table(found, by_run, data_width(), columns=(synergy, redundancy)))
    end(found)


def _as_dict(by_run: dict[str, Phases]) -> dict[str, Any]:
    from grokscope.statistics.phases import RULE

    runs = [
        {"run": run, "phases": [asdict(phase) for phase in found.found], "note": found.note}
        for run, found in by_run.items()
    ]
    return {"rule": RULE, "runs": runs}
