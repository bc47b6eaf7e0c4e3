"""Prieto et al. 2025, arXiv 2501.04697: softmax collapse and naive loss minimisation, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    from grokscope_prieto import claims

    return [
        claims.collapse_stops_generalising,
        claims.margins_grow_by_scale,
        claims.orthogonal_gradient_groks_sooner,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_prieto import figures

    return figures.FIGURES
