"""What Golechha 2024 claims, each sentence once: `predict` asks it of any runs, a figure of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

NORM, SPARSITY, ENTROPY = "weight_norm.l2_all", "activation_sparsity.mean", "weight_entropy.total"
COMPLEXITY = "circuit_complexity.kl_mean"
PAPER = "Golechha 2024"
BEGINS = f"test accuracy at {courses.BEGINS:.0%} of its rise"
MOVED = "{} has moved by a fifth at step"
STILL = 0.2  # of its range: a course that moves by less has not changed
FEWEST = 3  # checkpoints that can show a course standing still


def against_the_norm(results: Results) -> str | None:
    """Whether a run was trained with the anti-norm term."""
    return "anti-norm" if courses.setting(results, "training.anti_norm") else None


@hypothesis(
    claim="The l2 weight norm falls.",
    columns=[NORM],
    source=f"{PAPER}, sections 3 and 4",
    groups="that grok",
    group=courses.groks,
)
def norm_falls(results: Results) -> Found:
    """The weight norm ends below its value at memorisation."""
    return courses.fall(results, NORM, "norm")


@hypothesis(
    claim="Trained against a small norm, the l2 weight norm keeps rising.",
    columns=[NORM],
    source=f"{PAPER}, sections 3 and 4",
    groups="anti-norm",
    group=against_the_norm,
)
def norm_rises(results: Results) -> Found:
    """The weight norm ends above its value at memorisation."""
    fall, found = courses.fall(results, NORM, "norm")
    return -fall, found


@hypothesis(
    claim="Trained against a small norm, networks grok all the same.",
    source=f"{PAPER}, sections 3 and 4",
    groups="anti-norm",
    group=against_the_norm,
)
def generalises_with_rising_norm(results: Results) -> Found:
    """Test accuracy rises by more than 10 points after memorisation."""
    begin, top = (
        courses.accuracy_at(results, courses.memorised(results)),
        courses.best_accuracy(results),
    )
    return top - begin - 0.1, {"test accuracy (%) at memorisation": 100 * begin, "best": 100 * top}


@hypothesis(
    claim="The norm need not fall: networks grok without their weight norm falling.",
    columns=[NORM],
    source=f"{PAPER}; Tan & Huang 2023",
    groups="that grok",
    group=courses.groks,
)
def norm_not_needed(results: Results) -> float | None:
    """Log10 of the norm at grokking over that at memorisation, the first checkpoints from each on.

    Positive where the norm did not fall.
    """
    memorised, grokked = results.memorisation_step, results.grokking_step
    if memorised is None or grokked is None or grokked <= memorised:
        return None
    start, end = results.values(NORM, memorised, grokked - 1)[:1], results.values(NORM, grokked)[:1]
    if not (len(start) and len(end)) or min(start[0], end[0]) <= 0:
        return None
    return math.log10(end[0] / start[0])


# Section 4: the three progress measures


def _moves_while_overfitting(results: Results, column: str, what: str, since: float) -> Found:
    """How far a course stays below a fifth of its range between memorisation and half of the rise."""
    start, up = courses.memorised(results), courses.rise(results)
    moved, whole = courses.span(results, column, start, up), courses.span(results, column, since, math.inf)
    there = courses.once_memorised(results, column)
    left = courses.first_step(results, column, lambda value: abs(value - there) >= STILL * whole, start)
    found = {"it moves by": moved, "its range": whole, BEGINS: courses.rise_begins(results)}
    found[MOVED.format(what)] = left
    few = sum(start <= step <= up for step in results.steps) < FEWEST
    return (math.nan if few else STILL * whole - moved), found


@hypothesis(
    claim="Activation sparsity has its plateau right before the network groks.",
    columns=[SPARSITY],
    source=f"{PAPER}, section 4.1",
    groups="that grok",
    group=courses.groks,
    chance=0.7,  # of random walks
    leads=[(BEGINS, MOVED.format("sparsity"))],
)
def sparsity_plateaus_before(results: Results) -> Found:
    """Sparsity has its plateau before test accuracy rises.

    Between memorisation and half of the rise it moves by less than a fifth of its range.
    """
    return _moves_while_overfitting(results, SPARSITY, "sparsity", 0)


@hypothesis(
    claim="Weight entropy falls sharply with generalisation.",
    columns=[ENTROPY],
    source=f"{PAPER}, section 4.2",
    groups="that grok",
    group=courses.groks,
)
def weight_entropy_falls(results: Results) -> Found:
    """Weight entropy falls with generalisation.

    After half of the rise of test accuracy, and more than it moved between memorisation and that.
    """
    start, up = courses.memorised(results), courses.rise(results)
    during = courses.at(results, ENTROPY, up) - courses.at(results, ENTROPY, start)
    after = courses.last(results, ENTROPY) - courses.at(results, ENTROPY, up)
    if math.isnan(start) or math.isnan(up):
        during = after = math.nan
    found = {"change from memorisation to half of the rise": during, "change after": after}
    return courses.least(-after, abs(after) - abs(during)), found


@hypothesis(
    claim="Weight entropy does not change during overfitting.",
    columns=[ENTROPY],
    source=f"{PAPER}, section 4.2",
    groups="that grok",
    group=courses.groks,
    chance=0.65,  # of random walks
    leads=[(BEGINS, MOVED.format("entropy"))],
)
def weight_entropy_still_before(results: Results) -> Found:
    """Weight entropy does not change while the network overfits.

    Between memorisation and half of the rise it moves by less than a fifth of its range from memorisation
    on.
    """
    return _moves_while_overfitting(results, ENTROPY, "entropy", courses.memorised(results))


@hypothesis(
    claim="Local circuit complexity falls.",
    columns=[COMPLEXITY],
    source=f"{PAPER}, section 4.3",
    groups="that grok",
    group=courses.groks,
)
def circuit_complexity_falls(results: Results) -> Found:
    """Circuit complexity ends below its value at memorisation."""
    return courses.fall(results, COMPLEXITY, "KL (nats)")


# Appendix C: dropout


def drops_out(results: Results) -> str | None:
    """Whether a run was trained with dropout."""
    return "dropout" if courses.setting(results, "training.dropout") else None


@hypothesis(
    claim="Dropout in every layer makes the delay of generalisation vanish.",
    source=f"{PAPER}, appendix C",
    groups="dropout",
    group=drops_out,
    leads=[("train 95 % at step", "test at 90 % of its best")],
)
def no_delay(results: Results) -> Found:
    """Test accuracy is at 90 % of its best soon after train accuracy is at 95 %.

    Soon is up to a quarter of these steps later; it cannot be said where test accuracy is never 50 %.
    """
    best = courses.best_accuracy(results)
    train, test = courses.reached(results, 0.95, "train"), courses.reached(results, 0.9 * best)
    found = {
        "train 95 % at step": train,
        "test at 90 % of its best": test,
        "best test accuracy (%)": 100 * best,
    }
    return (1.25 * train + 1 - test if best >= 0.5 else math.nan), found
