"""The nine figures of Clauw et al. 2024: modular addition, synergy and redundancy, and sub-networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from grokscope.reproduce.clauw_runs import (
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
from grokscope.reproduce.courses import (
    at,
    below,
    changed,
    delay,
    each,
    end_of,
    final_accuracy,
    grokked,
    log_distance,
    pairs,
    peak,
    reached,
    smoothed,
    until_grokked,
)
from grokscope.reproduce.figure import Figure, Panel, Paper, Part

if TYPE_CHECKING:
    from grokscope.results import Comparison, Results

PAPER = Paper("clauw", "Clauw et al. 2024", "2408.08944")
SYNERGY, REDUNDANCY, SIZE = "oinfo.synergy", "oinfo.redundancy", "oinfo.synergy_neurons"


def _sharpness(results: Results) -> float:
    """Steps that test accuracy takes from 10 % to 90 %."""
    return reached(results, 0.9) - reached(results, 0.1)


def _shorter_delay(first: Results, second: Results) -> tuple[bool | None, tuple[float, ...]]:
    (a, a_open), (b, b_open) = delay(first), delay(second)
    shorter = below(a, b)
    # A run that ended before it grokked has a longer delay than is known: only one direction is sure.
    unsure = (a_open and shorter) or (b_open and shorter is False)
    return None if unsure else shorter, (a, b)


def _sharper(first: Results, second: Results) -> tuple[bool | None, tuple[float, ...]]:
    a, b = _sharpness(first), _sharpness(second)
    return below(a, b), (a, b)


def check_1(found: Mapping[str, Comparison]) -> list[Part]:
    """More decay, and a large initialisation, shorten the delay and make the rise sharper."""
    parts = []
    for other in ("weight decay 2", "alpha 8"):
        runs = pairs(found[other], found["weight decay 0.1"])
        delays = (f"delay at {other}", "at weight decay 0.1")
        widths = (f"test accuracy 10 % to 90 % in steps, {other}", "weight decay 0.1")
        parts.append(each(runs, f"shorter delay at {other} than at weight decay 0.1", delays, _shorter_delay))
        parts.append(each(runs, f"sharper rise at {other} than at weight decay 0.1", widths, _sharper))
    return parts


def _in_order(results: Results, *names: str) -> tuple[float, ...]:
    """Where phases of these names begin, each after the one before; NaN from the first missing one on."""
    from grokscope.statistics.phases import phases

    left = iter(phases(results).found)
    starts = [next((float(phase.start) for phase in left if phase.name == name), math.nan) for name in names]
    return tuple(starts)


def _all_phases(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    starts = _in_order(results, *PHASES)
    return _known(results, not math.isnan(starts[-1])), starts


PHASES = ("feature learning", "emergence", "divergence", "delayed emergence", "decoupling")


def check_2(found: Mapping[str, Comparison]) -> list[Part]:
    """Five phases in their order."""
    return [
        each(
            found["weight decay 0.1"],
            "all five phases are found, in the paper's order",
            tuple(f"{name} from step" for name in PHASES),
            _all_phases,
        )
    ]


def _direct(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether decoupling follows emergence with nothing in between, and neither comes twice."""
    from grokscope.statistics.phases import phases

    names = [phase.name for phase in phases(results).found]
    directly = [name for name in names if name != "feature learning"] == ["emergence", "decoupling"]
    return _known(results, directly), _in_order(results, "emergence", "decoupling")


def _known(results: Results, outcome: bool) -> bool | None:
    """Return `outcome`, or None where no phases could be looked for."""
    from grokscope.statistics.phases import phases

    return outcome if phases(results).found else None


DIRECT = "decoupling follows emergence, without divergence and delayed emergence"


