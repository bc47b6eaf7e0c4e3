"""`grokscope train`: train a network and keep every checkpoint."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.options import Quiet, key_values
from grokscope.cli.progress import display, training_words
from grokscope.cli.terminal import on_signal, print_path, say, stdout_to_stderr

if TYPE_CHECKING:
    from grokscope.run import Run
    from grokscope.training import Progress

TASK = "Task settings"
MODEL = "Network and optimiser"
BESIDE = "Interventions, combined at will; `none` takes away what a recipe has"
RUN = "Run"


def train(
    task: Annotated[str, typer.Argument(help="The task, for example modadd.", show_default=False)],
    recipe: Annotated[
        str | None, typer.Option(help="A named configuration, or a TOML file; see `grokscope recipes`.")
    ] = None,
    p: Annotated[int | None, typer.Option("--p", help="The modulus.", rich_help_panel=TASK)] = None,
    operation: Annotated[
        str | None,
        typer.Option(help="add, subtract, multiply, divide, quadratic or random.", rich_help_panel=TASK),
    ] = None,
    train_fraction: Annotated[
        float | None, typer.Option(help="Share of examples trained on.", rich_help_panel=TASK)
    ] = None,
    split_seed: Annotated[
        int | None, typer.Option(help="Seed of the train/test split.", rich_help_panel=TASK)
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            help="Folder with the task's data; else $GROKSCOPE_DATA_DIR or data/.", rich_help_panel=TASK
        ),
    ] = None,
    download: Annotated[
        bool | None,
        typer.Option("--download", help="Fetch the task's data if it is not there.", rich_help_panel=TASK),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="mlp, transformer, ... instead of the recipe's.", rich_help_panel=MODEL)
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="MLP: hidden sizes, for example 200,200.", rich_help_panel=MODEL)
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="cross_entropy, mse or stablemax_cross_entropy.", rich_help_panel=MODEL),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser updates.", rich_help_panel=MODEL)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", rich_help_panel=MODEL)] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="AdamW's weight decay.", rich_help_panel=MODEL)
    ] = None,
    betas: Annotated[
        str | None, typer.Option(help="AdamW's betas, for example 0.9,0.98.", rich_help_panel=MODEL)
    ] = None,
    eps: Annotated[float | None, typer.Option(help="AdamW's epsilon.", rich_help_panel=MODEL)] = None,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps of linear warm-up.", rich_help_panel=MODEL)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Examples per step; 0 is the full batch.", rich_help_panel=MODEL)
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Largest norm of the gradient; 0: no limit.", rich_help_panel=MODEL)
    ] = None,
    init_scale: Annotated[
        float | None, typer.Option(help="Multiply every initial parameter.", rich_help_panel=MODEL)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of initialisation and batch order.", rich_help_panel=MODEL)
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64.", rich_help_panel=MODEL)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...", rich_help_panel=MODEL)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, for example task.p=53 or model.d_model=64; may be repeated.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    perturb: Annotated[
        str | None,
        typer.Option(
            metavar="L1,L2",
            help="Noise of sigma max(L1 (1 - train accuracy), L2) on the inputs.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    abelian: Annotated[
        str | None,
        typer.Option(
            metavar="WEIGHT",
            help="Add WEIGHT times the mean squared distance of f(a, b) and f(b, a).",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    anti_norm: Annotated[
        str | None,
        typer.Option(
            metavar="DELTA", help="Subtract DELTA times the sum of squared weights.", rich_help_panel=BESIDE
        ),
    ] = None,
    dropout: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Drop this share of hidden activations.", rich_help_panel=BESIDE),
    ] = None,
    init_only: Annotated[
        str | None,
        typer.Option(
            "--init-scale-only",
            metavar="weights",
            help="--init-scale spares biases.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    init_zero: Annotated[
        str | None,
        typer.Option(metavar="last_layer", help="The last layer starts at zero.", rich_help_panel=BESIDE),
    ] = None,
    constrain_norm: Annotated[
        bool | None,
        typer.Option(
            "--constrain-norm/--no-constrain-norm",
            help="Keep the initial l2 norm of all parameters.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    subnetwork: Annotated[
        str | None,
        typer.Option(
            metavar="RUN@STEP[:inverse]",
            help="Only the units of RUN's most synergistic multiplet there, from the same start.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    grokfast_ema: Annotated[
        str | None,
        typer.Option(
            metavar="A,L",
            help="Grokfast: add L times the gradient's running mean, 0.98,2.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    grokfast_ma: Annotated[
        str | None,
        typer.Option(
            metavar="W,L",
            help="Grokfast: add L times the mean of the last W gradients, 100,5.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    orthogonal_gradient: Annotated[
        str | None,
        typer.Option(
            metavar="SCOPE",
            help="Gradients orthogonal to weights: of each tensor, or of the network as one.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(
            metavar="SCHEDULE",
            help="N, log:N (N log-spaced) or N,M,...",
            rich_help_panel=RUN,
            show_default=False,
        ),
    ] = None,
    log_every: Annotated[
        int | None, typer.Option(help="Evaluate every N steps, for the curves.", rich_help_panel=RUN)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The run directory; default runs/, named after the configuration.", rich_help_panel=RUN
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU threads; one is quickest while others work.", rich_help_panel=RUN)
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Train a network, writing checkpoints into a run directory; prints the directory.

    The same command again continues an unfinished run and leaves a finished one as it is.
    """
    flags = {
        "task.p": p,
        "task.operation": operation,
        "task.train_fraction": train_fraction,
        "task.split_seed": split_seed,
        "task.data_dir": data_dir,
        "task.download": download,
        "model.name": model,
        "model.hidden": hidden,
        "training.loss": loss,
        "training.steps": steps,
        "training.lr": lr,
        "training.weight_decay": weight_decay,
        "training.betas": betas,
        "training.eps": eps,
        "training.warmup_steps": warmup_steps,
        "training.batch_size": batch_size,
        "training.clip_norm": clip_norm,
        "training.init_scale": init_scale,
        "training.seed": seed,
        "training.dtype": dtype,
        "training.device": device,
        "training.perturb": perturb,
        "training.abelian": abelian,
        "training.anti_norm": anti_norm,
        "training.dropout": dropout,
        "training.init_scale_only": init_only,
        "training.init_zero": init_zero,
        "training.constrain_norm": None if constrain_norm is None else "all" if constrain_norm else "none",
        "training.subnetwork": subnetwork,
        "training.grokfast_ema": grokfast_ema,
        "training.grokfast_ma": grokfast_ma,
        "training.orthogonal_gradient": orthogonal_gradient,
        "training.checkpoint_every": checkpoint_every,
        "training.log_every": log_every,
    }
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    given |= key_values(settings or [], "--set")
    signals: list[int] = []
    with stdout_to_stderr(), on_signal(signals.append):
        run, finished = _train(task, recipe, given, out, threads, signals, quiet)
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
            progress=progress,
            stop=lambda: bool(signals),
            notify=lambda message: say(message, quiet),
        )
    finally:
        shown.stop()
    return run, training.is_finished(run)
