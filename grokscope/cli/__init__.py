"""The command line: a file per command; each parses, calls the library once, and prints.

Nothing heavy is imported here: `grokscope --help` loads neither torch nor numpy nor a plugin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from grokscope.cli.analyze import analyze
from grokscope.cli.export import export
from grokscope.cli.importing import import_
from grokscope.cli.measures import measures
from grokscope.cli.phases import phases
from grokscope.cli.plot import plot
from grokscope.cli.plugins import plugins
from grokscope.cli.predict import predict
from grokscope.cli.recipes import recipes
from grokscope.cli.report import report
from grokscope.cli.reproduce import reproduce
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
    "Make runs": {"train": train, "sweep": sweep, "import": import_},
    "Measure": {"analyze": analyze, "show": show, "export": export},
    "See and decide": {
        "plot": plot,
        "score": score,
        "phases": phases,
        "predict": predict,
        "report": report,
        "reproduce": reproduce,
    },
    "What there is": {"measures": measures, "plugins": plugins, "recipes": recipes},
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
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ["GROKSCOPE_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 3 some failed, 130 / 143 a signal.

    Python processes that it starts do not look for modules in the current folder: it may be a downloaded one.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
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
    except MemoryError:
        say("grokscope: there is not enough memory for this; close other programs, or ask for less at once")
        sys.exit(1)
    except OSError as error:
        if os.environ.get("GROKSCOPE_DEBUG") or error.filename is None:
            _end_of_bug()
        say(f"grokscope: {error.filename} cannot be used: {error.strerror or error}")
        sys.exit(1)
    except Exception:
        _end_of_bug()


def _end_of_bug() -> NoReturn:
    """Show the traceback of an error that nobody foresaw, and how to report it."""
    import traceback

    traceback.print_exc()
    say(
        "grokscope: this is a bug in grokscope or in a plugin; please report it to its authors with the "
        "lines above, the command, and what `grokscope --version` says"
    )
    sys.exit(1)
