"""How well a column tells runs that will grok from those that never do, whatever their setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokscope.statistics.estimates import Estimate, separation_of_settings
from grokscope.statistics.league.sightings import Sighting


def separated(rows: Sequence[Sighting], feature: str, confidence: float, seed: int) -> Estimate:
    """Return the AUROC of `feature`, `value` or `moved`, see `separation_of_settings`."""
    units: dict[tuple[bool, str], list[float]] = {}
    for row in rows:
        value = getattr(row, feature)
        if np.isfinite(value):
            units.setdefault((not row.fate.groks, row.fate.setting), []).append(value)
    ordered = sorted(units)
    first = sum(not never for never, _ in ordered)
    values = [np.array(units[unit]) for unit in ordered]
    signs = np.array([[np.sign(one[:, None] - other).mean() for other in values] for one in values])
    return separation_of_settings(signs.reshape(len(ordered), len(ordered)), first, confidence, seed)
