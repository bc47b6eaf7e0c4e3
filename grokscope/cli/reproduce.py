"""`grokscope reproduce`: papers' figures anew, each with its claim beside what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.options import (
    Dask,
    DataDir,
    Device,
    Finished,
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
    from grokscope.registry import Plugins
    from grokscope.reproduce import Reproduction


def reproduce(
    figures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIGURE...",
            help="For example clauw-2; see --list. A paper, such as clauw, is all of its figures; all is "
            "every one.",
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
    finished: Finished = False,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write what was found as data: three CSV tables."),
    ] = None,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Draw and judge what --rows wrote; train nothing. Several times: of several machines, "
            "which --rows then writes as one.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        output(
            "The figure: png, svg or pdf. Default: FIGURE.png. Of several: a folder for them; default: none."
        ),
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
    """Train or reuse the runs that papers' figures need, measure them, draw them, and check their claims.

    The same command again goes on where it was interrupted, and reuses what is done.

    Where a paper leaves something open the claim is judged under each reading of it; the first is drawn.

    Where MNIST or IMDb is not at hand, the task digits stands in - for IMDb reviews of your own, if there
    are any -, and that is said.

    Examples:
        grokscope reproduce clauw-2 --quick
        grokscope reproduce clauw --seeds 5 --rows found
        grokscope reproduce clauw-5 --from found -o clauw-5.svg
    """
    if list_all or not figures:
        _list(list_all, json)
        return
    _check(bool(sources), rows, quick, seeds is not None or finished)
    ready_for_dask(dask, workers)
    with stdout_to_stderr():
        from grokscope.discovery import load_plugins
        from grokscope.reproduce import find_figures

        plugins = load_plugins()
    chosen = find_figures(figures, plugins.figures)
    drawings = _drawings(file, chosen, quick)
    if sources:
        found = _kept(sources, chosen, readings, plugins)
    else:
        found = [
            _reproduce(
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
                finished=finished,
            )
            for figure in chosen
        ]
    _deliver(found, plugins, rows, drawings, json, quiet)


def _check(kept: bool, rows: Path | None, quick: bool, runs: bool) -> None:
    """Refuse what cannot be, before anything is computed."""
    if kept and (quick or runs):
        raise UsageError("--from must be given without --quick, --seeds and --finished: it trains nothing")
    if rows is not None and quick:
        raise UsageError("--rows must be given without --quick: what is kept is at the papers' size")
    if rows is not None and not rows.parent.is_dir():
        raise UsageError(f"--rows must be in a directory that exists, got {rows}")


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


def _drawings(file: Path | None, figures: Sequence[Figure], quick: bool) -> list[tuple[Path, str]]:
    """Where the figures are drawn, and in which format; refused before anything is trained."""
    from grokscope.report.figures import format_of, require_matplotlib

    several = len(figures) > 1
    if several and file is None:
        return []
    require_matplotlib()
    named = [f"{figure.name}{'-quick' if quick else ''}.png" for figure in figures]
    if several and file is not None:
        if not file.is_dir():
            raise UsageError(f"-o must be a directory that exists where figures are several, got {file}")
        paths = [file / name for name in named]
    else:
        paths = [file or Path(named[0])]
    found = [(path, format_of(path)) for path in paths]
    for path in paths:
        if not path.parent.is_dir():
            raise UsageError(f"-o must be in a directory that exists, got {path}")
        ready_for(path)
    return found


def _kept(
    sources: Sequence[Path], figures: Sequence[Figure], readings: str | None, plugins: Plugins
) -> list[Reproduction]:
    from grokscope.reproduce.kept import Kept

    kept = Kept.joined(sources)
    return [kept.reproduction(figure, plugins, readings) for figure in figures]


def _reproduce(figure: Figure, quiet: bool, **options: Any) -> Reproduction:
    def work(**watching: Any) -> Reproduction | None:
        from grokscope.reproduce import reproduce as reproduce_figure

        return reproduce_figure(figure, notify=lambda message: say(message, quiet), **watching, **options)

    return staged(quiet, work)


def _deliver(
    found: Sequence[Reproduction],
    plugins: Plugins,
    rows: Path | None,
    drawings: Sequence[tuple[Path, str]],
    json: bool,
    quiet: bool,
) -> None:
    from grokscope.report.figures import picture
    from grokscope.reproduce.account import as_dict, reproduction_page, verdicts_table
    from grokscope.run.outputs import write_output

    if rows is not None:
        from grokscope.reproduce.kept import Kept, differing, kept_tables

        rows.mkdir(exist_ok=True)
        for name, table in kept_tables(found).items():
            write_output(rows / f"{name}.csv", table.encode())
        for sentence in differing(found, Kept.read(rows), plugins):
            say(sentence)
    for (path, kind), each in zip(drawings, found, strict=bool(drawings)):
        write_output(path, picture(each.draw(), kind))
    several = len(found) > 1
    if json:
        accounts = [as_dict(each) for each in found]
        print_json(accounts if several else accounts[0])
    else:
        print_data(verdicts_table(found) if several else reproduction_page(found[0]))
    for path, _ in drawings:
        say(f"figure: {path}", quiet)
    failures = dict.fromkeys(failure for each in found for failure in each.failures)
    for failure in failures:
        say(f"failed: {failure}")
    if failures:
        raise typer.Exit(3)
