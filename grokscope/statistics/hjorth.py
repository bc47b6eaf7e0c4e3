"""How much a course swings, how quickly, and how unlike a sine: Hjorth's three numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HJORTH = ("activity", "mobility", "complexity")


def hjorth(values: np.ndarray) -> dict[str, float]:
    """Return activity, mobility and complexity of a course (n,), from one value to the next.

    Hjorth 1970: activity is the variance of x, mobility sqrt(var(x') / var(x)), the mean frequency, and
    complexity the mobility of x' over that of x, 1 for a sine; x' the differences of neighbours. Mobility and
    complexity are unchanged by scale and offset. Notsawo et al. 2023 (2306.13253) foretell grokking by
    oscillations of the early training loss. NaN where there are fewer than four values, or nothing varies.

    >>> import numpy as np
    >>> wave = np.sin(2 * np.pi * np.arange(10000) / 1000)
    >>> {name: round(value, 3) for name, value in hjorth(wave).items()}
    {'activity': 0.5, 'mobility': 0.006, 'complexity': 1.0}
    """
    import numpy as np

    if len(values) < 4:
        return dict.fromkeys(HJORTH, math.nan)
    variances = [float(np.var(np.diff(values, order))) for order in range(3)]
    rates = [math.sqrt(after / before) if before > 0 else math.nan for before, after in pairwise(variances)]
    complexity = rates[1] / rates[0] if rates[0] > 0 else math.nan
    return {"activity": variances[0], "mobility": rates[0], "complexity": complexity}
