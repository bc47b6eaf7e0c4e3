"""Kumar et al. 2023, arXiv 2310.06110: from lazy to rich training, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run; what its figure compares is asked by `reproduce` alone."""
    from grokscope_kumar import claims

    return [
        claims.kernel_moves_after_memorising,
        claims.test_loss_falls_as_kernel_moves,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_kumar import figures

    return figures.FIGURES
