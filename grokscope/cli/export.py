"""`grokscope export`: results as tables in files, or as event files for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokscope.cli.measuring import Wanted, end, measured
from grokscope.cli.options import Measuring, Runs, names, output, shared
from grokscope.cli.terminal import print_data, ready_for, say, stdout_to_stderr
from grokscope.errors import GrokscopeError, UsageError

if TYPE_CHECKING:
    from grokscope.export import Collected
    from grokscope.run import Run


COMPUTED_WITH = ("--set", "--baseline", "--device", "--data-dir", "--workers", "--timeout", "--max-memory")


@shared
def export(
    runs: Runs,
    *,
    file: Annotated[
        str | None,
        output("A file that ends in .parquet, .csv or .json; - is CSV on stdout."),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Event files for TensorBoard, one sub-directory per run."),
    ] = None,
    measure: Annotated[
        list[str] | None, names("what is stored, and nothing is computed; else what is missing is")
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="One row per run and step instead of one per number.")
    ] = False,
    curve: Annotated[
        bool,
        typer.Option("--curve/--no-curve", help="Losses and accuracies of training in the table too."),
    ] = True,
    asked: Measuring,
) -> None:
    """Write the results of runs to a file: Parquet, CSV or JSON; or as event files for TensorBoard.

    Rows are tidy: run, the settings in which the runs differ, step, measure, layer, column, value or text,
    and what each was computed with. Without --measure it is everything that is stored in the runs, of every
    measure its newest version, and nothing is computed.

    Examples:
        grokscope export runs/* -o results.parquet
        grokscope export five/* -m oinfo,fit -o wide.csv --wide
        grokscope export five/* --tensorboard events
    """
    from grokscope.export import check_tensorboard, collect, table_kind

    if file is None and tensorboard is None:
        raise UsageError("export needs a file, -o results.parquet (.csv, .json), or --tensorboard DIR")
    if file not in (None, "-"):
        table_kind(str(file))  # refused before anything is computed
    if tensorboard is not None:
        check_tensorboard()
    ready_for(file)
    if measure is None:
        _refuse_measuring(asked)
        opened, refused = _opened(runs, asked.results)
        with stdout_to_stderr():
            collected = collect(opened, asked.steps)
        for note in collected.notes:
            say(note, asked.quiet)
        _write(collected, file, tensorboard, wide, curve)
        _end(opened, refused)
        return
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    wanted = Wanted.of(measure, plugins)
    found = measured(runs, wanted.measures, asked, plugins=plugins)
    if found.runs:
        _write(collect(wanted.only(found)), file, tensorboard, wide, curve)
    end(found)


def _refuse_measuring(asked: Measuring) -> None:
    """Refuse what only has a meaning where something is computed."""
    for flag in filter(COMPUTED_WITH.__contains__, asked.given()):
        raise UsageError(
            f"{flag} is for measures that are computed: name them with --measure; "
            "without it, what is stored is exported as it is"
        )


def _opened(paths: Iterable[Path], results: Path | None) -> tuple[list[Run], list[GrokscopeError]]:
    """The runs, each once, and why the others are none."""
    from grokscope.run import Run

    opened: dict[Path, Run] = {}
    refused = []
    for path in paths:
        try:
            opened.setdefault(path.resolve(), Run.open(path, results=results))
        except GrokscopeError as error:
            refused.append(error)
    if not opened:
        raise refused[0]
    return list(opened.values()), refused


def _write(collected: Collected, file: str | None, tensorboard: Path | None, wide: bool, curve: bool) -> None:
    from grokscope.export import long_table, wide_table, write_events, write_table
    from grokscope.report.text import csv_of

    if file == "-":
        table = wide_table(collected, curve) if wide else long_table(collected, curve)
        print_data(csv_of(table.columns))
    elif file is not None:
        write_table(collected, file, wide=wide, curve=curve)
    if tensorboard is not None:
        write_events(collected, tensorboard)


def _end(opened: Iterable[Run], refused: Iterable[GrokscopeError]) -> None:
    """Say what could not be exported, and exit with 3 when there is something."""
    troubles = [problem for run in opened for problem in [*run.problems, *run.conflicts]]
    for trouble in troubles:
        say(trouble)
    for error in refused:
        say(f"failed: {error}")
    if refused or any(run.problems for run in opened):
        raise typer.Exit(3)
