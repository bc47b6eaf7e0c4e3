"""`--model`, `--data`, `--trust`: the user's word on code that a run names and no plugin brings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any

import typer

PANEL = "Code that no plugin brings"
OPTIONS: dict[str, tuple[Any, Any]] = {
    "model": (
        Annotated[
            str | None,
            typer.Option(
                metavar="PACKAGE.MODULE:FACTORY",
                help="Repeat the network that the run names, to have it imported.",
                rich_help_panel=PANEL,
            ),
        ],
        None,
    ),
    "data": (
        Annotated[
            str | None,
            typer.Option(
                metavar="PACKAGE.MODULE:FACTORY",
                help="Repeat the task that the run names, to have it imported.",
                rich_help_panel=PANEL,
            ),
        ],
        None,
    ),
    "trust": (
        Annotated[
            bool,
            typer.Option("--trust", help="Import whatever code the run names.", rich_help_panel=PANEL),
        ],
        False,
    ),
}
_given: ContextVar[dict[str, Any]] = ContextVar("given", default={})  # noqa: B039 - never written to


def names_code(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options on a command that opens runs and measures them; `given` has them while it runs."""

    @functools.wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        token = _given.set({name: options.pop(name) for name in OPTIONS})
        try:
            command(*arguments, **options)
        finally:
            _given.reset(token)

    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [
        inspect.Parameter(name, keyword, default=default, annotation=kind)
        for name, (kind, default) in OPTIONS.items()
    ]
    signature = inspect.signature(command, eval_str=True)
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *own]
    )
    return call


def given() -> dict[str, Any]:
    """Return what the user said: `model`, `data` and `trust`, as `analyze_many` takes them."""
    return _given.get()
