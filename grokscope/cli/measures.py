"""`grokscope measures`: every measure there is, or one in full."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.options import Data, Json, Loss, Model, Quiet, Trust
from grokscope.cli.progress import display
from grokscope.cli.terminal import print_data, print_json, say, stdout_to_stderr
from grokscope.errors import SettingError
from grokscope.run.sites import site_of

if TYPE_CHECKING:
    from grokscope.registry import Plugins


def measures(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A measure, family or glob; shown in full.",
            show_default=False,
            autocompletion=completing.measures,
        ),
    ] = None,
    *,
    run: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="RUN",
            help="Say of each measure whether it applies to this run.",
            parser=site_of,
        ),
    ] = None,
    model: Model = None,
    data: Data = None,
    loss: Loss = None,
    trust: Trust = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the measures, or show NAME in full: formula, source, parameters, columns.

    With --for every measure is tried on the run's last checkpoint, half a minute at most, and what keeps it
    from being computed there is said.

    Examples:
        grokscope measures pmi
        grokscope measures oinfo --json
        grokscope measures --for runs/mine --model mine:net
    """
    with stdout_to_stderr():
        from grokscope.discovery import MEASURING, load_plugins

        plugins = load_plugins(hooks=MEASURING)
    if run is not None:
        if name is not None:
            raise SettingError("measures takes either NAME or --for RUN")
        code = {"model": model, "data": data, "loss": loss, "trust": trust}
        _print_answers(_applicable(run, plugins, quiet, **code), json)
        return
    if json:
        from grokscope.report.described import measure_as_dict

        print_json([measure_as_dict(each) for each in plugins.select([name or "all"])])
        return
    from rich.console import Group
    from rich.rule import Rule

    from grokscope.report.registry import measure_page, measures_table

    if name is None:
        for problem in [*plugins.problems, *plugins.slow]:
            say(problem)
        print_data(measures_table(plugins.select(["all"])))
        return
    pages = [measure_page(registered) for registered in plugins.select([name])]
    print_data(Group(pages[0], *(part for page in pages[1:] for part in (Rule(style="dim"), page))))


def _applicable(run: Path, plugins: Plugins, quiet: bool, **code: Any) -> dict[str, str]:
    from grokscope.analysis.applicability import applicability

    shown = display("cell", quiet)
    try:
        with stdout_to_stderr():
            return applicability(
                run,
                plugins=plugins,
                progress=lambda done, total, measure, step: shown.show(done, total, measure),
                **code,
            )
    finally:
        shown.stop()


def _print_answers(answers: dict[str, str], json: bool) -> None:
    if json:
        print_json([{"measure": name, "applies": not why, "why_not": why} for name, why in answers.items()])
        return
    from grokscope.report.registry import applicability_table

    print_data(applicability_table(answers))
