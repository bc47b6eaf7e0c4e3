"""The robustness family: weight norms, sharpness, sensitivity to noise, bounds, margins."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_robustness import curvature, margins, noise, weights


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the measures of the family."""
    return [
        weights.weight_norm,
        noise.perturbation_error,
        curvature.sharpness,
        noise.pc,
        noise.cd,
        curvature.input_gradient,
        curvature.predicted_accuracy,
        margins.margin,
    ]
