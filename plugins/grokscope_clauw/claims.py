"""What Clauw et al. 2024 claim, each sentence once: `predict` asks it of any runs, a figure of its own."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis
from grokscope import phases as phases_of

if TYPE_CHECKING:
    from grokscope import Phases, Results

    Found = tuple[float | bool | None, dict[str, float]]

SYNERGY, REDUNDANCY, SIZE = "oinfo.synergy", "oinfo.redundancy", "oinfo.synergy_neurons"
PHASES = ("feature learning", "emergence", "divergence", "delayed emergence", "decoupling")
PAPER = "Clauw et al. 2024"
FEWEST = 3  # checkpoints that can show a peak
GROKS_AT = 0.9  # test accuracy, of networks that the paper shows growing to it
NEAR = 0.05  # of test accuracy: "similar"
SIMILAR = 1.25  # in steps: "a similar period"


def smooth(results: Results) -> Results:
    """Return the courses as the authors' plots have them; see `courses.smoothed`."""
    return courses.smoothed(results, SYNERGY, REDUNDANCY)


def phases(results: Results) -> Phases:
    """Return the phases by the columns that these claims are about."""
    return phases_of(results, synergy=SYNERGY, redundancy=REDUNDANCY)


# Section 4: what weight decay and a large initialisation do to the delay


@hypothesis(
    claim="More weight decay, or a large initialisation, shortens the delay of generalisation.",
    about="pairs",
    groups=("more decay or a large initialisation", "little decay"),
    source=f"{PAPER}, section 4",
    leads=[("delay in the first", "in the second")],
)
def shorter_delay(first: Results, second: Results) -> Found:
    """The delay from memorising to grokking is shorter in the first."""
    (a, a_open), (b, b_open) = courses.delay(first), courses.delay(second)
    # A run that ended before it grokked has a longer delay than is known: only one direction is sure.
    unsure = a_open if a < b else b_open
    return (math.nan if unsure else b - a), {"delay in the first": a, "in the second": b}


@hypothesis(
    claim="More weight decay, or a large initialisation, makes the rise of test accuracy sharper.",
    about="pairs",
    groups=("more decay or a large initialisation", "little decay"),
    source=f"{PAPER}, section 4",
    leads=[("test accuracy 10 % to 90 % in steps, first", "second")],
)
def sharper_rise(first: Results, second: Results) -> Found:
    """Test accuracy takes fewer steps from 10 % to 90 % in the first."""
    a, b = (courses.reached(run, 0.9) - courses.reached(run, 0.1) for run in (first, second))
    return b - a, {"test accuracy 10 % to 90 % in steps, first": a, "second": b}


# Section 5: phases


def _starts(results: Results, *names: str) -> dict[str, float]:
    """Where phases of these names begin, each after the one before; NaN from the first missing one on."""
    left = iter(phases(results).found)
    return {
        f"{name} from step": next((float(phase.start) for phase in left if phase.name == name), math.nan)
        for name in names
    }


@hypothesis(
    claim="Training has five phases: feature learning, emergence, divergence, delayed emergence, decoupling.",
    columns=[SYNERGY, REDUNDANCY],
    source=f"{PAPER}, section 5.1",
    leads=[(f"{one} from step", f"{next_} from step") for one, next_ in pairwise(PHASES[1:])],
)
def five_phases(results: Results) -> Found:
    """All five phases are found, in the paper's order."""
    starts = _starts(results, *PHASES)
    if not phases(results).found:
        return None, starts
    return not math.isnan(starts["decoupling from step"]), starts


@hypothesis(
    claim="Training leads to an emergent phase directly, and decoupling follows at once.",
    columns=[SYNERGY, REDUNDANCY],
    source=f"{PAPER}, sections 5.2 and 5.3",
    leads=[("emergence from step", "decoupling from step")],
)
def decoupling_at_once(results: Results) -> Found:
    """Decoupling follows emergence, without divergence and delayed emergence."""
    names = [phase.name for phase in phases(results).found]
    directly = [name for name in names if name != "feature learning"] == ["emergence", "decoupling"]
    return (directly if names else None), _starts(results, "emergence", "decoupling")


def _emergent_peak(results: Results) -> float:
    """The step of most synergy in the phase of emergence, NaN where there is none."""
    emergence = [phase for phase in phases(results).found if phase.name == "emergence"]
    if not emergence:
        return math.nan
    return courses.peak(smooth(results), SYNERGY, emergence[0].start, emergence[0].end)[0]


