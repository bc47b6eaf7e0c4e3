"""Which runs are seeds of one setting: their evidence is not that of so many runs."""

from __future__ import annotations

from collections.abc import Iterable

from grokscope.results import Comparison


def by_settings(comparison: Comparison, runs: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    """Return the settings other than seeds in which runs differ, and the runs that are alike in them."""
    names = [name for name in comparison.settings if not name.split(".")[-1].endswith("seed")]
    groups: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        settings = comparison.settings_of(run)
        groups.setdefault(tuple(str(settings[name]) for name in names), []).append(run)
    return names, list(groups.values())
