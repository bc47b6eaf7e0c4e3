"""`grokscope list`: the runs in a folder, a row each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json, say
from grokscope.errors import GrokscopeError
from grokscope.run.sites import site_of


def list_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to look, also in the folders below.", parser=site_of)
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs in a folder: task, recipe, seed, how far each is, its accuracies, size and state.

    Exit code 3 where one of them cannot be read; it is named, and the others are listed.

    Examples:
        grokscope list
        grokscope list five --json
    """
    from grokscope.run import Run
    from grokscope.run.folder import find_runs, summary

    rows: list[dict[str, Any]] = []
    broken = []
    for path in find_runs(folder):
        try:
            rows.append(summary(Run.open(path)))
        except GrokscopeError as error:
            broken.append(error)
    if json:
        print_json(rows)
    elif rows:
        from grokscope.report.listing import listing_table

        print_data(listing_table(rows, folder))
    elif not broken:
        say(f"{folder} holds no runs: `grokscope train modadd` makes one in runs")
    for refusal in broken:
        say(f"failed: {refusal}")
    if broken:
        raise typer.Exit(3)
