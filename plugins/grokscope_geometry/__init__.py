"""The geometry family: the shape of weights, features, linear regions, loss and kernel."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_geometry import heavy_tail, landscape, regions, representations, weights


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [
        weights.effective_rank,
        weights.stable_rank,
        weights.participation_ratio,
        weights.condition_number,
        weights.gini,
        weights.hoyer,
        heavy_tail.heavy_tail,
        representations.cka,
        weights.weight_distance,
        regions.local_complexity,
        landscape.softmax_collapse,
        representations.effective_sparsity,
        landscape.llc,
        landscape.ntk_distance,
    ]
