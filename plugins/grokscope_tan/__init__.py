"""Tan & Huang 2023, arXiv 2311.06597: grokking and the robustness of a network, claims and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope import hookimpl

if TYPE_CHECKING:
    from grokscope import Hypothesis, figure


@hookimpl
def grokscope_hypotheses() -> Sequence[Hypothesis]:
    """Return what the paper claims of any run; what it says of a data set is asked by `reproduce` alone."""
    from grokscope_tan import claims, information

    return [
        claims.l2_falls,
        claims.l2_falls_first,
        claims.perturbation_error_falls,
        claims.sharpness_falls,
        claims.sooner_when_perturbed,
        claims.agreement_late_when_plain,
        claims.agreement_early_when_perturbed,
        claims.distance_rests_when_plain,
        claims.distance_restless_when_perturbed,
        information.pmi_timely,
        information.pe_timely,
        information.pmi_timelier_than_labels,
        information.cd_falls,
        information.mid_small_or_falling_early,
        information.ed_small_or_falling_early,
    ]


@hookimpl
def grokscope_figures() -> Sequence[figure.Figure]:
    """Return the paper's figures."""
    from grokscope_tan import figures

    return figures.FIGURES
