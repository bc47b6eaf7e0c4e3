"""The command line: a file per command; each parses, calls the library once, and prints.

Nothing heavy is imported here: `grokscope --help` loads neither torch nor numpy nor a plugin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from grokscope.cli.analyze import analyze
from grokscope.cli.doctor import doctor
from grokscope.cli.export import export
from grokscope.cli.importing import import_
from grokscope.cli.list import list_
from grokscope.cli.measures import measures
from grokscope.cli.new_plugin import new_plugin
from grokscope.cli.phases import phases
from grokscope.cli.plot import plot
from grokscope.cli.plugins import plugins
from grokscope.cli.predict import predict
from grokscope.cli.recipes import recipes
from grokscope.cli.report import report
from grokscope.cli.reproduce import reproduce
from grokscope.cli.rm import rm
from grokscope.cli.score import score
from grokscope.cli.show import show
from grokscope.cli.sweep import sweep
from grokscope.cli.terminal import Stopped, say
from grokscope.cli.train import train
from grokscope.errors import GrokscopeError

app = typer.Typer(
    name="grokscope",
    help="Train networks until they grok, keep every checkpoint, and measure the checkpoints afterwards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Make runs": {"train": train, "sweep": sweep, "import": import_, "list": list_, "rm": rm},
    "Measure": {"analyze": analyze, "show": show, "export": export},
    "See and decide": {
        "plot": plot,
        "score": score,
        "phases": phases,
        "predict": predict,
        "report": report,
        "reproduce": reproduce,
    },
    "What there is": {
        "measures": measures,
        "plugins": plugins,
        "recipes": recipes,
        "doctor": doctor,
        "new-plugin": new_plugin,
    },
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"grokscope {version('grokscope')}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ["GROKSCOPE_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 3 some failed, 130 / 143 a signal."""
    try:
        app()
    except GrokscopeError as error:
        if os.environ.get("GROKSCOPE_DEBUG"):
            raise
        say(f"grokscope: {error}")
        sys.exit(error.exit_code)
    except Stopped as stopped:
        sys.exit(stopped.code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
