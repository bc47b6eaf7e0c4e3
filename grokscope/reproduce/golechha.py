"""The four figures of Golechha 2024: weight norm and three progress measures on real data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from grokscope.reproduce.courses import (
    accuracy_at,
    at,
    below,
    best_accuracy,
    both,
    each,
    last,
    memorised,
    reached,
    rise,
    span,
)
from grokscope.reproduce.figure import Figure, Group, Panel, Paper, Part, Reading, Trained

if TYPE_CHECKING:
    from grokscope.results import Comparison, Results

PAPER = Paper("golechha", "Golechha 2024", "2405.12755")
MEASURES = ("weight_norm", "activation_sparsity", "weight_entropy", "circuit_complexity")
NORM, SPARSITY, ENTROPY = "weight_norm.l2_all", "activation_sparsity.mean", "weight_entropy.total"
COMPLEXITY = "circuit_complexity.kl_mean"
RUNS = "network"


def _images(recipe: str, stand_in: Trained) -> dict[str, Group]:
    # Circuit complexity on all matrices at once is what is drawn; each alone costs three times as much.
    return {
        RUNS: Group(
            Trained("mnist", recipe, seeds=1),
            MEASURES,
            quick_steps="every:2",
            parameters={"circuit_complexity.per_matrix": False},
            stand_in=stand_in,
        )
    }


PANELS = tuple(Panel((RUNS,), right=(column,)) for column in (NORM, SPARSITY, ENTROPY, COMPLEXITY))


def _change(column: str, results: Results) -> tuple[float, float]:
    return at(results, column, memorised(results)), last(results, column)


def _falls(column: str, results: Results) -> tuple[bool | None, tuple[float, ...]]:
    before, after = _change(column, results)
    return below(after, before), (before, after)


def _rises(column: str, results: Results) -> tuple[bool | None, tuple[float, ...]]:
    before, after = _change(column, results)
    return below(before, after), (before, after)


def _generalises(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    begin = accuracy_at(results, memorised(results))
    top = best_accuracy(results)
    return below(begin + 0.1, top), (100 * begin, 100 * top)


def _plateau(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether between memorisation and the rise sparsity moves by less than a fifth of its range."""
    moved = span(results, SPARSITY, memorised(results), rise(results))
    whole = span(results, SPARSITY, 0, math.inf)
    return below(moved, 0.2 * whole), (moved, whole)


