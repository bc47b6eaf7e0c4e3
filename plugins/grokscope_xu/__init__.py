"""Xu 2026, arXiv 2602.16746: the commutator defect, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, figure, hookimpl
from grokscope_xu import claims, figures


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    return [
        claims.defect_grows_first,
        claims.defect_growth_tells,
        claims.defect_larger_with_decay,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    return figures.FIGURES
