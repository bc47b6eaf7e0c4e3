"""Figure 7 of Nanda et al. 2023: the progress measures of a transformer that learns to add."""

from __future__ import annotations

from grokscope import figure
from grokscope_nanda import claims
from grokscope_nanda.claims import EXCLUDED, GINI, NORM, RESTRICTED

PAPER = figure.Paper("nanda", claims.PAPER, "2301.05217")
RUNS = "modular addition"
# Half of the pairs modulo 53: a minute or three instead of half an hour, and it groks.
SMALLER = {"p": 53, "train_fraction": 0.5, "steps": 3000, "checkpoint_every": 50}

FIGURES = (
    figure.Figure(
        PAPER,
        7,
        "Excluded and restricted loss, Gini coefficients and weight norm over training",
        "Training has three phases. In circuit formation excluded loss rises and restricted loss begins to "
        "fall, while test loss stays flat; in cleanup the embedding gets sparser in the Fourier basis, and "
        "the norm of the weights falls more sharply than before.",
        "section 5.2",
        {
            RUNS: figure.Group(
                figure.Trained("modadd", "nanda", quick=SMALLER, seeds=1), ("fourier", "weight_norm")
            )
        },
        (
            figure.Panel((RUNS,), right=(EXCLUDED,), log_y=True),
            figure.Panel((RUNS,), right=(RESTRICTED,), log_y=True),
            figure.Panel((RUNS,), right=(GINI, "fourier.gini_neuron_logit")),
            figure.Panel((RUNS,), right=(NORM,)),
        ),
        (
            figure.asked(claims.excluded_loss_rises, RUNS),
            figure.asked(claims.restricted_loss_falls_first, RUNS),
            figure.asked(claims.gini_rises_in_cleanup, RUNS),
            figure.asked(claims.norm_falls_in_cleanup, RUNS),
        ),
        beyond={"quick": "--quick trains p = 53 in place of the paper's p = 113"},
    ),
)
