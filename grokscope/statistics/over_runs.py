"""What several runs say together: means with bootstrap intervals, tests, corrections for many columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grokscope.statistics.correlation import varies
from grokscope.statistics.extras import from_extra

if TYPE_CHECKING:
    import numpy as np

FEWEST_RUNS = 5  # for an interval
RESAMPLES = 9999


@dataclass(frozen=True)
class Mean:
    """A mean over runs with its interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float], confidence: float, seed: int) -> Mean:
        import numpy as np

        known = np.array([value for value in values if not math.isnan(value)])
        if not len(known):
            return cls(math.nan, math.nan, math.nan)
        return cls(float(known.mean()), *interval(known, confidence, seed))

    @property
    def known(self) -> bool:
        return not math.isnan(self.low)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high


def interval(values: np.ndarray, confidence: float, seed: int = 0) -> tuple[float, float]:
    """Return the bootstrap interval of the mean over runs, NaN for fewer than five.

    scipy's percentile bootstrap. Of n values it is too narrow, by sqrt((n - 1) / n) and for the normal's
    quantile in place of Student's t of n - 1 degrees of freedom, so each tail is Phi(-sqrt(n / (n - 1)) t):
    the expanded percentile interval of Hesterberg 2015, *What Teachers Should Know About
    the Bootstrap*, The American Statistician 69.
    """
    from scipy.stats import bootstrap, norm, t

    n = len(values)
    if n < FEWEST_RUNS:
        return math.nan, math.nan
    if not varies(values):
        return float(values[0]), float(values[0])
    import numpy as np

    tail = norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf((1 + confidence) / 2, n - 1))
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def sign_test(successes: int, trials: int) -> float:
    """Two-sided p-value of a fair coin (scipy's exact binomial test); 1 where nothing was thrown."""
    from scipy.stats import binomtest

    return float(binomtest(successes, trials, 0.5).pvalue) if trials else 1.0


def t_test(values: Sequence[float]) -> float:
    """Two-sided p-value of Student's test that the mean over runs is 0 (scipy); NaN of one run or none."""
    from scipy.stats import ttest_1samp

    if len(values) < 2:
        return math.nan
    if min(values) == max(values):
        return 1.0 if values[0] == 0 else 0.0
    return float(ttest_1samp(values, 0.0).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values after Holm; one that is NaN is no hypothesis and stays."""
    with from_extra("Holm's correction"):
        from statsmodels.stats.multitest import multipletests
    tested = [value for value in p if not math.isnan(value)]
    adjusted = iter(multipletests(tested, method="holm")[1].tolist() if tested else ())
    return [math.nan if math.isnan(value) else next(adjusted) for value in p]
