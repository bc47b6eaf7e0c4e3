"""`grokscope plot`: figures of measured runs, as a file or in the terminal."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli import completing
from grokscope.cli.measuring import end, rounds
from grokscope.cli.options import Measuring, PerLayer, Runs, Watched, names, output, shared
from grokscope.cli.terminal import print_data, ready_for, say
from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.results import Comparison


class Scale(StrEnum):
    """The step axis."""

    log = "log"
    linear = "linear"


@shared
def plot(
    runs: Runs,
    *,
    measure: Annotated[list[str] | None, names("the losses")] = None,
    file: Annotated[
        Path | None,
        output("Write a .png, .svg or .pdf instead."),
    ] = None,
    x: Annotated[Scale, typer.Option("--x", help="The step axis.")] = Scale.log,
    normalise: Annotated[
        bool,
        typer.Option(
            "--normalise", help="Every column from its lowest to its highest value of the run, on one axis."
        ),
    ] = False,
    pareto: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y",
            help="One column over another instead, coloured by step.",
            autocompletion=completing.columns,
        ),
    ] = None,
    per_layer: PerLayer = False,
    phases: Annotated[
        bool, typer.Option("--phases/--no-phases", help="Shade the phases of a single run, where known.")
    ] = True,
    watch: Watched = False,
    asked: Measuring,
) -> None:
    """Draw accuracies and measures of a run, or of several, over the steps.

    Accuracies are on the left axis, the measure is on the right; M and G mark memorisation and grokking.

    Runs that differ in the seed alone are their mean in a band, others a line for each setting.

    Without -o the figure is drawn in the terminal. What is not measured yet is computed and stored. With
    --watch it is drawn anew whenever there is something new, as for `analyze`.

    Examples:
        grokscope plot runs/* -m synergy,weight_norm
        grokscope plot five/* -m synergy --normalise -o synergy.svg
        grokscope plot five/* --pareto synergy,redundancy -o pareto.png
    """
    from grokscope.report.figures import format_of, require_matplotlib, require_plotext

    kind = format_of(file) if file is not None else ""
    if file is None:
        require_plotext()
    else:
        require_matplotlib()
    ready_for(file)
    drawn = measure or ["loss"]
    pair = _pair(pareto)
    from grokscope.discovery import load_plugins
    from grokscope.results.columns import not_applying

    plugins = load_plugins()
    options: dict[str, Any] = {"x": x.value}
    options |= {"pareto": pair} if pair else {"normalise": normalise, "per_layer": per_layer}
    giving = [registered.id for registered in plugins.giving(pair or drawn)]
    for found in rounds(runs, giving, asked, watch=watch, plugins=plugins):
        if found.runs and file:
            told = _phases(found) if phases and not pair else {}
            _write(found, drawn, {**options, "phases": told}, file, kind)
        elif found.runs:
            _show(found, drawn, options, anew=watch)
    for sentence in not_applying(found):
        say(sentence, asked.quiet)
    end(found)


def _pair(names: str | None) -> list[str] | None:
    pair = [name.strip() for name in names.split(",")] if names is not None else None
    if pair is not None and (len(pair) != 2 or not all(pair)):
        raise UsageError(f"--pareto must be two columns, for example synergy,redundancy, got {names!r}")
    return pair


def _show(found: Comparison, drawn: list[str], options: dict[str, Any], anew: bool) -> None:
    from rich.console import Console

    from grokscope.report.figures import plot_text

    console = Console()
    colour = console.color_system is not None and not console.no_color
    if anew:
        console.clear()  # where it is no terminal, nothing happens
    print_data(plot_text(found, drawn, width=console.width, height=console.height, colour=colour, **options))


def _write(found: Comparison, drawn: list[str], options: dict[str, Any], file: Path, kind: str) -> None:
    from grokscope.report.figures import picture, plot
    from grokscope.run.outputs import write_output

    write_output(file, picture(plot(found, drawn, **options), kind))


def _phases(found: Comparison) -> dict[str, Any]:
    """The phases of a single run, where its columns tell them."""
    from grokscope.statistics.phases import phases

    if len(found.runs) != 1:
        return {}
    return {run: phases(results) for run, results in found.runs.items()}
