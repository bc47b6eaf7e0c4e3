"""What Tan & Huang 2023 claim, each sentence once: `predict` asks it of any runs, a figure of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

L2, L1 = "weight_norm.l2_all", "weight_norm.l1_all"
ERROR, SHARPNESS = "perturbation_error.mean", "sharpness.trace"
COROLLARY = "predicted_accuracy.corollary"
AGREEMENT, DISTANCE = "abelian.agreement:train", "abelian.logit_distance:train"
PAPER = "Tan & Huang 2023"
NORM_BEGINS = f"norm at {courses.BEGINS:.0%} of its fall at step"
TEST_BEGINS = f"test accuracy at {courses.BEGINS:.0%} of its rise"
MEMORISED = "memorised at step"
TEST_HALF, AGREES = "test accuracy 50 % at step", "agreement 90 % at step"
LEARNED = 0.9  # agreement from which the commutative law counts as learned


def plain(results: Results) -> str | None:
    """Whether a run was trained plainly."""
    others = ("perturb", "abelian", "subnetwork", "dropout", "anti_norm")
    return None if any(_is_on(results, name) for name in others) else "plain"


def perturbed(results: Results) -> str | None:
    """Whether a run was trained on perturbed inputs, and otherwise plainly."""
    others = ("abelian", "subnetwork", "dropout", "anti_norm")
    alone = not any(_is_on(results, name) for name in others)
    return "perturbed" if alone and _is_on(results, "perturb") else None


def either(results: Results) -> str | None:
    """Whether it was trained one way or the other."""
    return plain(results) or perturbed(results)


def _is_on(results: Results, name: str) -> bool:
    setting = courses.setting(results, f"training.{name}")
    return any(setting) if isinstance(setting, (list, tuple)) else bool(setting)


# Section 1 and appendix A.1: the weight norm


def _begins_first(results: Results, column: str) -> Found:
    fall, rise = _fall_begins(results, column), courses.rise_begins(results)
    return rise - fall, {NORM_BEGINS: fall, TEST_BEGINS: rise}


def _fall_begins(results: Results, column: str) -> float:
    """The step from which a column has made a tenth of its fall from its highest, or NaN."""
    begin, top = courses.peak(results, column, courses.memorised(results))
    end = courses.last(results, column)
    if not end < top:
        return math.nan
    level = top - courses.BEGINS * (top - end)
    return courses.first_step(results, column, lambda value: value <= level, begin)


@hypothesis(
    claim="The l2 weight norm drops as a network groks.",
    columns=[L2],
    source=f"{PAPER}, section 1",
    groups="that grok",
    group=courses.groks,
)
def l2_falls(results: Results) -> Found:
    """The norm ends below its value at memorisation."""
    return courses.fall(results, L2, "norm")


@hypothesis(
    claim="The decrease of the l2 weight norm comes before the grokking.",
    columns=[L2],
    source=f"{PAPER}, section 1",
    groups="that grok",
    group=courses.groks,
    chance=0.65,  # where accuracy rises late and checkpoints lie densely before, noise is often first
    leads=[(NORM_BEGINS, TEST_BEGINS)],
)
def l2_falls_first(results: Results) -> Found:
    """Its fall begins first: the norm is at a tenth of it before test accuracy is at a tenth of its rise."""
    return _begins_first(results, L2)


@hypothesis(
    claim="The l1 weight norm drops as a network groks.",
    columns=[L1],
    source=f"{PAPER}, appendix A.1, Corollary A.2",
    groups="that grok",
    group=courses.groks,
)
def l1_falls(results: Results) -> Found:
    """The norm ends below its value at memorisation."""
    return courses.fall(results, L1, "norm")


@hypothesis(
    claim="The decrease of the l1 weight norm comes before the grokking.",
    columns=[L1],
    source=f"{PAPER}, appendix A.1, Corollary A.2",
    groups="that grok",
    group=courses.groks,
    chance=0.65,  # where accuracy rises late and checkpoints lie densely before, noise is often first
    leads=[(NORM_BEGINS, TEST_BEGINS)],
)
def l1_falls_first(results: Results) -> Found:
    """Its fall begins first: the norm is at a tenth of it before test accuracy is at a tenth of its rise."""
    return _begins_first(results, L1)


# Section 4: robustness


@hypothesis(
    claim="The perturbation error decays after train accuracy is 100 %.",
    columns=[ERROR],
    source=f"{PAPER}, section 4",
)
def perturbation_error_falls(results: Results) -> Found:
    """Perturbation error ends below its value at memorisation."""
    return courses.fall(results, ERROR, "error")


@hypothesis(
    claim="Sharpness decreases all through training.", columns=[SHARPNESS], source=f"{PAPER}, section 4"
)
def sharpness_falls(results: Results) -> Found:
    """Sharpness falls: Spearman's rho with the step is below -0.5."""
    rho = courses.spearman(results.steps, courses.course(results, SHARPNESS))
    return -0.5 - rho, {"rho": rho}


@hypothesis(
    claim="The accuracy that Corollary 4.3 predicts from the steps closely matches the real test accuracy.",
    columns=[COROLLARY],
    source=f"{PAPER}, section 4",
)
def corollary_matches(results: Results) -> Found:
    """On average over the checkpoints the curve is within 10 points of the test accuracy."""
    import numpy as np

    gap = np.abs(courses.course(results, COROLLARY) - courses.course(results, "test_accuracy"))
    mean = float(np.nanmean(gap)) if np.isfinite(gap).any() else math.nan
    half = courses.reached(results, 0.5)
    return 0.1 - mean, {"mean distance (points)": 100 * mean, "test accuracy 50 % at step": half}


