"""Golechha's progress measures for grokking: activation sparsity, weight entropy, circuit complexity."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_progress.dropping import dropout_robustness
from grokscope_progress.measures import activation_sparsity, circuit_complexity, weight_entropy


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Register the family `progress`."""
    return [activation_sparsity, weight_entropy, circuit_complexity, dropout_robustness]
