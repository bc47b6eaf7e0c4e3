"""The four figures of Golechha 2024: weight norm and three progress measures on real data."""

from __future__ import annotations

from grokscope import figure
from grokscope_golechha import claims
from grokscope_golechha.claims import COMPLEXITY, ENTROPY, NORM, SPARSITY

PAPER = figure.Paper("golechha", "Golechha 2024", "2405.12755")
MEASURES = ("weight_norm", "activation_sparsity", "weight_entropy", "circuit_complexity")
RUNS = "network"


def _images(recipe: str, stand_in: figure.Trained) -> dict[str, figure.Group]:
    # Circuit complexity on all matrices at once is what is drawn; each alone costs three times as much.
    return {
        RUNS: figure.Group(
            figure.Trained("mnist", recipe, seeds=1),
            MEASURES,
            quick_steps="every:2",
            parameters={"circuit_complexity.per_matrix": False},
            stand_ins=(stand_in,),
        )
    }


PANELS = tuple(figure.Panel((RUNS,), right=(column,)) for column in (NORM, SPARSITY, ENTROPY, COMPLEXITY))


# What the paper says of its three measures in both setups.
MEASURES_FOLLOW = (
    figure.asked(claims.sparsity_plateaus_before, RUNS),
    figure.asked(claims.weight_entropy_falls, RUNS),
    figure.asked(claims.weight_entropy_still_before, RUNS),
    figure.asked(claims.circuit_complexity_falls, RUNS),
)
FOLLOW = (
    "Activation sparsity has its plateau right before the network groks, weight entropy falls sharply with "
    "generalisation and does not change while it overfits, and local circuit complexity falls."
)

MSE = figure.Reading("MSE", "the loss of the paper's table 1: MSELoss on one-hot labels")
CROSS_ENTROPY = figure.Reading(
    "cross-entropy",
    "the loss of the paper's text, all else of its table 1",
    settings={"loss": "cross_entropy"},
)
LOSSES = (MSE, CROSS_ENTROPY)

# Shown, and no verdict on what the paper says of MNIST.
DIGITS = {"stand-in": "digits are not the paper's MNIST"}

FIGURES = (
    figure.Figure(
        PAPER,
        1,
        "MNIST with a falling weight norm: the three progress measures",
        f"The l2 norm falls. {FOLLOW}",
        "sections 3 and 4",
        _images("mnist-golechha", figure.Trained("digits", seeds=3)),
        PANELS,
        (figure.asked(claims.norm_falls, RUNS), *MEASURES_FOLLOW),
        beyond=DIGITS,
        readings=LOSSES,
    ),
    figure.Figure(
        PAPER,
        2,
        "MNIST with a rising weight norm: the three progress measures",
        "With delta = 2e-10 times the squared norm taken from the loss the norm keeps rising and the network "
        f"groks all the same: the norm is not needed. {FOLLOW}",
        "sections 3 and 4",
        _images(
            "mnist-antinorm",
            # The paper's weight decay; at the 0.1 of digits the decay outweighs the term.
            figure.Trained("digits", settings={"anti_norm": 2e-10, "weight_decay": 0.01}, seeds=3),
        ),
        PANELS,
        (
            figure.asked(claims.norm_rises, RUNS),
            figure.asked(claims.generalises_with_rising_norm, RUNS),
            *MEASURES_FOLLOW,
        ),
        beyond=DIGITS,
        readings=LOSSES,
    ),
    figure.Figure(
        PAPER,
        3,
        "The effects of dropout on delayed generalisation",
        "Dropout of 0.3 in every layer makes the delay of generalisation vanish.",
        "appendix C",
        _images(
            "mnist-dropout",
            # From 8 times the weights, digits with dropout learns nothing in 5000 steps.
            figure.Trained("digits", settings={"dropout": 0.3, "init_scale": 4, "steps": 6000}, seeds=3),
        ),
        PANELS,
        (figure.asked(claims.no_delay, RUNS),),
        beyond=DIGITS,
        readings=LOSSES,
    ),
    figure.Figure(
        PAPER,
        4,
        "IMDb with a falling weight norm: the three progress measures",
        f"With an LSTM on reviews too the l2 norm falls. {FOLLOW}",
        "appendix D",
        {
            RUNS: figure.Group(
                figure.Trained("imdb", "imdb", seeds=1),
                MEASURES,
                steps="log:40",
                parameters={"circuit_complexity.per_matrix": False, "activation_sparsity.tau": 0.01},
                stand_ins=(figure.Trained("reviews", "reviews", seeds=3), figure.Trained("digits", seeds=3)),
            )
        },
        PANELS,
        (figure.asked(claims.norm_falls, RUNS), *MEASURES_FOLLOW),
        beyond={"stand-in": "neither sentences nor images are the paper's reviews"},
    ),
)
