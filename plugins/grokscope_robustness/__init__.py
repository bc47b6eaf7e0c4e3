"""The robustness family: weight norms, sharpness, sensitivity to noise, their bounds (Tan & Huang 2023)."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_robustness import measures


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the measures of the family."""
    return [
        measures.weight_norm,
        measures.perturbation_error,
        measures.sharpness,
        measures.pc,
        measures.cd,
        measures.input_gradient,
        measures.predicted_accuracy,
    ]
