"""`grokscope show`: what run directories hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.terminal import data_width, print_data, say
from grokscope.errors import GrokscopeError

if TYPE_CHECKING:
    from grokscope.run import Run


def show(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)
    ],
) -> None:
    """Show a run: configuration, checkpoints, accuracies, memorisation and grokking step, stored measures.

    Of several runs it shows one row each, with the settings in which they differ.
    """
    from grokscope.run import Run

    if len(runs) == 1:
        _show_one(Run.open(runs[0]))
    else:
        _show_many(runs)


def _show_one(run: Run) -> None:
    from grokscope.report.tables import run_view

    rebuilt = run.refresh_index()
    for message in [*([rebuilt] if rebuilt else []), *run.problems, *run.remarks]:
        say(message)
    present = {checkpoint.sha256 for checkpoint in run.checkpoints}
    pairs = {(key.measure, key.checkpoint) for key in run.cells() if key.checkpoint in present}
    stored = Counter(measure for measure, _ in pairs)
    print_data(run_view(run, dict(sorted(stored.items())), data_width()))


def _show_many(paths: Iterable[Path]) -> None:
    from grokscope.report.runs import runs_table
    from grokscope.run import Run

    opened: list[Run] = []
    refused: list[GrokscopeError] = []
    for path in paths:
        try:
            run = Run.open(path)
            for problem in [*run.problems, *run.remarks]:
                say(f"{run.name}: {problem}")
            opened.append(run)
        except GrokscopeError as error:
            refused.append(error)
    for refusal in refused:
        say(f"failed: {refusal}")
    if opened:
        print_data(runs_table(opened, data_width()))
    if refused:
        raise typer.Exit(3 if opened else refused[0].exit_code)