def _still(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether weight entropy moves while the network overfits by less than a fifth of its whole change."""
    start, up = memorised(results), rise(results)
    moved, whole = span(results, ENTROPY, start, up), span(results, ENTROPY, start, math.inf)
    return below(moved, 0.2 * whole), (moved, whole)


def _later(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether weight entropy falls more after the rise of test accuracy than it moved before it."""
    start, up = memorised(results), rise(results)
    if math.isnan(start) or math.isnan(up):
        return None, (math.nan, math.nan)
    during = at(results, ENTROPY, up) - at(results, ENTROPY, start)
    after = last(results, ENTROPY) - at(results, ENTROPY, up)
    return both(below(after, 0.0), below(abs(during), abs(after))), (during, after)


ENDS = ("at memorisation", "at the end")


def _measures_follow(found: Mapping[str, Comparison]) -> list[Part]:
    """What the paper says of its three measures in both setups."""
    runs = found[RUNS]
    return [
        each(
            runs,
            "sparsity has its plateau before test accuracy rises: between memorisation and half of the rise "
            "it moves by less than a fifth of its range",
            ("it moves by", "its range"),
            _plateau,
        ),
        each(
            runs,
            "weight entropy falls with generalisation: after half of the rise of test accuracy, and more "
            "than it moved between memorisation and that",
            ("change from memorisation to half of the rise", "change after"),
            _later,
        ),
        each(
            runs,
            "weight entropy does not change while the network overfits: between memorisation and half of the "
            "rise it moves by less than a fifth of its range from memorisation on",
            ("it moves by", "its range"),
            _still,
        ),
        each(
            runs,
            "circuit complexity ends below its value at memorisation",
            tuple(f"KL (nats) {end}" for end in ENDS),
            lambda results: _falls(COMPLEXITY, results),
        ),
    ]


def check_1(found: Mapping[str, Comparison]) -> list[Part]:
    """The norm falls, and the measures follow generalisation."""
    norm = each(
        found[RUNS],
        "the weight norm ends below its value at memorisation",
        tuple(f"norm {end}" for end in ENDS),
        lambda results: _falls(NORM, results),
    )
    return [norm, *_measures_follow(found)]


def check_2(found: Mapping[str, Comparison]) -> list[Part]:
    """The norm rises, and it groks all the same."""
    runs = found[RUNS]
    return [
        each(
            runs,
            "the weight norm ends above its value at memorisation",
            tuple(f"norm {end}" for end in ENDS),
            lambda results: _rises(NORM, results),
        ),
        each(
            runs,
            "test accuracy rises by more than 10 points after memorisation",
            ("test accuracy (%) at memorisation", "best"),
            _generalises,
        ),
        *_measures_follow(found),
    ]


def check_3(found: Mapping[str, Comparison]) -> list[Part]:
    """With dropout test accuracy does not wait for train accuracy."""

    def no_wait(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        train = reached(results, 0.95, "train")
        test = reached(results, 0.9 * best_accuracy(results))
        learned = best_accuracy(results) >= 0.5
        return below(test, 1.25 * train + 1) if learned else None, (train, test, 100 * best_accuracy(results))

    return [
        each(
            found[RUNS],
            "test accuracy is at 90 % of its best before train accuracy has been at 95 % for a quarter "
            "longer (undecided where it is never 50 %)",
            ("train 95 % at step", "test at 90 % of its best", "best test accuracy (%)"),
            no_wait,
        )
    ]


FOLLOW = (
    "Activation sparsity has its plateau right before the network groks, weight entropy falls sharply with "
    "generalisation and does not change while it overfits, and local circuit complexity falls."
)

MSE = Reading("MSE", "the loss of the paper's table 1: MSELoss on one-hot labels")
CROSS_ENTROPY = Reading(
    "cross-entropy",
    "the loss of the paper's text, all else of its table 1",
    settings={"loss": "cross_entropy"},
)
LOSSES = (MSE, CROSS_ENTROPY)

# Shown, and no verdict on what the paper says of MNIST.
DIGITS = {"stand-in": "digits are not the paper's MNIST"}

FIGURES = (
    Figure(
        PAPER,
        1,
        "MNIST with a falling weight norm: the three progress measures",
        f"The l2 norm falls. {FOLLOW}",
        "sections 3 and 4",
        _images("mnist-golechha", Trained("digits", seeds=3)),
        PANELS,
        check_1,
        beyond=DIGITS,
        readings=LOSSES,
    ),
    Figure(
        PAPER,
        2,
        "MNIST with a rising weight norm: the three progress measures",
        "With delta = 2e-10 times the squared norm taken from the loss the norm keeps rising and the network "
        f"groks all the same: the norm is not needed. {FOLLOW}",
        "sections 3 and 4",
        _images(
            "mnist-antinorm",
            # The paper's weight decay; at the 0.1 of digits the decay outweighs the term.
            Trained("digits", settings={"anti_norm": 2e-10, "weight_decay": 0.01}, seeds=3),
        ),
        PANELS,
        check_2,
        beyond=DIGITS,
        readings=LOSSES,
    ),
    Figure(
        PAPER,
        3,
        "The effects of dropout on delayed generalisation",
        "Dropout of 0.3 in every layer makes the delay of generalisation vanish.",
        "appendix C",
        _images(
            "mnist-dropout",
            # From 8 times the weights, digits with dropout learns nothing in 5000 steps.
            Trained("digits", settings={"dropout": 0.3, "init_scale": 4, "steps": 6000}, seeds=3),
        ),
        PANELS,
        check_3,
        beyond=DIGITS,
        readings=LOSSES,
    ),
    Figure(
        PAPER,
        4,
        "IMDb with a falling weight norm: the three progress measures",
        f"With an LSTM on reviews too the l2 norm falls. {FOLLOW}",
        "appendix D",
        {
            RUNS: Group(
                Trained("imdb", "imdb", seeds=1),
                MEASURES,
                steps="every:5",
                parameters={"circuit_complexity.per_matrix": False, "activation_sparsity.tau": 0.01},
                stand_in=Trained("digits", seeds=3),
            )
        },
        PANELS,
        check_1,
        beyond={"stand-in": "an MLP on images says nothing of an LSTM on reviews"},
    ),
)
