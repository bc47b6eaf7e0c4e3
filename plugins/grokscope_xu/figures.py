"""Figure 6 of Xu 2026: the commutator defect rises before test accuracy does."""

from __future__ import annotations

from grokscope import figure
from grokscope_xu import claims

PAPER = figure.Paper("xu", claims.PAPER, "2602.16746")
RUNS = "modular addition"
EARLY_TOO = "first,log:40"  # the onset is told by the first three, in the paper those of steps 0, 100 and 200
# Half of the pairs modulo 53: a minute or three instead of half an hour, and it groks.
SMALLER = {"p": 53, "train_fraction": 0.5, "steps": 3000, "checkpoint_every": 50}

FIGURES = (
    figure.Figure(
        PAPER,
        6,
        "Commutator defect and test accuracy of a transformer on modular addition",
        "In every run that groks the defect begins to rise before test accuracy does.",
        "section 4.4; a transformer of one layer modulo 113 in place of two layers modulo 97",
        {
            RUNS: figure.Group(
                figure.Trained("modadd", "nanda", quick=SMALLER, seeds=1), ("commutator_defect",), EARLY_TOO
            )
        },
        (figure.Panel((RUNS,), right=(claims.DEFECT,), log_y=True),),
        (figure.asked(claims.defect_grows_first, RUNS),),
        beyond={"quick": "--quick trains p = 53 in place of the paper's p = 113"},
    ),
)
