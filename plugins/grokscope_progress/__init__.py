"""Golechha's progress measures for grokking: activation sparsity, weight entropy, circuit complexity."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, Measure, hookimpl
from grokscope_progress import hypotheses
from grokscope_progress.measures import activation_sparsity, circuit_complexity, weight_entropy


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Register the family `progress`."""
    return [activation_sparsity, weight_entropy, circuit_complexity]


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what its paper claims."""
    return [
        hypotheses.generalises_with_growing_norm,
        hypotheses.sparsity_plateaus_before,
        hypotheses.weight_entropy_falls,
    ]
