"""The landscape family: how the loss bends around the weights, and how the logits lean on the inputs."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_landscape import inputs, weights


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [weights.commutator_defect, weights.hessian_spectrum, inputs.jacobian_alignment]
