"""Which runs are seeds of one setting: their evidence is not that of so many runs."""

from __future__ import annotations

from collections.abc import Iterable

from grokscope.results import Comparison


def by_settings(comparison: Comparison, runs: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    """Return the settings other than seeds in which runs differ, and the runs that are alike in them."""
    wanted = set(runs)
    groups = ([run for run in alike if run in wanted] for alike in comparison.repetitions.values())
    return list(comparison.kinds), [group for group in groups if group]
