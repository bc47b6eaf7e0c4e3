"""`grokscope show`: what run directories hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from grokscope.cli.options import Json, Runs
from grokscope.cli.terminal import data_width, print_data, print_json, say
from grokscope.errors import GrokscopeError

if TYPE_CHECKING:
    from grokscope.run import Run


def show(runs: Runs, *, json: Json = False) -> None:
    """Show a run: configuration, checkpoints, accuracies, memorisation and grokking step, stored measures.

    Of several runs it shows one row each, with the settings in which they differ.

    Examples:
        grokscope show runs/*
        grokscope show five/* --json
    """
    opened, refused = _opened(runs)
    if json:
        from grokscope.report.described import run_as_dict

        described = [run_as_dict(run, run.measured()) for run in opened]
        print_json(described[0] if len(runs) == 1 else described)
    elif len(runs) == 1:
        from grokscope.report.tables import run_view

        print_data(run_view(opened[0], opened[0].measured(), data_width()))
    elif opened:
        from grokscope.report.runs import runs_table

        print_data(runs_table(opened, data_width()))
    if refused:
        raise typer.Exit(3 if opened else refused[0].exit_code)


def _opened(paths: Sequence[Path]) -> tuple[list[Run], list[GrokscopeError]]:
    """The runs, with what is to be said of them, and why the others are none. Raises that of a single one."""
    from grokscope.run import Run

    opened: list[Run] = []
    refused: list[GrokscopeError] = []
    for path in paths:
        try:
            run = Run.open(path)
        except GrokscopeError as error:
            if len(paths) == 1:
                raise
            refused.append(error)
            continue
        opened.append(run)
        rebuilt = run.refresh_index() if len(paths) == 1 else ""
        for message in [*([rebuilt] if rebuilt else []), *run.problems, *run.remarks]:
            say(message if len(paths) == 1 else f"{run.name}: {message}")
    for refusal in refused:
        say(f"failed: {refusal}")
    return opened, refused
