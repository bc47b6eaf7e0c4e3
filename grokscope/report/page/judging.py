"""What statistics says of a comparison for its report, and, where it cannot, why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from grokscope.analysis.comparison import Comparison
from grokscope.errors import GrokscopeError


def judged(comparison: Comparison) -> tuple[Any, Mapping[str, Any], list[str]]:
    """Return scores, phases by run, and a sentence for each of them that cannot be had."""
    notes: list[str] = []
    scores = _tried("scores", "score", comparison, notes)
    phases = {
        run: found
        for run, results in comparison.runs.items()
        if (found := _tried("phases", "phases", results, notes)) is not None
    }
    return scores, phases, list(dict.fromkeys(notes))


def _tried(what: str, name: str, given: Any, notes: list[str]) -> Any:
    try:
        return _statistic(name)(given)
    except (GrokscopeError, ModuleNotFoundError) as error:
        notes.append(f"There are no {what}: {error}.")
        return None


def _statistic(name: str) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = getattr(import_module(f"grokscope.statistics.{name}"), name)
    return function
