"""Kumar et al. 2023, arXiv 2310.06110: from lazy to rich training, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Hypothesis, figure, hookimpl
from grokscope_kumar import claims, figures


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run; what its figure compares is asked by `reproduce` alone."""
    return [
        claims.kernel_moves_after_memorising,
        claims.test_loss_falls_as_kernel_moves,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    return figures.FIGURES
