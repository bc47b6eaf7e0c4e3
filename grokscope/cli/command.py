"""How a command reads its words and names them: what options were called before, and flags without a type."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from grokscope.cli.wording import speak_of

# What was an option's name before every command had the same; it still works, and no help shows it.
FORMER = {
    "analyze": {"--out": "--results"},
    "predict": {"--out": "--results"},
    "export": {"--out": "--output"},
    "report": {"--out": "--output"},
}


EXAMPLES = "Examples"


class _Shown:
    """How a command's help is shown."""

    epilog: str | None

    def get_params(self, ctx: Any) -> Any:
        """Return the options; a flag takes no value, so help shows no type of it."""
        return _without_types(super().get_params(ctx))  # type: ignore[misc]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help, and its last lines as they are: typer would put an empty one between them."""
        last, self.epilog = self.epilog, None
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self.epilog = last
        _print_lines((last or "").split("\n\n"))


class Command(_Shown, TyperCommand):
    """A command of grokscope."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words, some of which may be of an earlier day."""
        former = FORMER.get(self.name or "", {})
        return super().parse_args(ctx, [_renamed(word, former) for word in args])

    def invoke(self, ctx: Any) -> Any:
        """Run it; what the library says of its arguments is said of the options."""
        speak_of(self.params)
        return super().invoke(ctx)


class Group(_Shown, TyperGroup):
    """All commands of grokscope."""


def _print_lines(lines: list[str]) -> None:
    from rich.console import Console
    from rich.padding import Padding

    title, *others = lines
    if title:
        text = "\n".join([f"[dim]{title}[/dim]", *(f"  {line}" for line in others)])
        Console(highlight=False).print(Padding(text, (0, 1, 1, 1)))


def help_and_examples(docstring: str) -> tuple[str, str]:
    """Return what a command's docstring says of it, and its examples as the last lines of its help."""
    words, _, examples = docstring.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    return words.strip(), "\n\n".join([EXAMPLES, *lines])


def _renamed(word: str, former: dict[str, str]) -> str:
    flag, equals, value = word.partition("=")
    return former.get(flag, flag) + equals + value


def _without_types(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters
