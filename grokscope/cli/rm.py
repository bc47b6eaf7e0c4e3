"""`grokscope rm`: removes runs, after asking; nothing but a run's own files is ever deleted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.options import Runs
from grokscope.cli.terminal import say
from grokscope.errors import GrokscopeError, UsageError


def rm(
    runs: Runs,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs, after asking: checkpoints, results and all.

    Only what is a run is removed, and only when it holds nothing else. A checkpoint that is a link goes, what
    it points to stays.

    Examples:
        grokscope rm runs/modadd-clauw-0cb189f4-s0
        grokscope rm --yes five/*
    """
    from grokscope.run import Run
    from grokscope.run.folder import remove_run, size_of

    for path in runs:
        Run.open(path)  # before anything is asked or removed, all must be runs
    if not yes:
        _ask(runs, sum(map(size_of, runs)))
    refused: list[GrokscopeError] = []
    for path in runs:
        try:
            remove_run(path)
        except GrokscopeError as error:
            refused.append(error)
            say(f"failed: {error}")
    if refused:
        raise typer.Exit(3 if len(refused) < len(runs) else refused[0].exit_code)


def _ask(runs: list[Path], size: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError("rm must be told --yes where nobody can be asked")
    say("\n".join(map(str, runs)))
    if not typer.confirm(f"Remove {len(runs)} of them, {size / 1e6:.1f} MB?", err=True):
        raise typer.Exit(1)
