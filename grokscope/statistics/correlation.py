"""How the ranks of two courses go together, and what of it is left when a third one's are taken out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Course = Sequence[float] | np.ndarray

SAME = 1.0 - 1e-9  # a rank correlation that leaves nothing to control for


def _common(*courses: Course | None) -> list[np.ndarray] | None:
    """The courses where all are finite; None where one is missing, or fewer than three points are left."""
    import numpy as np

    present = [np.asarray(course, np.float64) for course in courses if course is not None]
    if len(present) < len(courses):
        return None
    sound = np.all([np.isfinite(course) for course in present], axis=0)
    return [course[sound] for course in present] if sound.sum() >= 3 else None


def varies(course: np.ndarray) -> bool:
    """Return whether a course is not constant."""
    return bool((course != course[0]).any())


def spearman(x: Course | None, y: Course | None) -> float:
    """Return Spearman's rank correlation (scipy), NaN where a course is missing or constant."""
    from scipy.stats import spearmanr

    both = _common(x, y)
    if both is None or not all(map(varies, both)):
        return math.nan
    return float(spearmanr(*both).statistic)


def kendall(x: Course | None, y: Course | None) -> float:
    """Return Kendall's tau-b (scipy), NaN where a course is missing or constant."""
    from scipy.stats import kendalltau

    both = _common(x, y)
    if both is None or not all(map(varies, both)):
        return math.nan
    return float(kendalltau(*both).statistic)


def partial_spearman(x: Course | None, y: Course | None, *controls: Course | None) -> float:
    """Return Spearman's partial correlation of x and y, controlling for one course or several.

    The Pearson correlation of what is left of the ranks of x and y when those of the controls are taken out
    by linear regression; with one control it is (r_xy - r_xc r_yc) / sqrt((1 - r_xc^2) (1 - r_yc^2)) of
    Spearman's r (Kendall & Stuart, *The Advanced Theory of Statistics* 2, chapter 27). Only what is linear in
    the ranks is taken out. A constant control takes nothing out. NaN where a course is constant, or the
    controls leave nothing of it.
    """
    from scipy.stats import pearsonr, rankdata

    found = _common(x, y, *controls)
    if found is None or not all(map(varies, found[:2])):
        return math.nan
    others = [rankdata(course) for course in found[2:] if varies(course)]
    if not others:
        return spearman(x, y)
    left = [_left_over(rankdata(course), others) for course in found[:2]]
    if any(each is None for each in left):
        return math.nan
    return float(pearsonr(*left).statistic)


def _left_over(ranks: np.ndarray, controls: Sequence[np.ndarray]) -> np.ndarray | None:
    """What is left of ranks; None where it is rounding."""
    import numpy as np

    known = np.column_stack([each - each.mean() for each in controls])
    centred = ranks - ranks.mean()
    left: np.ndarray = centred - known @ np.linalg.lstsq(known, centred, rcond=None)[0]
    return left if left @ left > (1 - SAME**2) * (centred @ centred) else None
