"""Figure 2 of DeMoss et al. 2024: complexity and accuracy of a regularised transformer."""

from __future__ import annotations

from grokscope import figure
from grokscope_demoss import claims

PAPER = figure.Paper("demoss", claims.PAPER, "2412.09810")
RUNS = "modular addition"
# Half of the pairs modulo 53: a minute or three instead of half an hour, and it groks.
SMALLER = {"p": 53, "train_fraction": 0.5, "steps": 3000, "checkpoint_every": 50}

BOTH = figure.Reading(
    "rounded and truncated",
    "weights of low rank, rounded, with a rise of the mean loss by 1 nat allowed, as the paper does",
)
ROUNDED = figure.Reading(
    "rounded alone",
    "weights rounded and not truncated, as in its figure 7, of which it says that this misses the fall where "
    "weight decay alone regularises",
    parameters={"compression.rank": False},
)
RELATIVE = figure.Reading(
    "relative",
    "a relative rise of the loss by 1 % allowed, as is usual here",
    parameters={"compression.rise": None},
)

FIGURES = (
    figure.Figure(
        PAPER,
        2,
        "Complexity and accuracy of a transformer on modular addition",
        "As networks memorise, complexity increases; it falls as generalisation occurs.",
        "section 5; with weight decay alone in place of the paper's regulariser",
        {
            RUNS: figure.Group(
                figure.Trained("modadd", "nanda", quick=SMALLER, seeds=1),
                ("compression",),
                "first,log:40",
                parameters={"compression.rise": 1.0, "compression.rank": True},
            )
        },
        (figure.Panel((RUNS,), right=(claims.COMPLEXITY,)),),
        (figure.asked(claims.complexity_rises_and_falls, RUNS),),
        beyond={"quick": "--quick trains p = 53 in place of the paper's p = 113"},
        readings=(BOTH, ROUNDED, RELATIVE),
    ),
)
