"""`grokscope doctor`: what is installed, what is missing, and whether a small run comes out right."""

from __future__ import annotations

import typer

from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json, stdout_to_stderr


def doctor(
    json: Json = False,
) -> None:
    """Check this installation: versions, extras, plugins, device, and a self-test of some seconds.

    The self-test trains a tiny network in a temporary folder, measures it, and reads it back. Exit code 1
    where something is amiss: a dependency too old, a broken plugin, a self-test that fails.

    Examples:
        grokscope doctor
        grokscope doctor --json
    """
    from grokscope.doctor import examine

    with stdout_to_stderr():
        checks = examine()
    if json:
        print_json([check.as_dict() for check in checks])
    else:
        from grokscope.report.listing import checks_table

        print_data(checks_table(checks))
    if any(check.amiss for check in checks):
        raise typer.Exit(1)