def _higher_in_emergence(first: Results, second: Results, column: str, what: str) -> Found:
    a, b = (courses.at(smooth(run), column, _emergent_peak(run)) for run in (first, second))
    anywhere = courses.peak(smooth(second), SYNERGY, end=courses.until_grokked(second))[0]
    found = {
        f"{what} in the first": a,
        "in the second": b,
        "and at its peak up to the grokking step": courses.at(smooth(second), column, anywhere),
    }
    return a - b, found


@hypothesis(
    claim="With more weight decay the emergent phase has a larger peak in synergy.",
    columns=[SYNERGY, REDUNDANCY],
    about="pairs",
    groups=("more decay", "little decay"),
    source=f"{PAPER}, section 5.2",
)
def higher_peak_in_emergence(first: Results, second: Results) -> Found:
    """In the phase of emergence synergy peaks higher in the first than in that of the second."""
    return _higher_in_emergence(first, second, SYNERGY, "synergy (nats)")


@hypothesis(
    claim="With more weight decay the emergent phase has a larger synergistic sub-network.",
    columns=[SYNERGY, REDUNDANCY, SIZE],
    about="pairs",
    groups=("more decay", "little decay"),
    source=f"{PAPER}, section 5.2",
)
def larger_subnetwork_in_emergence(first: Results, second: Results) -> Found:
    """The synergistic sub-network is larger at the peak of emergence in the first than in the second."""
    return _higher_in_emergence(first, second, SIZE, "units")


@hypothesis(
    claim="Redundancy drops rapidly first, and a rapid increase in synergy follows it.",
    columns=[SYNERGY, REDUNDANCY],
    source=f"{PAPER}, section 5.3",
    leads=[("redundancy changes at step", "synergy changes at step")],
)
def redundancy_first(results: Results) -> Found:
    """Redundancy changes before synergy does (change points over log steps)."""
    first, second = (courses.changed(smooth(results), column) for column in (REDUNDANCY, SYNERGY))
    return second - first, {"redundancy changes at step": first, "synergy changes at step": second}


# Section 6: synergy foretells grokking


@hypothesis(
    claim="Synergy peaks higher where a network will grok than where it will not.",
    columns=[SYNERGY],
    about="pairs",
    groups=("grokking", "not grokking"),
    source=f"{PAPER}, section 6",
)
def higher_synergy_peak(first: Results, second: Results) -> Found:
    """Synergy peaks higher in the first."""
    a, b = (courses.peak(smooth(run), SYNERGY)[1] for run in (first, second))
    return a - b, {"synergy peak (nats) in the first": a, "in the second": b}


@hypothesis(
    claim="Synergy peaks before the network groks.",
    columns=[SYNERGY],
    source=f"{PAPER}, section 6",
    leads=[
        ("synergy peaks at step", "grokking step"),
        ("synergy peaks at step", "test accuracy 50 % at step"),
    ],
)
def synergy_peaks_first(results: Results) -> Found:
    """Synergy is highest before the grokking step."""
    highest, grokked = courses.peak(smooth(results), SYNERGY)[0], courses.grokked(results)
    found = {
        "synergy peaks at step": highest,
        "grokking step": grokked,
        "test accuracy 50 % at step": courses.reached(results, 0.5),
    }
    return grokked - highest, found


@hypothesis(
    claim="Where the initialisation is too small or too large synergy drops rapidly and never recovers.",
    columns=[SYNERGY],
    source=f"{PAPER}, section 6",
)
def synergy_never_recovers(results: Results) -> Found:
    """Synergy is halved by a tenth of the training, and never again as high as in the untrained network."""
    later = smooth(results)
    untrained, early = (courses.at(results, SYNERGY, share * courses.end_of(results)) for share in (0, 0.1))
    highest = courses.peak(later, SYNERGY)[1]
    found = {"untrained (nats)": untrained, "after a tenth": early, "highest once trained": highest}
    return courses.least(untrained / 2 - early, untrained - highest), found


@hypothesis(
    claim="Synergy peaks early: it is higher between memorisation and grokking than before and after.",
    columns=[SYNERGY],
    source=f"{PAPER}, sections 5 and 6",
    groups="that grok",
    group=courses.groks,
)
def early_synergy_peak(results: Results) -> float | None:
    """Mean synergy from memorisation to just before grokking, less the larger of those before and after.

    Over the range of the course; noise holds in one of three runs.
    """
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None:
        return None
    before = results.values(SYNERGY, end=memorised - 1)
    between = results.values(SYNERGY, memorised, grokked - 1)
    after = results.values(SYNERGY, grokked)
    if not (len(before) and len(between) and len(after)):
        return None
    spread = max(before.max(), between.max(), after.max()) - min(before.min(), between.min(), after.min())
    return float((between.mean() - max(before.mean(), after.mean())) / spread) if spread > 0 else 0.0


