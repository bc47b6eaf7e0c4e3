"""The family `oinfo`: synergy and redundancy of a hidden layer (Clauw et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, Measure, hookimpl
from grokscope_oinfo import hypotheses
from grokscope_oinfo.measures import oinfo


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [oinfo]


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what its paper claims."""
    return [hypotheses.early_synergy_peak, hypotheses.synergy_peak_tells]
