"""Golechha 2024, arXiv 2405.12755: three progress measures on real data, claims and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims."""
    from grokscope_golechha import claims

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
    from grokscope_golechha import figures

    return figures.FIGURES
