"""Nanda et al. 2023, arXiv 2301.05217: circuit formation and cleanup, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    from grokscope_nanda import claims

    return [
        claims.excluded_loss_rises,
        claims.restricted_loss_falls_first,
        claims.gini_rises_in_cleanup,
        claims.norm_falls_in_cleanup,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_nanda import figures

    return figures.FIGURES
