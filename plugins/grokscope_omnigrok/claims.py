"""What Liu et al. 2022 (Omnigrok) claim of the weight norm: the Goldilocks zone, the LU mechanism."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

NORM = "weight_norm.l2_all"
DECAY = "training.weight_decay"
PAPER = "Liu et al. 2022"
MORE, LESS = "more decay", "less decay"
MUCH = 1.0  # weight decay from which on `predict` takes a run for one of more decay
WITHIN = 0.5  # of an exponent of 1: inversely proportional


def _decay(results: Results) -> float:
    return float(courses.setting(results, DECAY) or 0)


def by_decay(results: Results) -> str | None:
    """Tell runs that grok with weight decay 1 and more from those with less; None without any."""
    decay = _decay(results)
    if not decay or courses.groks(results) is None:
        return None
    return MORE if decay >= MUCH else LESS


@hypothesis(
    claim="The time to generalise is inversely proportional to the weight decay.",
    about="pairs",
    groups=(MORE, LESS),
    group=by_decay,
    source=f"{PAPER}, sections 2 and 3, figure 2c",
    leads=[("grokking step with more decay", "with less")],
)
def later_as_decay_is_less(more: Results, less: Results) -> Found:
    """The grokking step goes with weight decay to the power of -0.5 to -1.5.

    Of runs that differ in nothing but their weight decay.
    """
    early, late = courses.generalised(more), courses.generalised(less)
    found = {"grokking step with more decay": early, "with less": late}
    if not courses.differ_only_in(more, less, DECAY) or not _decay(more) > _decay(less) > 0:
        return math.nan, found
    if math.isnan(early) or math.isnan(late) or early <= 0:
        return math.nan, found
    power = math.log(late / early) / math.log(_decay(more) / _decay(less))
    return WITHIN - abs(power - 1), {**found, "power": power}


@hypothesis(
    claim="Generalising solutions lie near a sphere: runs grok at one weight norm, whatever their decay.",
    columns=[NORM],
    about="pairs",
    groups=(MORE, LESS),
    group=by_decay,
    source=f"{PAPER}, section 2, figure 1",
)
def one_norm_at_grokking(more: Results, less: Results) -> Found:
    """Norms at the grokking step differ by less than half of the way that either has made.

    The way is from the norm at memorisation to that at the grokking step, all in logs; of runs that differ in
    nothing but their weight decay.
    """
    starts = [courses.once_memorised(run, NORM) for run in (more, less)]
    ends = [courses.at(run, NORM, courses.generalised(run)) for run in (more, less)]
    found = {"norm at grokking with more decay": ends[0], "with less": ends[1]}
    if not courses.differ_only_in(more, less, DECAY) or not min(*starts, *ends) > 0:
        return math.nan, found
    way = min(abs(math.log(start / end)) for start, end in zip(starts, ends, strict=True))
    return way / 2 - abs(math.log(ends[0] / ends[1])), found


@hypothesis(
    claim="Test loss against the weight norm is the right side of a U: it falls as the norm does.",
    columns=[NORM],
    source=f"{PAPER}, section 2, figure 1b",
    groups="that grok",
    group=courses.groks,
)
def test_loss_falls_with_norm(results: Results) -> Found:
    """From memorisation to grokking test loss goes with the norm: Spearman's rho above 0.5.

    To the first checkpoint from the grokking step on. Of a run whose norm is held nothing is said.
    """
    import numpy as np

    if courses.setting(results, "training.constrain_norm"):
        return math.nan, {}
    steps, up = np.asarray(results.steps), courses.generalised(results)
    end = min(steps[steps >= up], default=math.nan)
    on_the_way = (steps >= courses.memorised(results)) & (steps <= end)
    norm, loss = (courses.course(results, name)[on_the_way] for name in (NORM, "test_loss"))
    rho = courses.spearman(norm, loss)
    return rho - 0.5, {"rho": rho}
