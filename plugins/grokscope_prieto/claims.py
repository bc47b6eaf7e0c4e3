"""What Prieto et al. 2025 claim of softmax collapse and of naive loss minimisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float | bool | None, dict[str, float]]

COLLAPSE = "softmax_collapse.train_zero_loss"
MARGIN, DEGREE, NORM = "margin.median", "margin.degree", "weight_norm.l2_all"
PAPER = "Prieto et al. 2025"
HALF = 0.5  # of the examples: from here on the paper's figure 4 says that softmax has collapsed
LITTLE = 0.05  # of test accuracy: no more generalising
LEARNED = 0.95  # test accuracy that leaves nothing to be stopped
ORTHOGONAL = "training.orthogonal_gradient"


def unregularised(results: Results) -> str | None:
    """Return "unregularised" for a run by cross-entropy without weight decay, dropout or a norm held."""
    held = ("weight_decay", "dropout", "constrain_norm", "anti_norm", "abelian", "perturb")
    on = any(courses.setting(results, f"training.{name}") for name in held)
    by_entropy = courses.setting(results, "training.loss") == "cross_entropy"
    return "unregularised" if by_entropy and not on else None


def by_gradient(results: Results) -> str | None:
    """Tell unregularised runs by the gradient that is orthogonal to the weights from plain ones."""
    if unregularised(results) is None:
        return None
    return "orthogonal" if courses.setting(results, ORTHOGONAL) else "plain"


@hypothesis(
    claim="Without regularisation generalisation stops when softmax collapse begins.",
    columns=[COLLAPSE],
    source=f"{PAPER}, section 3.2, figure 2",
    groups="unregularised",
    group=unregularised,
)
def collapse_stops_generalising(results: Results) -> Found:
    """After softmax has collapsed on half of the training examples test accuracy rises by 5 points at most.

    Nothing is said where it never collapses so far, or has 95 % test accuracy when it does.
    """
    values = courses.course(results, COLLAPSE)
    collapsed = (step for step, value in zip(results.steps, values, strict=True) if value >= HALF)
    step = next(collapsed, math.nan)
    then, best = courses.accuracy_at(results, step), courses.best_accuracy(results)
    found = {"collapsed at step": step, "test accuracy (%) then": 100 * then, "best": 100 * best}
    if math.isnan(then) or then >= LEARNED:
        return None, found
    return LITTLE - (best - then), found


@hypothesis(
    claim="Beyond overfitting, an unregularised network lowers its loss by scaling its weights up.",
    columns=[MARGIN, DEGREE, NORM],
    source=f"{PAPER}, section 4.2",
    groups="unregularised",
    group=unregularised,
)
def margins_grow_by_scale(results: Results) -> Found:
    """Most of what the median margin gains after memorising, in logs, is what the norm's growth alone gives.

    The logits of a homogeneous network grow with the norm to the power of its degree; of others nothing is
    said.
    """
    first, then = courses.once_memorised(results, MARGIN), courses.last(results, MARGIN)
    small, large = courses.once_memorised(results, NORM), courses.last(results, NORM)
    found = {
        "median margin once memorised": first,
        "at the end": then,
        "norm": small,
        "norm at the end": large,
    }
    if not min(first, then, small, large) > 0:
        return None, found
    gained = math.log(then / first)
    scaled = courses.last(results, DEGREE) * math.log(large / small)
    return courses.least(gained, scaled - gained / 2), found


@hypothesis(
    claim="Without the part of the gradient along the weights generalisation comes soon, with no decay.",
    about="pairs",
    groups=("orthogonal", "plain"),
    group=by_gradient,
    source=f"{PAPER}, section 5.1, figure 6",
    leads=[("grokking step with the orthogonal gradient", "plain")],
)
def orthogonal_gradient_groks_sooner(orthogonal: Results, plain: Results) -> Found:
    """Test accuracy is at 95 % sooner with the orthogonal gradient, or without it never in as many steps.

    Of runs that differ in nothing else.
    """
    soon, late = courses.grokked(orthogonal), courses.grokked(plain)
    found = {"grokking step with the orthogonal gradient": soon, "plain": late}
    if not courses.differ_only_in(orthogonal, plain, ORTHOGONAL):
        return None, found
    if math.isnan(soon):
        return (None if math.isnan(late) else False), found
    missed = math.isnan(late) and courses.end_of(plain) > soon
    return (True if missed else late - soon), found
