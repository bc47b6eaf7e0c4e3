"""What a shell offers for a value: what is registered, and the run directories there are; torch stays out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokscope.registry import Plugins


def _offering(names: Callable[[Plugins], Iterable[str]], several: bool = False) -> Callable[[str], list[str]]:
    """Return what typer asks for the values that may follow what is typed; of `several` for the last one."""

    def offer(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",") if several else ("", "", "")
        found = (f"{before}{comma}{name}" for name in names(_plugins()))
        return [each for each in dict.fromkeys(found) if each.startswith(incomplete)]

    return offer


def _plugins() -> Plugins:
    from grokscope.discovery import load_plugins

    with contextlib.redirect_stdout(io.StringIO()):  # whatever a plugin prints is no value
        return load_plugins()


def _measures(plugins: Plugins) -> Iterator[str]:
    yield from plugins.measures
    yield from (plugin.name for plugin in plugins.plugins if plugin.measures)
    yield "all"


def _columns(plugins: Plugins) -> Iterator[str]:
    for title, registered in plugins.measures.items():
        yield from (f"{title}.{column.name}" for column in registered.measure.columns)


def _measures_and_columns(plugins: Plugins) -> Iterator[str]:
    yield from _measures(plugins)
    yield from _columns(plugins)


measures = _offering(_measures)
measure_names = _offering(_measures_and_columns, several=True)
column = _offering(_columns)
columns = _offering(_columns, several=True)
tasks = _offering(lambda plugins: plugins.tasks)
models = _offering(lambda plugins: plugins.models)
figures = _offering(lambda plugins: plugins.figures)
plugin_names = _offering(lambda plugins: (plugin.name for plugin in plugins.plugins))


def recipes(incomplete: str) -> list[str]:
    """Return the recipes whose names begin so."""
    from grokscope.training.recipes import load_recipes

    return [name for name in load_recipes() if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Return the run directories that begin so, and other directories, which may hold some, with a slash."""
    from grokscope.run.config import RUN_FILE

    typed = Path(incomplete)
    folder, begun = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    try:
        found = sorted(each for each in folder.iterdir() if each.is_dir() and each.name.startswith(begun))
    except OSError:
        return []
    shown = [each for each in found if begun.startswith(".") or not each.name.startswith(".")]
    return [str(each) if (each / RUN_FILE).exists() else f"{each}/" for each in shown]
