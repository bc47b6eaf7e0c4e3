"""The nine figures of Clauw et al. 2024: modular addition, synergy and redundancy, and sub-networks."""

from __future__ import annotations

from collections.abc import Container, Iterable

from grokscope import figure
from grokscope_clauw import claims
from grokscope_clauw.claims import REDUNDANCY, SYNERGY
from grokscope_clauw.runs import (
    ALPHAS,
    BIAS,
    DECAYS,
    LAST_LAYER,
    MEASURED,
    UNITS,
    alpha_of,
    decay_of,
    parts_of,
)

PAPER = figure.Paper("clauw", "Clauw et al. 2024", "2408.08944")
LITTLE, MUCH = "weight decay 0.1", "weight decay 2"
PARTS, OTHERS = "synergistic units", "other units"


def _who_groks(names: Iterable[str], groks: Container[str]) -> tuple[figure.Asked, ...]:
    return tuple(
        figure.asked(claims.reaches_90_percent if name in groks else claims.never_reaches_90_percent, name)
        for name in names
    )


def _courses(name: str) -> tuple[figure.Panel, ...]:
    """Figures 2 to 4: loss, synergy and redundancy over steps, and the two against each other."""
    return (
        figure.Panel(
            (name,),
            ("test_loss", SYNERGY, REDUNDANCY),
            ("train_accuracy", "test_accuracy"),
            normalise=True,
            smooth=True,
        ),
        figure.Panel((name,), (REDUNDANCY, SYNERGY), title="trade-off", pareto=True, smooth=True),
    )


