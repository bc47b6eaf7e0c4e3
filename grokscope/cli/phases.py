"""`grokscope phases`: which phase each run's training is in, from synergy, redundancy and test loss."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.measuring import DataDir, Device, Runs, Settings, Steps, Timeout, Workers, end, measured
from grokscope.cli.options import Quiet
from grokscope.cli.terminal import data_width, print_data, print_json
from grokscope.cli.trusting import names_code

if TYPE_CHECKING:
    from grokscope.statistics.phases import Phases


@names_code
def phases(
    runs: Runs,
    steps: Steps = "all",
    settings: Settings = None,
    synergy: Annotated[str, typer.Option(metavar="COLUMN", help="The column of synergy.")] = "oinfo.synergy",
    redundancy: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column of redundancy.")
    ] = "oinfo.redundancy",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    device: Device = "cpu",
    data_dir: DataDir = None,
    workers: Workers = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Show the phases of Clauw et al.: feature learning, emergence (also delayed), divergence, decoupling.

    They are the rises and falls of smoothed synergy that are more than its noise, named by redundancy and
    test loss; the rule is printed below the table. Where there is none, as in noise, there is nothing to see.

    What is not measured yet is measured and stored.
    """
    from grokscope.results import ColumnName
    from grokscope.statistics.phases import phases as found_in

    found = measured(
        runs,
        quiet=quiet,
        measures=list(dict.fromkeys(ColumnName.read(name).measure for name in (synergy, redundancy))),
        steps=steps,
        settings=settings,
        device=device,
        data_dir=data_dir,
        workers=workers,
        timeout=timeout,
    )
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