def check_3(found: Mapping[str, Comparison]) -> list[Part]:
    """Emergence leads to decoupling at once, and its peak is higher than with little decay."""

    def higher(column: str, first: Results, second: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = (at(smooth(run), column, _emergent_peak(run)) for run in (first, second))
        whole = at(smooth(second), column, peak(smooth(second), SYNERGY, end=until_grokked(second))[0])
        return below(b, a), (a, b, whole)

    runs = pairs(found["weight decay 2"], found["weight decay 0.1"])
    return [
        each(found["weight decay 2"], DIRECT, ("emergence from step", "decoupling from step"), _direct),
        *(
            each(
                runs,
                f"in the phase of emergence {words} than in that of weight decay 0.1",
                (
                    f"{name} at weight decay 2",
                    "at weight decay 0.1",
                    "and at its peak up to the grokking step",
                ),
                partial(higher, column),
            )
            for column, name, words in (
                (SYNERGY, "synergy (nats)", "its synergy peaks higher"),
                (SIZE, "units", "its synergistic sub-network is larger at that peak"),
            )
        ),
    ]


def smooth(results: Results) -> Results:
    """Return the courses as the authors' plots have them; see `courses.smoothed`."""
    return smoothed(results, SYNERGY, REDUNDANCY)


def _emergent_peak(results: Results) -> float:
    """The step of most synergy in the phase of emergence, NaN where there is none."""
    from grokscope.statistics.phases import phases

    emergence = [phase for phase in phases(results).found if phase.name == "emergence"]
    if not emergence:
        return math.nan
    return peak(smooth(results), SYNERGY, emergence[0].start, emergence[0].end)[0]


def check_4(found: Mapping[str, Comparison]) -> list[Part]:
    """Emergence at once; redundancy falls first and synergy rises after it."""

    def order(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        steps = changed(smooth(results), REDUNDANCY), changed(smooth(results), SYNERGY)
        return below(*steps), steps

    runs = found["alpha 8"]
    return [
        each(runs, DIRECT, ("emergence from step", "decoupling from step"), _direct),
        each(
            runs,
            "redundancy changes before synergy does (change points over log steps)",
            ("redundancy changes at step", "synergy changes at step"),
            order,
        ),
    ]


def check_5(found: Mapping[str, Comparison]) -> list[Part]:
    """Synergy peaks higher in runs that grok than in runs that do not."""
    parts = []
    for groks, fails in (
        ("weight decay 0.1", "weight decay 10"),
        ("weight decay 0.1", "weight decay 50"),
        ("weight decay 2", "weight decay 10"),
        ("weight decay 2", "weight decay 50"),
        ("alpha 8", "alpha 1"),
        ("alpha 8", "alpha 50"),
    ):

        def higher(first: Results, second: Results) -> tuple[bool | None, tuple[float, ...]]:
            a, b = peak(smooth(first), SYNERGY)[1], peak(smooth(second), SYNERGY)[1]
            return below(b, a), (a, b)

        names = (f"synergy peak (nats) at {groks}", f"at {fails}")
        runs = pairs(found[groks], found[fails])
        parts.append(each(runs, f"synergy peaks higher at {groks} than at {fails}", names, higher))
    return parts


def check_6(found: Mapping[str, Comparison]) -> list[Part]:
    """The synergistic units alone do as the network does, or better; the other units do not."""

    def similar(whole: Results, part: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = final_accuracy(part), final_accuracy(whole)
        return abs(a - b) <= 0.05, (100 * a, 100 * b)

    def sooner(whole: Results, part: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = grokked(part), grokked(whole)
        missed = math.isnan(a) and not math.isnan(b) and end_of(part) >= b
        return False if missed else below(a, b), (a, b)

    def worse(part: Results, other: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = final_accuracy(part), final_accuracy(other)
        return b < a - 0.05, (100 * a, 100 * b)

    little, much = "weight decay 0.1", "weight decay 2"
    units, others = ", synergistic units", ", other units"
    return [
        each(
            pairs(found[little], found[little + units]),
            "at weight decay 0.1 its last test accuracy is within 5 points of the whole network's",
            ("test accuracy (%) of the sub-network", "of the network"),
            similar,
        ),
        each(
            pairs(found[much], found[much + units]),
            "at weight decay 2 it groks in fewer steps than the whole network",
            ("grokking step of the sub-network", "of the network"),
            sooner,
        ),
        *(
            each(
                pairs(found[name + units], found[name + others]),
                f"at {name} the other units end at least 5 points lower",
                ("test accuracy (%) of the sub-network", "of the other units"),
                worse,
            )
            for name in (little, much)
        ),
    ]


def check_7(found: Mapping[str, Comparison]) -> list[Part]:
    """The synergistic units grok about when the network does."""

    def close(whole: Results, part: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = reached(part, 0.9), reached(whole, 0.9)
        if math.isnan(a) and not math.isnan(b):
            return False, (a, b)
        return (None if math.isnan(b) else log_distance(a, b) <= math.log10(1.25)), (a, b)

    return [
        each(
            pairs(found["alpha 8"], found["alpha 8, synergistic units"]),
            "it has test accuracy 90 % within a quarter of the whole network's step",
            ("test 90 % at step, sub-network", "network"),
            close,
        )
    ]


def _groks(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    return not math.isnan(reached(results, 0.9)), (reached(results, 0.9), 100 * final_accuracy(results))


def _never_groks(results: Results) -> tuple[bool | None, tuple[float, ...]]:
    groks, values = _groks(results)
    return not groks, values


def _which_grok(found: Mapping[str, Comparison], groks: set[str]) -> list[Part]:
    names = ("test 90 % at step", "last test accuracy (%)")
    return [
        each(runs, f"{name} reaches test accuracy 90 %", names, _groks)
        if name in groks
        else each(runs, f"{name} never reaches test accuracy 90 %", names, _never_groks)
        for name, runs in found.items()
    ]


def check_8(found: Mapping[str, Comparison]) -> list[Part]:
    """Weight decays of 0.1 and 2 grok, 10 and 50 do not."""
    return _which_grok(found, {"weight decay 0.1", "weight decay 2"})


def check_9(found: Mapping[str, Comparison]) -> list[Part]:
    """Alpha 8 groks, 1 and 50 do not."""
    return _which_grok(found, {"alpha 8"})


def _courses(name: str) -> tuple[Panel, ...]:
    """Figures 2 to 4: loss, synergy and redundancy over steps, and the two against each other."""
    return (
        Panel(
            (name,),
            ("test_loss", SYNERGY, REDUNDANCY),
            ("train_accuracy", "test_accuracy"),
            normalise=True,
            smooth=True,
        ),
        Panel((name,), (REDUNDANCY, SYNERGY), title="trade-off", pareto=True, smooth=True),
    )


FIGURES = (
    Figure(
        PAPER,
        1,
        "Accuracy for weight decay 0.1 and 2.0, and for initialisation alpha 8",
        "A low weight decay delays generalisation. More of it narrows the gap and makes the rise sharper, "
        "and so does an initialisation 8 times as large, with its norm held, without any decay.",
        "section 4",
        {
            "weight decay 0.1": decay_of("weight decay 0.1"),
            "weight decay 2": decay_of("weight decay 2"),
            "alpha 8": alpha_of(8),
        },
        (
            Panel(("weight decay 0.1", "weight decay 2"), title="weight decay"),
            Panel(("alpha 8",), title="initialisation"),
        ),
        check_1,
        readings=(UNITS, BIAS, LAST_LAYER),
    ),
    Figure(
        PAPER,
        2,
        "Baseline model with weight decay 0.1",
        "Training has five phases: feature learning, emergence (synergy for redundancy), divergence (both "
        "drop), delayed emergence (both rise) and decoupling (synergy falls, redundancy and test accuracy "
        "rise).",
        "section 5.1",
        {"weight decay 0.1": decay_of("weight decay 0.1", "oinfo")},
        _courses("weight decay 0.1"),
        check_2,
        readings=MEASURED,
    ),
    Figure(
        PAPER,
        3,
        "Baseline model with weight decay 2.0",
        "More weight decay leads to an emergent phase directly, with a larger peak in synergy and a larger "
        "synergistic sub-network, and decoupling follows at once: no divergence, no delayed emergence.",
        "section 5.2",
        {
            "weight decay 2": decay_of("weight decay 2", "oinfo"),
            "weight decay 0.1": decay_of("weight decay 0.1", "oinfo"),
        },
        _courses("weight decay 2"),
        check_3,
        readings=MEASURED,
    ),
    Figure(
        PAPER,
        4,
        "Baseline model with alpha = 8 and weight decay = 0",
        "A large initialisation without weight decay leads to an emergent phase directly; redundancy drops "
        "rapidly first, and a rapid increase in synergy follows it.",
        "section 5.3",
        {"alpha 8": alpha_of(8, "oinfo")},
        _courses("alpha 8"),
        check_4,
        readings=(*MEASURED, LAST_LAYER),
    ),
    Figure(
        PAPER,
        5,
        "Synergy for weight decay (0.1, 2, 10, 50) and for alpha (1, 8, 50)",
        "Synergy peaks early where a network will grok (weight decay 0.1 and 2, alpha 8), and is lower where "
        "it will not (weight decay 10 and 50, alpha 1 and 50).",
        "section 6",
        {
            **{name: decay_of(name, "oinfo") for name in DECAYS},
            **{f"alpha {alpha}": alpha_of(alpha, "oinfo") for alpha in ALPHAS},
        },
        (
            Panel(tuple(DECAYS), (SYNERGY,), title="weight decay", smooth=True),
            Panel(
                tuple(f"alpha {alpha}" for alpha in ALPHAS), (SYNERGY,), title="initialisation", smooth=True
            ),
        ),
        check_5,
        readings=(*MEASURED, LAST_LAYER),
    ),
    Figure(
        PAPER,
        6,
        "Test accuracy of the synergistic sub-network, weight decay 0.1 and 2.0",
        "Trained alone, the units of the most synergistic multiplet do about as the whole network does at "
        "weight decay 0.1, and grok in fewer steps than it at 2.0; the other units alone do worse.",
        "section 7",
        {
            name: group
            for decay in ("weight decay 0.1", "weight decay 2")
            for name, group in {decay: decay_of(decay, "oinfo"), **parts_of(decay)}.items()
        },
        tuple(
            Panel((decay, *parts_of(decay)), ("test_accuracy",), title=decay)
            for decay in ("weight decay 0.1", "weight decay 2")
        ),
        check_6,
        readings=MEASURED,
    ),
    Figure(
        PAPER,
        7,
        "Test accuracy of the synergistic sub-network, alpha 8",
        "With the large initialisation the synergistic sub-network takes about as long to grok as the whole "
        "network.",
        "section 7; the printed caption repeats that of figure 6",
        {"alpha 8": alpha_of(8, "oinfo"), **parts_of("alpha 8")},
        (Panel(("alpha 8", *parts_of("alpha 8")), ("test_accuracy",)),),
        check_7,
        readings=(*MEASURED, LAST_LAYER),
    ),
    Figure(
        PAPER,
        8,
        "Train and test accuracy for weight decay (0.1, 2, 10, 50)",
        "Networks grok at weight decay 0.1 and 2, and do not at 10 and 50.",
        "appendix A",
        {name: decay_of(name) for name in DECAYS},
        tuple(Panel(tuple(DECAYS), (column,)) for column in ("train_accuracy", "test_accuracy")),
        check_8,
        readings=(UNITS, BIAS),
    ),
    Figure(
        PAPER,
        9,
        "Train and test accuracy for alpha (1, 8, 50)",
        "Networks grok at alpha 8, and do not at 1 and 50.",
        "appendix B",
        {f"alpha {alpha}": alpha_of(alpha) for alpha in ALPHAS},
        tuple(
            Panel(tuple(f"alpha {alpha}" for alpha in ALPHAS), (column,))
            for column in ("train_accuracy", "test_accuracy")
        ),
        check_9,
        readings=(UNITS, BIAS, LAST_LAYER),
    ),
)
