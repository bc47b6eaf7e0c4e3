"""`grokscope new-plugin`: a working package with one measure and its test, to be made one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grokscope.cli.options import Json
from grokscope.cli.terminal import print_data, print_json, say


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the family and its first measure, for example tails.")],
    folder: Annotated[
        Path, typer.Option("--out", help="Where the package's folder is made.", show_default=False)
    ] = Path("."),
    json: Json = False,
) -> None:
    """Write a new plugin: a package with one measure and its test, which passes as it is.

    Examples:
        grokscope new-plugin tails
        grokscope new-plugin tails --out ~/plugins
    """
    from grokscope.scaffold import write_plugin

    files = write_plugin(name, folder)
    if json:
        print_json([str(file) for file in files])
    else:
        print_data("\n".join(map(str, files)))
    say(f"next: pip install --editable {files[0].parent}, then grokscope measures {name}")
