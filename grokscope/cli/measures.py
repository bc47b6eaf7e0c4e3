"""`grokscope measures`: every measure there is, or one in full."""

from __future__ import annotations

from typing import Annotated

import typer

from grokscope.cli import completing
from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json, say, stdout_to_stderr


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
    json: Json = False,
) -> None:
    """List the measures, or show NAME in full: formula, source, parameters, columns.

    Examples:
        grokscope measures
        grokscope measures pmi
        grokscope measures oinfo --json
    """
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
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
