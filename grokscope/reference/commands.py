"""The page of commands: what `--help` says of each, in one place."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import typer

from grokscope.cli import PANELS, app
from grokscope.reference.markdown import code, escaped, page, table

KINDS = ("argument", "option")


def commands_page() -> str:
    """Return the page of all commands, in the panels of `grokscope --help`."""
    known: Any = typer.main.get_command(app)
    parts = (
        part
        for panel, names in PANELS.items()
        for part in (f"## {panel}", *(text for name in names for text in _command(known, name)))
    )
    return page("Commands", "What `grokscope COMMAND --help` says.", *parts)


def _command(known: Any, name: str) -> Iterable[str]:
    command = known.commands[name]
    kinds = {kind: [each for each in command.params if each.param_type_name == kind] for kind in KINDS}
    yield f"### grokscope {name}"
    yield code(" ".join(["grokscope", name, *map(_usage, kinds["argument"]), "[OPTIONS]"]))
    yield escaped(inspect.cleandoc(command.help or ""))
    _, *examples = command.epilog.split("\n\n")
    yield "\n".join(["```console", *(f"$ {example}" for example in examples), "```"])
    if kinds["argument"]:
        rows = ((code(_metavar(each)), escaped(each.help or "")) for each in kinds["argument"])
        yield table(["argument", "what it is"], rows)
    shown = [option for option in kinds["option"] if not option.hidden]
    for panel, options in groupby(shown, lambda option: option.rich_help_panel):
        yield table([panel or "option", "default", "what it does"], map(_option, options))


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _usage(argument: Any) -> str:
    several = _metavar(argument) + "..." * (argument.nargs == -1)
    return several if argument.required else f"[{several}]"


def _option(option: Any) -> list[str]:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    names = ", ".join(code(name + value) for name in [*option.opts, *option.secondary_opts])
    shown = (
        option.show_default and option.default not in (None, False, "", ()) and not callable(option.default)
    )
    return [names, code(option.default) if shown else "–", escaped(option.help or "")]