def _sooner(unchanged: Results, other: Results, how: str) -> Found:
    """How much sooner the other run is at 90 % of the plain run's best test accuracy.

    Less than nothing where it was trained as long and never was.
    """
    level = 0.9 * courses.best_accuracy(unchanged)
    step, usual = courses.reached(other, level), courses.reached(unchanged, level)
    missed = math.isnan(step) and not math.isnan(usual) and courses.end_of(other) >= usual
    return -1.0 if missed else usual - step, {f"step, {how}": step, "step, plain": usual}


@hypothesis(
    claim="Noise on the input, less of it as train accuracy rises, speeds generalisation up.",
    about="pairs",
    groups=("plain", "perturbed"),
    group=either,
    source=f"{PAPER}, section 4",
    leads=[("step, perturbed", "step, plain")],
)
def sooner_when_perturbed(unchanged: Results, other: Results) -> Found:
    """Perturbed training is sooner at 90 % of plain training's best test accuracy."""
    return _sooner(unchanged, other, "perturbed")


# Section 5: the commutative law


@hypothesis(
    claim="Trained plainly, networks do not comprehend a + b = b + a on the training data until they grok.",
    columns=[AGREEMENT],
    source=f"{PAPER}, section 5",
    groups="plain",
    group=plain,
    leads=[(TEST_HALF, AGREES)],
)
def agreement_late_when_plain(results: Results) -> Found:
    """Agreement is below 90 % at memorisation, and still when test accuracy passes 50 %."""
    rise = courses.reached(results, 0.5)
    half = math.nan if math.isnan(rise) else courses.at(results, AGREEMENT, rise)
    known = courses.once_memorised(results, AGREEMENT)
    found = {"agreement (%) at memorisation": 100 * known, "at test accuracy 50 %": 100 * half}
    found |= {TEST_HALF: rise, AGREES: _agrees(results)}
    return courses.least(LEARNED - known, LEARNED - half), found


@hypothesis(
    claim="Perturbed training comprehends a + b = b + a on the training data right after train accuracy is "
    "100 %.",
    columns=[AGREEMENT],
    source=f"{PAPER}, section 5",
    groups="perturbed",
    group=perturbed,
    chance=0.7,  # of random walks that begin near 1
    leads=[(MEMORISED, AGREES)],
)
def agreement_early_when_perturbed(results: Results) -> Found:
    """Agreement is above 90 % at the first checkpoint from memorisation on."""
    known = courses.once_memorised(results, AGREEMENT)
    found = {MEMORISED: courses.memorised(results), "agreement (%) there": 100 * known}
    return known - LEARNED, {**found, AGREES: _agrees(results)}


def _agrees(results: Results) -> float:
    """The first step from memorisation on at which the commutative law counts as learned, or NaN."""
    start = courses.memorised(results)
    return courses.first_step(results, AGREEMENT, lambda value: value > LEARNED, start)


@hypothesis(
    claim="A term in the loss that draws f(a, b) and f(b, a) together speeds generalisation up.",
    about="pairs",
    groups=("plain", "abelian"),
    source=f"{PAPER}, section 5",
    leads=[("step, abelian", "step, plain")],
)
def sooner_when_abelian(unchanged: Results, other: Results) -> Found:
    """Abelian training is sooner at 90 % of plain training's best test accuracy."""
    return _sooner(unchanged, other, "abelian")


@hypothesis(
    claim="The abelian term performs even better than perturbed inputs.",
    about="pairs",
    groups=("plain", "abelian", "perturbed"),
    source=f"{PAPER}, section 5",
    leads=[("step, abelian", "step, perturbed")],
)
def abelian_sooner_than_perturbed(unchanged: Results, abelian: Results, noisy: Results) -> Found:
    """Abelian training is sooner there than perturbed training, too."""
    level = 0.9 * courses.best_accuracy(unchanged)
    first, second = courses.reached(abelian, level), courses.reached(noisy, level)
    return second - first, {"step, abelian": first, "step, perturbed": second}


@hypothesis(
    claim="Trained plainly, networks come to rest at logits of a + b and b + a that are near each other.",
    columns=[DISTANCE],
    source=f"{PAPER}, section 5.2",
    groups="plain",
    group=plain,
)
def distance_rests_when_plain(results: Results) -> Found:
    """The distance ends below a tenth of its highest."""
    end, top = courses.last(results, DISTANCE), courses.peak(results, DISTANCE)[1]
    return 0.1 * top - end, {"distance at the end": end, "highest": top}


@hypothesis(
    claim="Under perturbed training the distance of the logits of a + b and b + a behaves chaotically.",
    columns=[DISTANCE],
    about="pairs",
    groups=("plain", "perturbed"),
    group=either,
    source=f"{PAPER}, section 5.2",
)
def distance_restless_when_perturbed(unchanged: Results, other: Results) -> Found:
    """Perturbed, over the last third of training it turns at more of the checkpoints than plain."""
    noisy, usual = _turns(other), _turns(unchanged)
    return noisy - usual, {"checkpoints (%) at which it turns, perturbed": noisy, "plain": usual}


def _turns(results: Results) -> float:
    """Share (%) of the last third's checkpoints at which the distance begins to fall or to rise."""
    import numpy as np

    moves = np.sign(np.diff(courses.course(results, DISTANCE)[-max(4, len(results.steps) // 3) :]))
    moves = moves[np.isfinite(moves)]
    return 100 * float(np.mean(moves[1:] * moves[:-1] < 0)) if len(moves) > 1 else math.nan
