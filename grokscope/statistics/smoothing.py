"""How a noisy course is smoothed before its shape is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def exponential_mean(
    values: Sequence[float] | np.ndarray, weight: float, gaps: Sequence[float] | np.ndarray | None = None
) -> np.ndarray:
    """Return the exponential moving mean m_0 = v_0, m_k = m_(k-1) + w_k (v_k - m_(k-1)) of a course.

    w_k is `weight` where values are evenly spaced. `gaps` gives the distance of each value but the first from
    the one before, in the spacing that `weight` is meant for: then w_k = 1 - (1 - weight)^gap, which is what
    `gap` updates with that value would come to. A value that is not finite is left out, and stays NaN.

    Args:
        values: (n,) the course.
        weight: share of a new value, above 0 and at most 1.
        gaps: (n - 1,) all 1 when not given.

    Raises:
        ValueError: a weight out of its range.

    >>> exponential_mean([0.0, 1.0, 1.0], 0.5).tolist()
    [0.0, 0.5, 0.75]
    >>> exponential_mean([0.0, 1.0], 0.5, [2]).tolist()
    [0.0, 0.75]
    """
    import numpy as np

    if not 0 < weight <= 1:
        raise ValueError(f"weight must be above 0 and at most 1, got {weight}")
    course = np.asarray(values, np.float64)
    distances = np.ones(max(0, len(course) - 1)) if gaps is None else np.asarray(gaps, np.float64)
    smooth = np.full(len(course), math.nan)
    mean, since = math.nan, 0.0
    for place, value in enumerate(course):
        since += distances[place - 1] if place else 0.0
        if not math.isfinite(value):
            continue
        mean = value if math.isnan(mean) else mean + (1 - (1 - weight) ** since) * (value - mean)
        smooth[place], since = mean, 0.0
    return smooth
