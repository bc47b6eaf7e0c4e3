"""What statistics says of a comparison for its report, and, where it cannot, why not."""

from __future__ import annotations

from collections.abc import Mapping

from grokscope.errors import GrokscopeError
from grokscope.results import Comparison
from grokscope.statistics.phases import Phases, phases
from grokscope.statistics.score import Scores, score


def judged(comparison: Comparison) -> tuple[Scores | None, Mapping[str, Phases], list[str]]:
    """Return scores, phases by run, and a sentence for each of them that cannot be had."""
    notes: list[str] = []
    scores = None
    try:
        scores = score(comparison)
    except GrokscopeError as error:
        notes.append(f"There are no scores: {error}.")
    found = {}
    for run, results in comparison.runs.items():
        try:
            found[run] = phases(results)
        except GrokscopeError as error:
            notes.append(f"There are no phases: {error}.")
    return scores, found, list(dict.fromkeys(notes))
