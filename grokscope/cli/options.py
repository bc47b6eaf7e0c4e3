"""Options that several commands share, and how `name=value` is read."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from grokscope.errors import SettingError, UnknownName

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages but errors.")]
NoPlugins = Annotated[
    list[str] | None,
    typer.Option(
        "--no-plugins",
        metavar="NAME",
        help="Leave a plugin out, as $GROKSCOPE_DISABLE_PLUGINS does; may be repeated.",
    ),
]


def with_plugins(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that loads plugins the option to leave some out."""
    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(
        "no_plugins", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=NoPlugins
    )

    @functools.wraps(command)
    def run(*args: Any, no_plugins: list[str] | None = None, **options: Any) -> None:
        with _left_out(no_plugins or []):
            command(*args, **options)

    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@contextmanager
def _left_out(names: Iterable[str]) -> Iterator[None]:
    """Leave plugins out for the block, whoever loads them. Raises UnknownName."""
    names = [name.strip() for given in names for name in given.split(",")]
    if not names:
        yield
        return
    from grokscope.discovery import left_out, plugin_names
    from grokscope.registry import LEFT_OUT

    known = plugin_names()
    for name in names:
        if name not in known:
            raise UnknownName("plugin", name, known)
    before = os.environ.get(LEFT_OUT)
    os.environ[LEFT_OUT] = ",".join([*left_out(), *names])
    try:
        yield
    finally:
        if before is None:
            del os.environ[LEFT_OUT]
        else:
            os.environ[LEFT_OUT] = before


def key_values(pairs: Iterable[str], flag: str) -> dict[str, str]:
    """Return `name=value` texts as a dict. Raises SettingError for one without a name or equals sign, and for
    a name that comes twice."""
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"{flag} must be NAME=VALUE, got {pair!r}")
        if name.strip() in given:
            raise SettingError(f"{flag} {name.strip()} must be given once, got it twice")
        given[name.strip()] = value.strip()
    return given
