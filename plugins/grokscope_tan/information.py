"""What Tan & Huang 2023 claim of their own metrics, information and confidence under noise, each once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis
from grokscope_tan.claims import L2, PAPER

if TYPE_CHECKING:
    from grokscope import Results
    from grokscope_tan.claims import Found

PC, CD, MID, ED = "pc.pc", "cd.cd", "mid.mid", "ed.ed"
CHANGES, UP = "{} changes at step", "grokking step"
PMI, PE, LABELS = "pmi.pmi", "pe.pe", "pmi_label.pmi_label"
SMALL = 0.1  # nats: "very small"
SHARPLY = 2  # a phase of decrease, by this factor at least


# Section 6 and 7: mutual information and entropy


def _share_in_rise(results: Results, column: str) -> float:
    """Share (%) of all that a column moves from memorisation on while test accuracy rises quickly, or NaN."""
    import numpy as np

    start, begins, up = courses.memorised(results), courses.rise_begins(results), courses.generalised(results)
    values = courses.course(results, column)
    kept = np.isfinite(values) & (np.asarray(results.steps) >= start)
    moves, steps = np.abs(np.diff(values[kept])), np.asarray(results.steps)[kept][1:]
    if math.isnan(begins) or math.isnan(up) or not moves.sum() > 0:
        return math.nan
    return 100 * float(moves[(steps >= begins) & (steps <= up)].sum() / moves.sum())


def _timely(results: Results, column: str, what: str) -> Found:
    moved, norm = _share_in_rise(results, column), _share_in_rise(results, L2)
    begins, up = courses.rise_begins(results), courses.generalised(results)
    found = {f"% of {column}": moved, "% of the norm": norm, "rises from step": begins, UP: up}
    found[CHANGES.format(what)] = courses.changed(results, column, courses.memorised(results))
    return moved - norm, found


@hypothesis(
    claim="PMI changes sharply at the time of grokking: a better indicator than the l2 norm.",
    columns=[PMI, L2],
    source=f"{PAPER}, section 6",
    groups="that grok",
    group=courses.groks,
    leads=[(CHANGES.format("PMI"), UP)],
)
def pmi_timely(results: Results) -> Found:
    """More of what PMI moves than of what the l2 norm does falls into the rise of test accuracy.

    Shares of all that each moves from memorisation on; the rise is from a tenth of it to the grokking step.
    """
    return _timely(results, PMI, "PMI")


@hypothesis(
    claim="PE changes sharply at the time of grokking: a better indicator than the l2 norm.",
    columns=[PE, L2],
    source=f"{PAPER}, section 6",
    groups="that grok",
    group=courses.groks,
    leads=[(CHANGES.format("PE"), UP)],
)
def pe_timely(results: Results) -> Found:
    """More of what PE moves than of what the l2 norm does falls into the rise of test accuracy.

    Shares of all that each moves from memorisation on; the rise is from a tenth of it to the grokking step.
    """
    return _timely(results, PE, "PE")


def _alike(first: Results, second: Results, column: str) -> Found:
    rho = courses.spearman(courses.course(first, column), courses.course(second, column))
    return rho - 0.9, {"rho": rho}


@hypothesis(
    claim="The tendency of PMI is affected neither by the order of the entropy nor by the data set.",
    columns=[PMI],
    about="pairs",
    groups=("alpha 1, training split", "another"),
    source=f"{PAPER}, section 7",
)
def pmi_tendency_stays(first: Results, second: Results) -> Found:
    """The courses of PMI go together, Spearman's rho above 0.9."""
    return _alike(first, second, PMI)


@hypothesis(
    claim="The tendency of PE is affected neither by the order of the entropy nor by the data set.",
    columns=[PE],
    about="pairs",
    groups=("alpha 1, training split", "another"),
    source=f"{PAPER}, section 7",
)
def pe_tendency_stays(first: Results, second: Results) -> Found:
    """The courses of PE go together, Spearman's rho above 0.9."""
    return _alike(first, second, PE)


@hypothesis(
    claim="What noised logits tell of the labels is connected with grokking in a less timely way than PMI.",
    columns=[PMI, LABELS],
    source=f"{PAPER}, appendix C",
    groups="that grok",
    group=courses.groks,
    leads=[(CHANGES.format("PMI"), UP), ("label information", UP)],
)
def pmi_timelier_than_labels(results: Results) -> Found:
    """From memorisation on PMI changes nearer to the grokking step, in log steps, than label information."""
    up, start = courses.generalised(results), courses.memorised(results)
    first, second = (courses.changed(results, column, start) for column in (PMI, LABELS))
    found = {CHANGES.format("PMI"): first, "label information": second, UP: up}
    return courses.log_distance(second, up) - courses.log_distance(first, up), found


# Appendix B: confidence, and what foretells grokking


@hypothesis(
    claim="On MNIST the tendency of PC changes to a quick increase when test accuracy does.",
    columns=[PC],
    source=f"{PAPER}, appendix B.1",
)
def pc_rises_with_test_accuracy(results: Results) -> Found:
    """From memorisation on, PC and test accuracy rise together: Spearman's rho above 0.5."""
    late = courses.share_of_course(results, courses.memorised(results), PC, "test_accuracy")
    rho = courses.spearman(*late)
    return rho - 0.5, {"rho": rho}