@hypothesis(
    claim="Synergy has an early peak in networks that grok, and not in those that do not.",
    columns=[SYNERGY],
    about="grokking",
    source=f"{PAPER}, section 6",
)
def synergy_peak_tells(results: Results) -> float | None:
    """How far synergy falls again.

    Its largest value in the first half of the steps, less the mean over the last tenth, over that largest
    value; 0 where no multiplet is synergistic in the first half. This looks at the whole course, whose shape
    is the claim; what its height foretells is in `predict`'s table.
    """
    last = results.steps[-1]
    early, late = results.values(SYNERGY, end=last / 2), results.values(SYNERGY, 0.9 * last)
    if len(results.steps) < FEWEST or not (len(early) and len(late)):
        return None
    return float(1 - late.mean() / early.max()) if early.max() > 0 else 0.0


# Section 7: the synergistic sub-network alone


@hypothesis(
    claim="The most synergistic units, trained alone, do about as the whole network does.",
    about="pairs",
    groups=("network", "its synergistic units"),
    source=f"{PAPER}, section 7",
)
def subnetwork_similar(whole: Results, part: Results) -> Found:
    """The last test accuracy of the sub-network is within 5 points of the whole network's."""
    a, b = courses.final_accuracy(part), courses.final_accuracy(whole)
    return abs(a - b) <= NEAR, {"test accuracy (%) of the sub-network": 100 * a, "of the network": 100 * b}


@hypothesis(
    claim="The most synergistic units, trained alone, grok in fewer steps than the whole network.",
    about="pairs",
    groups=("network", "its synergistic units"),
    source=f"{PAPER}, section 7",
    leads=[("grokking step of the sub-network", "of the network")],
)
def subnetwork_sooner(whole: Results, part: Results) -> Found:
    """The sub-network groks in fewer steps than the whole network."""
    a, b = courses.grokked(part), courses.grokked(whole)
    missed = math.isnan(a) and not math.isnan(b) and courses.end_of(part) >= b
    found = {"grokking step of the sub-network": a, "of the network": b}
    return (-1.0 if missed else b - a), found


@hypothesis(
    claim="The other units, trained alone, do worse than the most synergistic ones.",
    about="pairs",
    groups=("synergistic units", "the other units"),
    source=f"{PAPER}, section 7",
)
def other_units_worse(part: Results, other: Results) -> Found:
    """The other units end at least 5 points lower."""
    a, b = courses.final_accuracy(part), courses.final_accuracy(other)
    found = {"test accuracy (%) of the sub-network": 100 * a, "of the other units": 100 * b}
    return a - NEAR - b, found


@hypothesis(
    claim="With a large initialisation the sub-network takes about as long to grok as the whole network.",
    about="pairs",
    groups=("network", "its synergistic units"),
    source=f"{PAPER}, section 7",
    leads=[("test 90 % at step, sub-network", "network")],
)
def subnetwork_in_similar_time(whole: Results, part: Results) -> Found:
    """The sub-network has test accuracy 90 % within a quarter of the whole network's step."""
    a, b = courses.reached(part, GROKS_AT), courses.reached(whole, GROKS_AT)
    found = {"test 90 % at step, sub-network": a, "network": b}
    if math.isnan(b):
        return None, found
    return not math.isnan(a) and courses.log_distance(a, b) <= math.log10(SIMILAR), found


# Appendices A and B: who groks


def _ends(results: Results) -> dict[str, float]:
    last = 100 * courses.final_accuracy(results)
    return {"test 90 % at step": courses.reached(results, GROKS_AT), "last test accuracy (%)": last}


@hypothesis(claim="The network groks.", source=f"{PAPER}, appendices A and B")
def reaches_90_percent(results: Results) -> Found:
    """It reaches test accuracy 90 %."""
    return not math.isnan(courses.reached(results, GROKS_AT)), _ends(results)


@hypothesis(claim="The network does not grok.", source=f"{PAPER}, appendices A and B")
def never_reaches_90_percent(results: Results) -> Found:
    """It never reaches test accuracy 90 %."""
    return math.isnan(courses.reached(results, GROKS_AT)), _ends(results)
