"""Tan & Huang's abelian test: does the network know that a + b = b + a?"""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, Measure, hookimpl
from grokscope_abelian import hypotheses
from grokscope_abelian.measures import abelian


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Register the family `abelian`."""
    return [abelian]


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what its paper claims."""
    return [hypotheses.agreement_early_when_perturbed, hypotheses.agreement_late_when_plain]