FIGURES = (
    figure.Figure(
        PAPER,
        1,
        "Accuracy for weight decay 0.1 and 2.0, and for initialisation alpha 8",
        "A low weight decay delays generalisation. More of it narrows the gap and makes the rise sharper, "
        "and so does an initialisation 8 times as large, with its norm held, without any decay.",
        "section 4",
        {
            LITTLE: decay_of(LITTLE),
            MUCH: decay_of(MUCH),
            "alpha 8": alpha_of(8),
        },
        (
            figure.Panel((LITTLE, MUCH), title="weight decay"),
            figure.Panel(("alpha 8",), title="initialisation"),
        ),
        (
            figure.asked(claims.shorter_delay, MUCH, LITTLE),
            figure.asked(claims.sharper_rise, MUCH, LITTLE),
            figure.asked(claims.shorter_delay, "alpha 8", LITTLE),
            figure.asked(claims.sharper_rise, "alpha 8", LITTLE),
        ),
        readings=(UNITS, BIAS, LAST_LAYER),
    ),
    figure.Figure(
        PAPER,
        2,
        "Baseline model with weight decay 0.1",
        "Training has five phases: feature learning, emergence (synergy for redundancy), divergence (both "
        "drop), delayed emergence (both rise) and decoupling (synergy falls, redundancy and test accuracy "
        "rise).",
        "section 5.1",
        {LITTLE: decay_of(LITTLE, "oinfo")},
        _courses(LITTLE),
        (figure.asked(claims.five_phases, LITTLE),),
        readings=MEASURED,
    ),
    figure.Figure(
        PAPER,
        3,
        "Baseline model with weight decay 2.0",
        "More weight decay leads to an emergent phase directly, with a larger peak in synergy and a larger "
        "synergistic sub-network, and decoupling follows at once: no divergence, no delayed emergence.",
        "section 5.2",
        {
            MUCH: decay_of(MUCH, "oinfo"),
            LITTLE: decay_of(LITTLE, "oinfo"),
        },
        _courses(MUCH),
        (
            figure.asked(claims.decoupling_at_once, MUCH),
            figure.asked(claims.higher_peak_in_emergence, MUCH, LITTLE),
            figure.asked(claims.larger_subnetwork_in_emergence, MUCH, LITTLE),
        ),
        readings=MEASURED,
    ),
    figure.Figure(
        PAPER,
        4,
        "Baseline model with alpha = 8 and weight decay = 0",
        "A large initialisation without weight decay leads to an emergent phase directly; redundancy drops "
        "rapidly first, and a rapid increase in synergy follows it.",
        "section 5.3",
        {"alpha 8": alpha_of(8, "oinfo")},
        _courses("alpha 8"),
        (
            figure.asked(claims.decoupling_at_once, "alpha 8"),
            figure.asked(claims.redundancy_first, "alpha 8"),
        ),
        readings=(*MEASURED, LAST_LAYER),
    ),
    figure.Figure(
        PAPER,
        5,
        "Synergy for weight decay (0.1, 2, 10, 50) and for alpha (1, 8, 50)",
        "Synergy peaks before it groks where a network does (weight decay 0.1 and 2, alpha 8), and is lower "
        "where it does not (weight decay 10 and 50, alpha 1 and 50); at alpha 1 and 50 it drops rapidly and "
        "never recovers.",
        "section 6",
        {
            **{name: decay_of(name, "oinfo") for name in DECAYS},
            **{f"alpha {alpha}": alpha_of(alpha, "oinfo") for alpha in ALPHAS},
        },
        (
            figure.Panel(tuple(DECAYS), (SYNERGY,), title="weight decay", smooth=True),
            figure.Panel(
                tuple(f"alpha {alpha}" for alpha in ALPHAS), (SYNERGY,), title="initialisation", smooth=True
            ),
        ),
        (
            *(
                figure.asked(claims.higher_synergy_peak, groks, fails)
                for groks, fails in (
                    (LITTLE, "weight decay 10"),
                    (LITTLE, "weight decay 50"),
                    (MUCH, "weight decay 10"),
                    (MUCH, "weight decay 50"),
                    ("alpha 8", "alpha 1"),
                    ("alpha 8", "alpha 50"),
                )
            ),
            *(figure.asked(claims.synergy_peaks_first, groks) for groks in (LITTLE, MUCH, "alpha 8")),
            *(figure.asked(claims.synergy_never_recovers, fails) for fails in ("alpha 1", "alpha 50")),
        ),
        readings=(*MEASURED, LAST_LAYER),
    ),
    figure.Figure(
        PAPER,
        6,
        "Test accuracy of the synergistic sub-network, weight decay 0.1 and 2.0",
        "Trained alone, the units of the most synergistic multiplet do about as the whole network does at "
        "weight decay 0.1, and grok in fewer steps than it at 2.0; the other units alone do worse.",
        "section 7",
        {
            name: group
            for decay in (LITTLE, MUCH)
            for name, group in {decay: decay_of(decay, "oinfo"), **parts_of(decay)}.items()
        },
        tuple(
            figure.Panel((decay, *parts_of(decay)), ("test_accuracy",), title=decay)
            for decay in (LITTLE, MUCH)
        ),
        (
            figure.asked(claims.subnetwork_similar, LITTLE, f"{LITTLE}, {PARTS}"),
            figure.asked(claims.subnetwork_sooner, MUCH, f"{MUCH}, {PARTS}"),
            *(
                figure.asked(claims.other_units_worse, f"{decay}, {PARTS}", f"{decay}, {OTHERS}")
                for decay in (LITTLE, MUCH)
            ),
        ),
        readings=MEASURED,
    ),
    figure.Figure(
        PAPER,
        7,
        "Test accuracy of the synergistic sub-network, alpha 8",
        "With the large initialisation the synergistic sub-network takes about as long to grok as the whole "
        "network.",
        "section 7; the printed caption repeats that of figure 6",
        {"alpha 8": alpha_of(8, "oinfo"), **parts_of("alpha 8")},
        (figure.Panel(("alpha 8", *parts_of("alpha 8")), ("test_accuracy",)),),
        (figure.asked(claims.subnetwork_in_similar_time, "alpha 8", f"alpha 8, {PARTS}"),),
        readings=(*MEASURED, LAST_LAYER),
    ),
    figure.Figure(
        PAPER,
        8,
        "Train and test accuracy for weight decay (0.1, 2, 10, 50)",
        "Networks grok at weight decay 0.1 and 2, and do not at 10 and 50.",
        "appendix A",
        {name: decay_of(name) for name in DECAYS},
        tuple(figure.Panel(tuple(DECAYS), (column,)) for column in ("train_accuracy", "test_accuracy")),
        _who_groks(DECAYS, {LITTLE, MUCH}),
        readings=(UNITS, BIAS),
    ),
    figure.Figure(
        PAPER,
        9,
        "Train and test accuracy for alpha (1, 8, 50)",
        "Networks grok at alpha 8, and do not at 1 and 50.",
        "appendix B",
        {f"alpha {alpha}": alpha_of(alpha) for alpha in ALPHAS},
        tuple(
            figure.Panel(tuple(f"alpha {alpha}" for alpha in ALPHAS), (column,))
            for column in ("train_accuracy", "test_accuracy")
        ),
        _who_groks((f"alpha {alpha}" for alpha in ALPHAS), {"alpha 8"}),
        readings=(UNITS, BIAS, LAST_LAYER),
    ),
)
