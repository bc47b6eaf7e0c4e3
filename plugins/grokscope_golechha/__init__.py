"""Golechha 2024, arXiv 2405.12755: three progress measures on real data, claims and figures."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, figure, hookimpl
from grokscope_golechha import claims, figures


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims."""
    return [
        claims.norm_rises,
        claims.generalises_with_rising_norm,
        claims.norm_not_needed,
        claims.sparsity_plateaus_before,
        claims.weight_entropy_falls,
        claims.weight_entropy_still_before,
        claims.circuit_complexity_falls,
        claims.no_delay,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figures."""
    return figures.FIGURES
