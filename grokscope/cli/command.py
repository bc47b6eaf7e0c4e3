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


class Command(TyperCommand):
    """A command of grokscope."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words, some of which may be of an earlier day."""
        former = FORMER.get(self.name or "", {})
        return super().parse_args(ctx, [_renamed(word, former) for word in args])

    def invoke(self, ctx: Any) -> Any:
        """Run it; what the library says of its arguments is said of the options."""
        speak_of(self.params)
        return super().invoke(ctx)

    def get_params(self, ctx: Any) -> Any:
        """Return the options; a flag takes no value, so help shows no type of it."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """All commands of grokscope."""

    def get_params(self, ctx: Any) -> Any:
        """Return the options; a flag takes no value, so help shows no type of it."""
        return _without_types(super().get_params(ctx))


def _renamed(word: str, former: dict[str, str]) -> str:
    flag, equals, value = word.partition("=")
    return former.get(flag, flag) + equals + value


def _without_types(parameters: list[Any]) -> list[Any]:
    for each in parameters:
        if getattr(each, "is_flag", False):
            each.metavar = ""
    return parameters
