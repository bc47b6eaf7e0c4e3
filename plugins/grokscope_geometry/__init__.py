"""The geometry family: the shape of weights, features, linear regions, loss and kernel."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_geometry import matrices, measures, units


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [
        matrices.effective_rank,
        matrices.stable_rank,
        matrices.participation_ratio,
        matrices.condition_number,
        matrices.gini,
        matrices.hoyer,
        measures.cka,
        matrices.weight_distance,
        units.local_complexity,
        measures.softmax_collapse,
        units.effective_sparsity,
        measures.llc,
        measures.ntk_distance,
    ]
