"""`grokscope sweep`: train every combination of a grid and its seeds."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.options import Dask, Json, Quiet, RunsSite, Workers, key_values, ready_for_dask
from grokscope.cli.progress import display, sweep_words
from grokscope.cli.settings import ModelName, RecipeName, SetAnother, TaskName, asked_settings
from grokscope.cli.terminal import on_signal, print_json, print_path, say, stdout_to_stderr

if TYPE_CHECKING:
    from grokscope.training.sweep import Sweep, SweepProgress


def sweep(
    task: TaskName,
    *,
    recipe: RecipeName = None,
    model: ModelName = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="NAME=V,V,...",
            help="A setting and its values, for example weight_decay=0.1,2; `;` separates instead where "
            "values have commas themselves; may be repeated.",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|LIST", help="How many seeds, from 0, or which: 0,3,7. Default: the recipe's."
        ),
    ] = None,
    settings: SetAnother = None,
    out: RunsSite = Path("runs"),
    workers: Workers = None,
    dask: Dask = None,
    together: Annotated[
        bool | None,
        typer.Option(
            "--together/--one-by-one",
            help="Train the seeds of a setting as one computation. Default: on CUDA; on the CPU a run is the "
            "same to the bit for any number of workers.",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    given: dict[str, Any],
) -> None:
    """Train every combination of a grid and its seeds, each into a run directory of its own; prints these.

    The same command again skips finished runs and continues interrupted ones.

    `grokscope sweep TASK --help` shows every setting that can be fixed, or swept with --grid.

    Examples:
        grokscope sweep modadd --steps 3000 --grid weight_decay=0.1,1,10 --seeds 3
        grokscope sweep modadd --recipe nanda --grid "betas=0.9,0.98;0.9,0.999"
        grokscope sweep parity --seeds 5 --workers 1 --together
    """
    ready_for_dask(dask, workers)
    signals: list[int] = []
    wanted = {
        "recipe": recipe,
        "grid": key_values(grid or [], "--grid"),
        "seeds": seeds,
        "settings": asked_settings(model, given, settings),
    }
    with stdout_to_stderr(), on_signal(signals.append):
        done = _sweep(task, signals, quiet, out=out, workers=workers, dask=dask, together=together, **wanted)
    if json:
        print_json(_as_dict(done))
    else:
        for path in done.finished:
            print_path(path)
    _report_failures(done)
    if signals and done.stopped:
        again = shlex.join(["grokscope", *sys.argv[1:]])
        say(f"stopped with {len(done.finished)} of {len(done.paths)} runs finished; to go on: {again}")
        raise typer.Exit(128 + signals[0])
    if done.failures:
        raise typer.Exit(3 if done.finished else 1)


def _sweep(task: str, signals: list[int], quiet: bool, **options: Any) -> Sweep:
    from grokscope.training.sweep import sweep as train_all

    shown = display("step", quiet)

    def progress(state: SweepProgress) -> None:
        shown.show(state.step, state.steps, sweep_words(state))

    try:
        return train_all(
            task,
            progress=progress,
            stop=lambda: bool(signals),
            notify=lambda message: say(message, quiet),
            **options,
        )
    finally:
        shown.stop()


def _as_dict(done: Sweep) -> dict[str, Any]:
    from grokscope.run import Run
    from grokscope.run.folder import summary

    return {
        "runs": [summary(Run.open(path)) for path in done.finished],
        "failed": [{"run": str(failure.path), "error": str(failure)} for failure in done.failures],
    }


def _report_failures(done: Sweep) -> None:
    for failure in done.failures:
        say(f"failed: {failure}")
        if os.environ.get("GROKSCOPE_DEBUG") and failure.detail:
            say(failure.detail)
    if done.failures:
        say(f"{len(done.failures)} of {len(done.paths)} runs failed; the same command tries them again")
