"""What Kumar et al. 2023 claim: grokking is the transition from lazy to rich training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import courses, hypothesis

if TYPE_CHECKING:
    from grokscope import Results

    Found = tuple[float, dict[str, float]]

KERNEL = "ntk_distance.distance"
PAPER = "Kumar et al. 2023"
LAZIER, RICHER = "grokking over memorisation step in the lazier", "in the richer"


def groks(results: Results) -> str | None:
    """Return "that grok" for a run that generalises after it memorised, by its own outcome or by accuracy."""
    later = courses.grokked(results) > courses.memorised(results)
    return "that grok" if later else courses.groks(results)


@hypothesis(
    claim="A network memorises with its initial features, and learns features when train loss is low.",
    columns=[KERNEL],
    source=f"{PAPER}, abstract and section 4",
    groups="that grok",
    group=groks,
)
def kernel_moves_after_memorising(results: Results) -> Found:
    """Most of the way of the tangent kernel, from start to end of training, comes after memorising."""
    before, end = courses.once_memorised(results, KERNEL), courses.last(results, KERNEL)
    return end - 2 * before, {"kernel distance once memorised": before, "at the end": end}


@hypothesis(
    claim="Generalisation comes with feature learning: test loss falls as the tangent kernel moves.",
    columns=[KERNEL],
    source=f"{PAPER}, section 4",
    groups="that grok",
    group=groks,
)
def test_loss_falls_as_kernel_moves(results: Results) -> Found:
    """From memorisation on test loss falls as the kernel's distance grows: Spearman's rho below -0.5."""
    rho = courses.spearman(*courses.share_of_course(results, courses.memorised(results), KERNEL, "test_loss"))
    return -0.5 - rho, {"rho": rho}


@hypothesis(
    claim="The lazier a network, the longer the delay between the fall of train loss and of test loss.",
    about="pairs",
    groups=("lazier", "richer"),
    source=f"{PAPER}, section 5.1, figure 3a",
    leads=[(RICHER, LAZIER)],
)
def lazier_groks_later(lazier: Results, richer: Results) -> Found:
    """From memorising to generalising takes more of the steps to memorisation in the lazier."""
    late, early = (courses.grokked(run) / courses.memorised(run) for run in (lazier, richer))
    found = {LAZIER: late, RICHER: early}
    return (math.log(late / early) if late > 0 and early > 0 else math.nan), found
