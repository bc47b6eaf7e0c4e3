"""DeMoss et al. 2024, arXiv 2412.09810: the complexity of networks that grok, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, figure, hookimpl
from grokscope_demoss import claims, figures


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    return [
        claims.complexity_rises_and_falls,
        claims.complexity_fall_tells,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    return figures.FIGURES