@hypothesis(
    claim="On modular addition the tendency of PC turns into a decrease from the initial increase.",
    columns=[PC],
    source=f"{PAPER}, appendix B.1",
)
def pc_turns(results: Results) -> Found:
    """PC rises, then falls: until the grokking step it has been higher than it is there."""
    up = courses.generalised(results)
    top, first, then = (
        courses.peak(results, PC, end=up)[1],
        courses.at(results, PC, 0),
        courses.at(results, PC, up),
    )
    found = {
        "first (%)": first,
        "highest so far": top,
        "at the grokking step": then,
        "last": courses.last(results, PC),
    }
    return courses.least(top - first, top - then), found


@hypothesis(
    claim="On modular addition PC turns when test accuracy undergoes its quick increase.",
    columns=[PC],
    source=f"{PAPER}, appendix B.1",
    leads=[("PC turns at step", UP)],
)
def pc_turns_in_time(results: Results) -> Found:
    """PC turns as test accuracy rises, from a tenth of that to the grokking step.

    It turns where it begins to fall furthest, from memorisation to the end of training, and not at all where
    it never falls.
    """
    up, begins = courses.generalised(results), courses.rise_begins(results)
    turn = courses.turn(results, PC, courses.memorised(results))
    found = {
        "PC turns at step": turn,
        f"test accuracy is at {courses.BEGINS:.0%} of its rise": begins,
        UP: up,
    }
    never = math.isnan(turn) and math.isfinite(courses.last(results, PC))
    return (-1.0 if never else courses.least(turn + 1 - begins, up + 1 - turn)), found


@hypothesis(
    claim="The confidence difference CD falls between train accuracy 100 % and grokking.",
    columns=[CD],
    source=f"{PAPER}, appendix B.2.1",
    groups="that grok",
    group=courses.groks,
)
def cd_falls(results: Results) -> Found:
    """CD is lower at the grokking step than at memorisation."""
    up = courses.generalised(results)
    before = courses.once_memorised(results, CD)
    after = math.nan if math.isnan(up) else courses.at(results, CD, up)
    return before - after, {"CD (points) at memorisation": before, "at the grokking step": after}


def _falls_early(results: Results, column: str) -> Found:
    """How far the mean of the later half of the checkpoints up to memorisation is below half the earlier."""
    import numpy as np

    values = courses.course(results, column)
    early = values[(np.asarray(results.steps) <= courses.memorised(results)) & np.isfinite(values)]
    half = len(early) // 2
    if not half:
        return math.nan, {}
    first, second = float(early[:half].mean()), float(early[-half:].mean())
    found = {"nats in the first half": first, "in the second": second}
    return first - SHARPLY * second, found


def _small_or_falling(results: Results, column: str) -> Found:
    (falls, early), (small, throughout) = _falls_early(results, column), _small(results, column)
    return (small if math.isnan(falls) else max(falls, small)), early | throughout


def _small(results: Results, column: str) -> Found:
    top = courses.peak(results, column)[1]
    return SMALL - top, {"highest (nats)": top}


@hypothesis(
    claim="On modular addition MID has a phase of consistent decrease before train accuracy is 100 %.",
    columns=[MID],
    source=f"{PAPER}, appendix B.2.2",
)
def mid_falls_early(results: Results) -> Found:
    """MID falls before memorisation.

    The mean over the second half of the checkpoints up to it is below half of that over the first half.
    """
    return _falls_early(results, MID)


@hypothesis(claim="On MNIST MID is very small throughout.", columns=[MID], source=f"{PAPER}, appendix B.2.2")
def mid_small(results: Results) -> Found:
    """MID is small throughout: below 0.1 nats at every checkpoint."""
    return _small(results, MID)


@hypothesis(
    claim="Grokking happens where MID is very small, or falls sharply, before train accuracy is 100 %.",
    columns=[MID],
    source=f"{PAPER}, appendix B.2.2",
    groups="that grok",
    group=courses.groks,
)
def mid_small_or_falling_early(results: Results) -> Found:
    """MID falls before memorisation, or is below 0.1 nats at every checkpoint.

    It falls where the mean over the second half of the checkpoints up to memorisation is below half of that
    over the first half.
    """
    return _small_or_falling(results, MID)


@hypothesis(
    claim="On modular addition ED has a phase of consistent decrease before train accuracy is 100 %.",
    columns=[ED],
    source=f"{PAPER}, appendix B.2.2",
)
def ed_falls_early(results: Results) -> Found:
    """ED falls before memorisation.

    The mean over the second half of the checkpoints up to it is below half of that over the first half.
    """
    return _falls_early(results, ED)


@hypothesis(claim="On MNIST ED is very small throughout.", columns=[ED], source=f"{PAPER}, appendix B.2.2")
def ed_small(results: Results) -> Found:
    """ED is small throughout: below 0.1 nats at every checkpoint."""
    return _small(results, ED)


@hypothesis(
    claim="Grokking happens where ED is very small, or falls sharply, before train accuracy is 100 %.",
    columns=[ED],
    source=f"{PAPER}, appendix B.2.2",
    groups="that grok",
    group=courses.groks,
)
def ed_small_or_falling_early(results: Results) -> Found:
    """ED falls before memorisation, or is below 0.1 nats at every checkpoint.

    It falls where the mean over the second half of the checkpoints up to memorisation is below half of that
    over the first half.
    """
    return _small_or_falling(results, ED)
