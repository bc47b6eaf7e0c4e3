"""`grokscope train`: train a network and keep every checkpoint."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.options import Json, Quiet
from grokscope.cli.progress import display, training_words
from grokscope.cli.settings import (
    WRITTEN,
    ModelName,
    RecipeName,
    SetAnother,
    TaskName,
    asked_settings,
)
from grokscope.cli.terminal import on_signal, print_json, print_path, say, stdout_to_stderr
from grokscope.run.sites import site_of

if TYPE_CHECKING:
    from grokscope.run import Run
    from grokscope.training import Progress


def train(
    task: TaskName,
    *,
    recipe: RecipeName = None,
    model: ModelName = None,
    settings: SetAnother = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory, or its URL; default runs/, named after the configuration.",
            rich_help_panel=WRITTEN,
            parser=site_of,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(min=1, help="CPU threads; one is quickest while others work.", rich_help_panel=WRITTEN),
    ] = 1,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Have torch compile the network; mlp on tokens and transformer are quicker without.",
            rich_help_panel=WRITTEN,
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    given: dict[str, Any],
) -> None:
    """Train a network, writing checkpoints into a run directory; prints the directory.

    The same command again continues an unfinished run and leaves a finished one as it is.

    `grokscope train TASK --help` shows the settings of the task and its network too; --model and --recipe
    change which they are.

    Examples:
        grokscope train modadd
        grokscope train modadd --weight-decay 2 --seed 1 --checkpoint-every log:60
        grokscope train modadd --recipe nanda --grokfast-ema 0.98,2
    """
    signals: list[int] = []
    asked = asked_settings(model, given, settings)
    with stdout_to_stderr(), on_signal(signals.append):
        run, finished = _train(task, recipe, asked, out, threads, compile, signals, quiet)
    if json:
        from grokscope.run.folder import summary

        print_json(summary(run))
    else:
        print_path(run.path)
    if signals and not finished:
        again = shlex.join(["grokscope", *sys.argv[1:]])
        say(f"stopped at step {run.steps[-1] if run.steps else 0}; to go on: {again}")
        raise typer.Exit(128 + signals[0])


def _train(
    task: str,
    recipe: str | None,
    settings: dict[str, Any],
    out: Path | None,
    threads: int,
    compile: bool,
    signals: list[int],
    quiet: bool,
) -> tuple[Run, bool]:
    from grokscope import training

    shown = display("step", quiet)

    def progress(state: Progress) -> None:
        shown.show(state.step, state.steps, training_words(state))

    try:
        run = training.train(
            task,
            recipe=recipe,
            settings=settings,
            out=out,
            threads=threads,
            compile=compile,
            progress=progress,
            stop=lambda: bool(signals),
            notify=lambda message: say(message, quiet),
        )
    finally:
        shown.stop()
    return run, training.is_finished(run)
