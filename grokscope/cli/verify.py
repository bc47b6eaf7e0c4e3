"""`grokscope verify`: is everything in run directories as it was written, and does it fit together?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.options import Json, Quiet, Runs
from grokscope.cli.terminal import print_data, print_json, say, stdout_to_stderr
from grokscope.errors import GrokscopeError

if TYPE_CHECKING:
    from grokscope.run.verify import Finding


def verify(
    runs: Runs,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make the index anew, set damaged results and those of changed checkpoints aside "
            "(results/quarantine), sweep temporary files. Checkpoints are never touched.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read every checkpoint and result of runs and hold them against each other; a line for each finding.

    Silent and 0 when all is sound, 1 when anything is amiss that is not repaired. Without --repair nothing
    is written.

    Examples:
        grokscope verify runs/*
        grokscope verify runs/* --repair --json
    """
    found: dict[Path, list[Finding]] = {}
    refused: list[GrokscopeError] = []
    for path in runs:
        try:
            found[path] = _findings(path, repair, quiet)
        except GrokscopeError as error:
            refused.append(error)
            say(f"failed: {error}")
    if json:
        print_json(_as_list(found))
    else:
        for path, findings in found.items():
            for finding in findings:
                print_data(printable_line(path, finding))
    if any(not finding.repaired for findings in found.values() for finding in findings):
        raise typer.Exit(1)
    if refused:
        raise typer.Exit(refused[0].exit_code if not found else 1)


def _findings(path: Path, repair: bool, quiet: bool) -> list[Finding]:
    with stdout_to_stderr():
        from grokscope import verify as verified

        return verified(path, repair=repair, notify=lambda sentence: say(sentence, quiet))


def printable_line(path: Path, finding: Finding) -> str:
    """Return one finding as a line, with where it is."""
    from grokscope.report.text import printable

    return printable(f"{path}/{finding}").replace("\n", " ")


def _as_list(found: dict[Path, list[Finding]]) -> list[dict[str, Any]]:
    return [{"run": str(path), **asdict(finding)} for path, each in found.items() for finding in each]
