"""Figure 6 of Prieto et al. 2025, its part b: AdamW with and without the gradient along the weights."""

from __future__ import annotations

from typing import Any

from grokscope import figure
from grokscope_prieto import claims

PAPER = figure.Paper("prieto", claims.PAPER, "2501.04697")
PLAIN, ORTHOGONAL = "AdamW", "orthogonal gradient"
MLP: dict[str, Any] = {
    "p": 113,
    "hidden": "200,200",
    "lr": 0.01,
    "betas": (0.9, 0.99),
    "weight_decay": 0.0,
    "steps": 500,
    "checkpoint_every": 20,
}
SMALLER = {"p": 47, "train_fraction": 0.6}


def _of(**settings: Any) -> figure.Group:
    trained = figure.Trained("modadd", "clauw", {**MLP, **settings}, quick=SMALLER, seeds=3)
    return figure.Group(trained, ("softmax_collapse", "weight_norm"))


FIGURES = (
    figure.Figure(
        PAPER,
        6,
        "An MLP on addition modulo 113, by AdamW without weight decay, plain and orthogonal to the weights",
        "Without the part of the gradient along the weights, which only scales the logits, networks "
        "generalise without weight decay, and without a phase of overfitting first.",
        "section 5.1, part b",
        {ORTHOGONAL: _of(orthogonal_gradient="tensor"), PLAIN: _of()},
        (
            figure.Panel((ORTHOGONAL, PLAIN)),
            figure.Panel((PLAIN,), right=(claims.COLLAPSE,), title=PLAIN),
        ),
        (figure.asked(claims.orthogonal_gradient_groks_sooner, ORTHOGONAL, PLAIN),),
        beyond={"quick": "--quick trains p = 47 in place of the paper's p = 113"},
    ),
)
