"""Matrix information: Rényi entropies of the Gram matrices of layers (Tan & Huang 2023, section 6)."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_matrix_information.measures import ed, mid, pe, pmi, pmi_label


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the measures of the family."""
    return [pe, pmi, ed, mid, pmi_label]
