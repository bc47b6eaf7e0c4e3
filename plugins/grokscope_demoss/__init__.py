"""DeMoss et al. 2024, arXiv 2412.09810: the complexity of networks that grok, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    from grokscope_demoss import claims

    return [
        claims.complexity_rises_and_falls,
        claims.complexity_fall_tells,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_demoss import figures

    return figures.FIGURES
