"""Clauw et al. 2024, arXiv 2408.08944: synergy and redundancy as a network groks, claims and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run; what its figures compare is asked by `reproduce` alone."""
    from grokscope_clauw import claims

    return [claims.early_synergy_peak, claims.synergy_peak_tells]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figures."""
    from grokscope_clauw import figures

    return figures.FIGURES
