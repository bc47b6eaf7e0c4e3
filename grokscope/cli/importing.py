"""`grokscope import`: make a run directory of checkpoints that something else trained."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from grokscope.cli.measuring import say_slow
from grokscope.cli.options import Json, Quiet, key_values
from grokscope.cli.progress import display
from grokscope.cli.settings import RecipeName
from grokscope.cli.terminal import print_data, print_json, print_path, say, stdout_to_stderr
from grokscope.errors import SettingError
from grokscope.run.sites import site_of

if TYPE_CHECKING:
    from grokscope.importing.session import Plan, Request
    from grokscope.run import Run


Found = TypeVar("Found")


class Positions(StrEnum):
    """What the positions of a plain module's layers are."""

    auto = "auto"
    flatten = "flatten"
    rows = "rows"
    last = "last"
    mean = "mean"


class Right(StrEnum):
    """What is right or wrong, where an example has several labels."""

    positions = "positions"
    sequences = "sequences"


def import_(
    run: Annotated[
        Path,
        typer.Argument(help="The run directory to make, or its URL.", show_default=False, parser=site_of),
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            show_default=False,
            help="Further checkpoints, as a shell makes them of a pattern without quotes.",
        ),
    ] = None,
    *,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="A glob of files, or of folders as transformers saves them; may be repeated.",
        ),
    ] = None,
    hub: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME", help="A repository of the Hugging Face Hub instead; see --revisions."
        ),
    ] = None,
    revisions: Annotated[
        str, typer.Option(metavar="PATTERN", help="A glob of the repository's branches and tags.")
    ] = "*step*",
    model: Annotated[
        str,
        typer.Option(
            help="The network: a name, hf (of the config.json beside the checkpoints), or "
            "package.module:factory.",
            show_default=False,
        ),
    ] = "",
    task: Annotated[str | None, typer.Option(help="The task's name, for example modadd.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Data or a task of one's own instead, package.module:factory; or a file for a causal "
            "language model: text:FILE, or token ids in FILE.npy or FILE.bin.",
        ),
    ] = None,
    recipe: RecipeName = None,
    step_from: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help=r"Finds the step in a file's name, for example 'step_(\d+)'."),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(help="For files that hold a list: every:N, or the name of the list of steps beside it."),
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="The step of the one state dict that there is.")
    ] = None,
    at: Annotated[
        str,
        typer.Option(metavar="KEY", help="The key in each file that holds its states, as in outer.inner."),
    ] = "",
    layout: Annotated[
        str, typer.Option("--layout", help="Names of parameters: auto, own, nanda or transformer_lens.")
    ] = "auto",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Rename a parameter; NEW may end in .T, .join, .reshape(2,3) or [:-1]; OLD= leaves it out; "
            "may be repeated.",
        ),
    ] = None,
    strip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Take this off names' beginnings; what wrappers add goes by itself; may be repeated.",
        ),
    ] = None,
    tie: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=OTHER",
            help="The network's tensor NAME, which files lack, is the one called OTHER; may be repeated.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting, for example task.p=113; may be repeated."
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Link safetensors files into the run instead of copying.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="A glob of files that do not count; may be repeated."),
    ] = None,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Leave out files that cannot be read or do not say their step; each is said.",
        ),
    ] = False,
    curves: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The training's own losses and accuracies: CSV, JSON Lines or TensorBoard's event files.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what would be imported, and every problem; write nothing. Of --hub: which files.",
        ),
    ] = False,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Hidden layers of a plain module by name, `*` between dots, `**` over them; by default all "
            "non-linearities; may be repeated.",
        ),
    ] = None,
    positions: Annotated[
        Positions,
        typer.Option(
            metavar="NAME",
            help="Positions in a plain module's layers: auto, flatten (all are units), rows (each is a row), "
            "last, mean.",
        ),
    ] = Positions.auto,
    examples: Annotated[
        int, typer.Option(min=1, help="Examples of each split of one's own data that the run keeps, at most.")
    ] = 4000,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cross_entropy, mse, stablemax_cross_entropy, or one's own, package.module:function. "
            "Default: cross_entropy, or mse of numbers.",
        ),
    ] = None,
    accuracy: Annotated[
        Right,
        typer.Option(
            metavar="OF", help="positions (each label counts), or sequences (all labels of an example)."
        ),
    ] = Right.positions,
    outcome: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="What says that it has generalised, with --above or --below: test_loss, or measure.column. "
            "Default: test accuracy.",
        ),
    ] = None,
    above: Annotated[
        float | None, typer.Option(metavar="X", help="The outcome is reached from X on.")
    ] = None,
    below: Annotated[
        float | None, typer.Option(metavar="X", help="The outcome is reached at X and below.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a run directory of existing checkpoints, or add to it; prints the directory.

    MODEL and DATA may be functions of one's own, looked for in the current folder too: the one returns any
    nn.Module, the other (train, test), each a pair of tensors, a Dataset or an iterable of batches. Of a
    repository one revision at a time is on the disk; stopped, the same command goes on. Nothing
    is written unless every file can be read and fits the network; the files stay as they are. Importing a
    folder again that has more checkpoints adds them.

    Examples:
        grokscope import runs/theirs --checkpoints "theirs/*.pt" --model transformer --task modadd
        grokscope import runs/mine --checkpoints "mine/*.pt" --model mine.nets:cnn --data mine.data:digits
        grokscope import runs/theirs --hub owner/name --revisions "step*" --model hf --data tokens.npy
    """
    if (task is not None and data is not None) or not (task or data or recipe):
        raise SettingError("import must have either --task NAME or --data package.module:factory")
    if not (checkpoints or hub):
        raise SettingError("import must have --checkpoints PATTERN, or --hub OWNER/NAME")
    from grokscope.importable import hint_of
    from grokscope.importing.session import Request
    from grokscope.tasks.language import is_language

    if data is not None and ":" not in data and not is_language(data):
        raise SettingError(
            f"--data must be package.module:factory, text:FILE, FILE.npy or FILE.bin, got {data!r}"
            f"{hint_of(data)}"
        )
    request = Request(
        checkpoints=[*(checkpoints or ()), *(files or ())],
        task=task or data or "",
        model=model,
        recipe=recipe,
        settings=key_values(settings or [], "--set"),
        step_from=step_from,
        steps=steps,
        step=step,
        at=at,
        layout=layout,
        rename=rename or (),
        strip=strip or (),
        tie=tie or (),
        link=link,
        leave_out=leave_out or (),
        skip_damaged=skip_damaged,
        curves=curves,
        layers=layers or (),
        positions=positions.value,
        examples=examples,
        loss=loss,
        accuracy=accuracy.value,
        outcome=outcome,
        above=above,
        below=below,
    )
    if hub and dry_run:
        _show_hub(run, hub, revisions, request, json, quiet)
        return
    with stdout_to_stderr():
        plan = None if hub else _plan(run, request, quiet)
        if plan and not dry_run:
            plan.refuse()
        for remark in plan.remarks if plan else ():
            say(remark, quiet)
        if not dry_run:
            made = plan.write() if plan else _from_hub(run, hub or "", revisions, request, quiet)
    if plan and dry_run:
        _show(plan, json)
    elif json:
        from grokscope.run.folder import summary

        print_json(summary(made))
    else:
        print_path(made.path)


def _plan(out: Path, request: Request, quiet: bool) -> Plan:
    from grokscope.importing.session import plan_import

    return _watched(partial(plan_import, out, request), "file", quiet)


def _from_hub(out: Path, hub: str, revisions: str, request: Request, quiet: bool) -> Run:
    from grokscope.importing.hub import import_hub

    notify = partial(say, quiet=quiet)
    return _watched(partial(import_hub, out, hub, revisions, request, notify=notify), "revision", quiet)


def _show_hub(out: Path, hub: str, revisions: str, request: Request, json: bool, quiet: bool) -> None:
    """Print what would be fetched."""
    from grokscope.importing.hub import list_hub
    from grokscope.report.imports import hub_rows, hub_view

    with stdout_to_stderr():
        work = partial(list_hub, out, hub, revisions, request)
        coming = _watched(lambda progress, **_: work(progress=progress), "revision", quiet)
    if json:
        print_json({"revisions": hub_rows(coming)})
    else:
        print_data(hub_view(coming))


def _watched(work: Callable[..., Found], what: str, quiet: bool) -> Found:
    """Return what `work` does with the tasks and models that plugins bring, its progress shown by `what`."""
    from grokscope.discovery import load_plugins

    plugins = load_plugins()
    say_slow(plugins, quiet)
    shown = display(what, quiet)
    try:
        return work(
            tasks=plugins.tasks,
            models=plugins.models,
            progress=lambda done, total, step: shown.show(done, total, f"step {step}"),
        )
    finally:
        shown.stop()


def _show(plan: Plan, json: bool) -> None:
    """Print what would be imported; ends with the code of the first problem, if there is one."""
    from grokscope.report.imports import plan_rows, plan_view

    if json:
        problems = [str(problem.error) for problem in plan.problems]
        print_json({"checkpoints": plan_rows(plan), "remarks": plan.remarks, "problems": problems})
    else:
        print_data(plan_view(plan))
    for problem in plan.problems:
        say(f"problem: {problem.error}")
    if plan.problems:
        raise typer.Exit(plan.problems[0].error.exit_code)
