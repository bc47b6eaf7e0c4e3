"""`grokscope list`: the runs in a folder, a row each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from grokscope.cli.terminal import print_data, print_json, say
from grokscope.errors import GrokscopeError


def list_(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to look, also in the folders below.")
    ] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the runs in a folder: task, recipe, seed, how far each is, its accuracies, size and state.

    Exit code 3 where one of them cannot be read; it is named, and the others are listed.
    """
    from grokscope.run.folder import find_runs

    rows: list[dict[str, Any]] = []
    broken = []
    for path in find_runs(folder):
        try:
            rows.append(_row(path))
        except GrokscopeError as error:
            broken.append(error)
    if as_json:
        print_json(rows)
    elif rows:
        from grokscope.report.listing import listing_table

        print_data(listing_table(rows, folder))
    elif not broken:
        say(f"{folder} holds no runs: `grokscope train modadd` makes one in runs")
    for refusal in broken:
        say(f"failed: {refusal}")
    if broken:
        raise typer.Exit(3)


def _row(path: Path) -> dict[str, Any]:
    from grokscope.run import Run
    from grokscope.run.folder import size_of

    run = Run.open(path)
    last = run.checkpoints[-1] if run.checkpoints else None
    steps = run.config["training"].get("steps")
    reached = last.step if last else None
    state = "imported" if run.is_imported else "recorded" if run.is_recorded else ""
    state = state or ("finished" if reached == steps else "unfinished")
    return {
        "run": str(path),
        "task": run.config["task"]["name"],
        "recipe": run.config["recipe"],
        "seed": run.seed,
        "step": reached,
        "steps": steps,
        "checkpoints": len(run.checkpoints),
        "train_accuracy": last.train_accuracy if last else None,
        "test_accuracy": last.test_accuracy if last else None,
        "bytes": size_of(path),
        "state": state,
        "problems": list(run.problems),
    }
