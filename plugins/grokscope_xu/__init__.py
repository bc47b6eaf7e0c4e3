"""Xu 2026, arXiv 2602.16746: the commutator defect, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    from grokscope_xu import claims

    return [
        claims.defect_grows_first,
        claims.defect_growth_tells,
        claims.defect_larger_with_decay,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_xu import figures

    return figures.FIGURES
