"""How a command reads its words and names them: what options were called before, and flags without a type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from typer.core import TyperCommand, TyperGroup

from grokscope.cli.wording import speak_of
from grokscope.errors import UsageError

# What was an option's name before every command had the same; it still works, and no help shows it.
FORMER = {
    "analyze": {"--out": "--results"},
    "predict": {"--out": "--results"},
    "export": {"--out": "--output"},
    "report": {"--out": "--output"},
}


EXAMPLES = "Examples"


class _Ours:
    """How the words of a command, or those before it, are read."""

    def get_params(self, ctx: Any) -> Any:
        """Return the arguments and options."""
        return [_ours(each) for each in super().get_params(ctx)]  # type: ignore[misc]


class Command(_Ours, TyperCommand):
    """A command of grokscope."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and its last lines as they are: typer would put an empty one between them."""
        last, self.epilog = self.epilog, None
        try:
            super().format_help(ctx, formatter)
        finally:
            self.epilog = last
        print_lines(last or "")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words, some of which may be of an earlier day."""
        former = FORMER.get(self.name or "", {})
        return super().parse_args(ctx, [_renamed(word, former) for word in args])

    def invoke(self, ctx: Any) -> Any:
        """Run it; what the library says of its arguments is said of the options."""
        speak_of(self.params)
        return super().invoke(ctx)


@dataclass(frozen=True)
class _Reader:
    """Reads text, paths and what was not given; the rest is typer's.

    Typer has pydantic read each word, which takes longer to be loaded than most commands take to run.
    """

    by_typer: Callable[[Any], Any]

    def itself(self) -> _Reader:
        """Return the reader, where typer asks for its own."""
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the words `value` stand for."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        kind = param.type_descriptor.annotation
        kind, words = (*get_args(kind), value) if several else (kind, [value])
        if kind not in (str, Path) and any(type(word) is not kind for word in words):
            return self.by_typer(param).coerce(value, param=param, ctx=ctx)
        read = [_path(word, param) if kind is Path else kind(word) for word in words]
        return read if several else read[0]


def _path(word: Any, param: Any) -> Any:
    """Return the path, or of what may also lie at a URL the site. Raises UsageError for other URLs."""
    if "://" not in str(word):
        return Path(word)
    reader = param.type_descriptor.parameter_info.parser
    if reader is None:
        raise UsageError(f"{param.opts[-1]} must be on this machine, got the URL {word}")
    return reader(word)


class Group(_Ours, TyperGroup):
    """All commands of grokscope."""


def print_lines(text: str) -> None:
    """Print what ends a help: a title, and lines below it that are kept as they are."""
    from rich.console import Console
    from rich.padding import Padding

    title, *others = text.split("\n\n")
    if title:
        text = "\n".join([f"[dim]{title}[/dim]", *(f"  {line}" for line in others)])
        Console(highlight=False, emoji=False).print(Padding(text, (0, 1, 1, 1)))


def help_and_examples(docstring: str) -> tuple[str, str]:
    """Return what a command's docstring says of it, and its examples as the last lines of its help."""
    words, _, examples = docstring.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    return words.strip(), "\n\n".join([EXAMPLES, *lines])


def _renamed(word: str, former: dict[str, str]) -> str:
    flag, equals, value = word.partition("=")
    return former.get(flag, flag) + equals + value


def _ours(parameter: Any) -> Any:
    """Return the parameter: a flag takes no value, so help shows no type of it."""
    if getattr(parameter, "is_flag", False):
        parameter.metavar = ""
    if hasattr(parameter, "get_runtime_param"):
        parameter.get_runtime_param = _Reader(type(parameter).get_runtime_param).itself
    return parameter
