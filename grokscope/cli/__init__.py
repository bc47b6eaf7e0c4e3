"""The command line: a file per command; each parses, calls the library once, and prints.

Nothing heavy is imported here: `grokscope --help` loads neither torch nor numpy nor a plugin.
"""

from __future__ import annotations

import atexit
import functools
import gc
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokscope.cli.command import Command, Group, help_and_examples, print_lines
from grokscope.cli.options import with_plugins
from grokscope.cli.terminal import Stopped, say
from grokscope.errors import GrokscopeError, ReaderGone
from grokscope.report.text import printable
from grokscope.streams import guarded_streams

if TYPE_CHECKING:
    from grokscope.cli.settings import SettingOption

# By panel of the help: each command's file and, where it has another name, its function.
PANELS = {
    "Make runs": {
        "train": "train",
        "sweep": "sweep",
        "import": "importing:import_",
        "list": "list:list_",
        "rm": "rm",
    },
    "Measure": {"analyze": "analyze", "show": "show", "export": "export", "verify": "verify"},
    "See and decide": {
        "plot": "plot",
        "score": "score",
        "phases": "phases",
        "predict": "predict",
        "league": "league",
        "report": "report",
        "reproduce": "reproduce",
    },
    "What there is": {
        "measures": "measures",
        "plugins": "plugins",
        "recipes": "recipes",
        "doctor": "doctor",
        "new-plugin": "new_plugin",
    },
}
SETTABLE = ("train", "sweep")
LOAD_NO_PLUGINS = ("show", "recipes", "list", "rm", "new-plugin")
FIRST_GARBAGE, LATER_GARBAGE = 500_000, 50_000  # what is made, less what is gone, before it is looked through
HELP = {"help_option_names": ["-h", "--help"]}
_PLACES = {name: place for places in PANELS.values() for name, place in places.items()}


class _Known(Mapping[str, Any]):
    """The commands by name, each made when it is asked for: most run quicker than all are made."""

    def __getitem__(self, name: str) -> Any:
        if name not in _PLACES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


def _function(name: str) -> Any:
    """Return a command's function, from its file."""
    file, _, function = _PLACES[name].partition(":")
    return getattr(import_module(f"grokscope.cli.{file}"), function or file)


def _summary(name: str) -> str:
    """Return what a command does: the first paragraph of its help."""
    return (inspect.getdoc(_function(name)) or "").partition("\n\n")[0].replace("\n", " ")


@functools.cache
def _command(name: str) -> Any:
    return _made(name, ())


def _made(name: str, options: Sequence[SettingOption]) -> Any:
    """Make a command, with what every command has."""
    own = _function(name)
    words, examples = help_and_examples(inspect.getdoc(own) or "")
    if name in SETTABLE:
        from grokscope.cli.settings import with_settings

        own = with_settings(own, options)
    alone = typer.Typer(rich_markup_mode="rich", add_completion=False, context_settings=HELP)
    added = alone.command(name, cls=Command, help=words, epilog=examples)
    added(own if name in LOAD_NO_PLUGINS else with_plugins(own))
    return typer.main.get_command(alone)


class Commands(Group):
    """All commands; `train` and `sweep` take the settings of the task that they are called with."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"commands": _Known()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the words begin with, and the other words."""
        name, command, words = super().resolve_command(ctx, args)
        if name in SETTABLE:
            from grokscope.cli.settings import for_words

            try:
                command = for_words(command, partial(_made, name), words)
            except GrokscopeError:
                if not ctx.resilient_parsing:  # a shell that completes shows no errors
                    raise
        return name, command, words

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the options, and each command with what it does."""
        from grokscope.cli.overview import print_overview

        panels = {title: [(name, _summary(name)) for name in places] for title, places in PANELS.items()}
        print_overview(self.get_usage(ctx), self.help or "", self.get_params(ctx), panels)
        print_lines(self.epilog or "")


app = typer.Typer(
    name="grokscope",
    cls=Commands,
    help="Train networks until they grok, keep every checkpoint, and measure the checkpoints afterwards.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="\n\n".join(
        [
            "Variables",
            "GROKSCOPE_DATA_DIR: where data sets lie, as --data-dir says; else data/",
            "GROKSCOPE_MAX_MEMORY: the memory that measuring may take, as --max-memory says; else a quarter",
            "GROKSCOPE_DISABLE_PLUGINS: plugins to leave out, as --no-plugins does; separated by commas",
            "GROKSCOPE_DEBUG: show the traceback of an error, as --debug does",
        ]
    ),
    context_settings=HELP,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"grokscope {version('grokscope')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        os.environ["GROKSCOPE_DEBUG"] = "1"


def main() -> None:
    """Run the command line and exit with what it came to.

    0 done, 1 failed, 2 usage, 3 some failed, 129 / 130 / 143 a signal, 141 where the reader of stdout has
    gone.

    Python processes that it starts do not look for modules in the current folder: it may be a downloaded one.
    numpy's and scipy's OpenBLAS, which knows nothing of torch's number of threads, takes one where nobody
    says otherwise: a second one waits busily while other workers compute, and takes seven times as long.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _look_late_for_garbage()
    with guarded_streams():
        code = _ended()
    sys.exit(code)


def _look_late_for_garbage() -> None:
    """Let a short command end before garbage is looked for, which takes a fifth of its time.

    Also at its end, when all goes anyway. Longer ones look rarely from the first time on.
    """
    if gc.get_threshold()[0] >= LATER_GARBAGE:  # a command was run in this process before
        return
    gc.set_threshold(FIRST_GARBAGE, 20, 100)
    gc.callbacks.append(_look_rarely)
    atexit.register(gc.freeze)


def _look_rarely(phase: str, info: Mapping[str, int]) -> None:
    gc.set_threshold(LATER_GARBAGE, 20, 100)
    gc.callbacks.remove(_look_rarely)


def _ended() -> int:
    """Run the command and return its exit code; every failure has been told."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ReaderGone as gone:
        return gone.exit_code
    except GrokscopeError as error:
        if os.environ.get("GROKSCOPE_DEBUG"):
            say(traceback.format_exc())
        say(f"grokscope: {error}")
        return error.exit_code
    except Stopped as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return 130
    except typer.Abort:
        say("grokscope: given up, nothing was changed")
        return 1
    except MemoryError:
        say("grokscope: there is not enough memory for this; close other programs, or ask for less at once")
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):
            return _misused(error)
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Tell of an error that nobody foresaw: one about a file in a sentence, all else to be reported."""
    if isinstance(error, OSError) and error.filename and not os.environ.get("GROKSCOPE_DEBUG"):
        say(f"grokscope: {error.filename} cannot be used: {error.strerror or error}")
        return 1
    say(traceback.format_exc().rstrip())
    say(
        "grokscope: this is a bug in grokscope or in a plugin; please report it to its authors with the "
        "lines above, the command, and what `grokscope --version` says"
    )
    return 1


def _misused(error: Any) -> int:
    """Show typer's own error; words of the command line in it cannot move anything either."""
    from typer.rich_utils import rich_format_error

    error.message = printable(error.message)
    rich_format_error(error)
    return int(error.exit_code)
