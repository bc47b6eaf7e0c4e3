"""Liu et al. 2022 (Omnigrok), arXiv 2210.01117: weight norm and loss landscape, claims and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run."""
    from grokscope_omnigrok import claims

    return [
        claims.later_as_decay_is_less,
        claims.one_norm_at_grokking,
        claims.test_loss_falls_with_norm,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figure."""
    from grokscope_omnigrok import figures

    return figures.FIGURES
