"""`grokscope reproduce`: a paper's figure anew, with its claim beside what was found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.options import (
    Dask,
    DataDir,
    Device,
    Json,
    Quiet,
    RunsFolder,
    Timeout,
    Workers,
    output,
    ready_for_dask,
)
from grokscope.cli.progress import staged
from grokscope.cli.terminal import (
    print_data,
    print_json,
    ready_for,
    say,
    stdout_to_stderr,
)
from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.figure import Figure
    from grokscope.reproduce import Reproduction


def reproduce(
    figure: Annotated[
        str | None,
        typer.Argument(
            metavar="FIGURE",
            help="For example clauw-2; see --list.",
            show_default=False,
            autocompletion=completing.figures,
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List the figures and stop.")] = False,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="One seed, fewer checkpoints, a smaller transformer: minutes."),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="How many seeds, from 0. Default: the figure's own."),
    ] = None,
    readings: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Readings of the paper to judge the claim under: names, primary or all. "
            "Default: all; primary with --quick.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        output("The figure: png, svg or pdf. Default: FIGURE.png"),
    ] = None,
    out: RunsFolder = Path("runs"),
    data_dir: DataDir = None,
    device: Device = "cpu",
    workers: Workers = None,
    dask: Dask = None,
    timeout: Timeout = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train or reuse the runs that a paper's figure needs, measure them, draw it, and check its claim.

    The same command again goes on where it was interrupted, and reuses what is done.

    Where a paper leaves something open the claim is judged under each reading of it; the first is drawn.

    Where MNIST or IMDb is not at hand, the task digits stands in, and that is said.

    Examples:
        grokscope reproduce --list
        grokscope reproduce clauw-2 --quick
        grokscope reproduce clauw-5 --seeds 3 -o clauw-5.svg
    """
    if list_all or figure is None:
        _list(list_all, json)
        return
    ready_for_dask(dask, workers)
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins

        plugins = load_plugins()
    path, kind = _figure_file(file, figure, plugins.figures, quick)
    reproduced = _reproduce(
        figure,
        quiet,
        plugins=plugins,
        quick=quick,
        seeds=seeds,
        readings=readings,
        out=out,
        data_dir=data_dir,
        device=device,
        workers=workers,
        dask=dask,
        isolate=True,
        timeout=timeout,
    )
    from grokscope.report.figures import picture
    from grokscope.reproduce.account import as_dict, reproduction_page
    from grokscope.run.outputs import write_output

    write_output(path, picture(reproduced.draw(), kind))
    if json:
        print_json(as_dict(reproduced))
    else:
        print_data(reproduction_page(reproduced))
    say(f"figure: {path}", quiet)
    for failure in reproduced.failures:
        say(f"failed: {failure}")
    if reproduced.failures:
        raise typer.Exit(3)


def _list(wanted: bool, json: bool) -> None:
    from grokscope.discovery import load_plugins

    if not wanted:
        raise UsageError("reproduce must be told which figure, for example clauw-2; --list shows all")
    with stdout_to_stderr():
        figures = load_plugins().figures.values()
    if json:
        from grokscope.report.described import figure_as_dict

        print_json([figure_as_dict(each) for each in figures])
    else:
        from grokscope.reproduce.account import figures_table

        print_data(figures_table(figures))


def _figure_file(
    file: Path | None, figure: str, figures: Mapping[str, Figure], quick: bool
) -> tuple[Path, str]:
    """Where the figure is written, and its format; refused before anything is trained."""
    from grokscope.report.figures import format_of, require_matplotlib
    from grokscope.reproduce import find_figure

    find_figure(figure, figures)
    require_matplotlib()
    path = file or Path(f"{figure}{'-quick' if quick else ''}.png")
    kind = format_of(path)
    if not path.parent.is_dir():
        raise UsageError(f"-o must be in a directory that exists, got {path}")
    ready_for(path)
    return path, kind


def _reproduce(figure: str, quiet: bool, **options: Any) -> Reproduction:
    def work(**watching: Any) -> Reproduction | None:
        from grokscope.reproduce import reproduce as reproduce_figure

        return reproduce_figure(figure, notify=lambda message: say(message, quiet), **watching, **options)

    return staged(quiet, work)
