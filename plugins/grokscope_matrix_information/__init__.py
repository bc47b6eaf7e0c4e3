"""Matrix information: Rényi entropies of the Gram matrices of layers (Tan & Huang 2023, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, Measure, hookimpl
from grokscope_matrix_information import hypotheses
from grokscope_matrix_information.measures import ed, mid, pe, pmi, pmi_label


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the measures of the family."""
    return [pe, pmi, ed, mid, pmi_label]


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what its paper claims."""
    return [hypotheses.ed_small_or_falling_early, hypotheses.mid_small_or_falling_early]
