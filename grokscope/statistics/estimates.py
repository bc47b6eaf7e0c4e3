"""How well one feature of n runs tells two kinds of runs apart, or a number of each, out of sample.

scikit-learn refits a model for every split; ten thousand permutations of it take minutes for each feature.
What is fitted here - a direction, a straight line - has closed forms, which tests hold against
scikit-learn's. Resampling and permutation are scipy's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from grokscope.statistics.over_runs import wilson

Array = NDArray[np.float64]

PERMUTATIONS = 9999  # all of them where there are no more than these
MOST_LABELLINGS = 9999  # of settings, likewise
BOOTSTRAPS = 1999
MOST_EXACT = 100  # runs whose labellings are counted and not drawn, where there are no ties
FEWEST_OF_EACH = 2  # runs of each kind: one is left out, and one must stay
FEWEST_TIMED = 4  # runs: one is left out, and a line through two of the others would fit always
_AT_ONCE = 4_000_000  # numbers in memory
_SINGULAR = 1e-10
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and permutation p-value; NaN where the runs are too few."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan


def leave_pair_out_auroc(signs: Array, first: Array, second: Array) -> Array:
    """Return the leave-pair-out AUROC of one feature.

    Every pair of a run of the first kind and one of the second is left out in turn; whether large or small
    values mean the first kind is learned from the other runs (the side on which their AUROC lies), and the
    pair counts 1, 1/2 or 0 as that direction orders it rightly, not at all, or wrongly. A pair and what is
    learned without it are independent where the feature knows nothing, so the expectation is then exactly
    1/2 - unlike that of pooled leave-one-out scores, whose training sets lean against the run left out.

    Source: Airola et al. 2011, Computational Statistics & Data Analysis 55(4), 1828; on the bias of pooled
    leave-one-out, Austin et al. 2025, Science Advances 11(48), eadx6976.

    Args:
        signs: (..., k, m): the sign of x_i - y_j.
        first, second: (..., k) and (..., m): how often each run is there; all copies are left out together.
    """
    weights = first[..., :, None] * second[..., None, :]
    signed = weights * signs
    rest = signed.sum((-1, -2), keepdims=True) - signed.sum(-1, keepdims=True) - signed.sum(-2, keepdims=True)
    scores = (1 + np.sign(rest + signed) * signs) / 2
    return (weights * scores).sum((-1, -2)) / weights.sum((-1, -2))


def leave_one_out_r_squared(x: Array, y: Array, counts: Array) -> Array:
    """Return 1 - PRESS / sum_i (y_i - mean of the others)^2 of the least-squares line of y over x.

    0 is as good as predicting the mean of the other runs; a useless feature comes out a little below. Both
    sums leave a run out in the same way: against the mean of all runs even the mean of the others would get
    1 - (n / (n - 1))^2 < 0.

    Source: Allen 1974, Technometrics 16(1), 125 (PRESS); Schüürmann et al. 2008, J. Chem. Inf. Model. 48(11),
    2140 (which mean).

    Args:
        x, y, counts: (..., n), how often each run is there in `counts`; all copies are left out together.
    """
    left = counts.sum(-1, keepdims=True) - counts
    safe = np.where(left > 0, left, 1)

    def without(values: Array) -> Array:
        weighted = counts * values
        return weighted.sum(-1, keepdims=True) - weighted

    mean_x, mean_y = without(x) / safe, without(y) / safe
    spread = without(x * x) / safe - mean_x**2
    common = without(x * y) / safe - mean_x * mean_y
    slope = np.where(spread > _SINGULAR, common / np.where(spread > _SINGULAR, spread, 1), 0)
    press = (counts * (y - mean_y - slope * (x - mean_x)) ** 2).sum(-1)
    baseline = (counts * (y - mean_y) ** 2).sum(-1)
    return 1 - np.divide(press, baseline, out=np.full_like(press, np.nan), where=baseline > 0)


def separation(first: Array, second: Array, confidence: float, seed: int) -> Estimate:
    """Return how well a feature tells runs of the first kind from those of the second.

    The value is `leave_pair_out_auroc`; the interval its percentile bootstrap within each kind. Where all
    pairs are right the bootstrap sees no spread, and the lower limit is the exact one of min(k, m) right out
    of min(k, m): that many disjoint pairs are all right. p is the share of permutations that do as well.
    """
    k, m = len(first), len(second)
    if min(k, m) < FEWEST_OF_EACH:
        return Estimate()
    ranks = scipy.stats.rankdata([*first, *second])
    ranked = ranks[:k], ranks[k:]
    signs = np.sign(ranked[0][:, None] - ranked[1])
    value = float(leave_pair_out_auroc(signs, np.ones(k), np.ones(m)))

    def resampled(ones: NDArray[np.int64], others: NDArray[np.int64], axis: int) -> Array:
        return leave_pair_out_auroc(signs, _counts(ones, k), _counts(others, m))

    low, high = _bootstrap((np.arange(k), np.arange(m)), resampled, confidence, seed, "percentile", k * m)
    if value == 1:
        low = (1 - confidence) ** (1 / min(k, m))  # Clopper & Pearson's, one-sided
    return Estimate(value, low, high, _separation_p(value, ranks, k, seed))


def _separation_p(value: float, ranks: Array, k: int, seed: int) -> float:
    """Return the share of labellings that do as well; where they are drawn, the runs' own is one more."""
    null = _separation_null(tuple(np.sort(ranks).tolist()), k, seed)
    reached = int((null >= value - _ROUNDING).sum())
    drawn = math.comb(len(ranks), k) > PERMUTATIONS
    return (reached + drawn) / (len(null) + drawn)


@lru_cache(maxsize=64)
def _separation_null(ranks: tuple[float, ...], k: int, seed: int) -> Array:
    """Return the AUROC of all labellings of runs, or of so many: the same for every feature without ties."""

    def permuted(one: Array, other: Array, axis: int) -> Array:
        signs = np.sign(one[..., :, None] - other[..., None, :])
        return leave_pair_out_auroc(signs, np.ones(one.shape[-1]), np.ones(other.shape[-1]))

    done = scipy.stats.permutation_test(
        (np.array(ranks[:k]), np.array(ranks[k:])),
        permuted,
        permutation_type="independent",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, _AT_ONCE // (k * (len(ranks) - k))),
        alternative="greater",
        axis=-1,
        random_state=np.random.default_rng(seed),
    )
    return np.asarray(done.null_distribution)


def smallest_separation_p(k: int, m: int) -> float:
    """Return the smallest p that `separation` can reach with k and m runs.

    It is that of the two labellings that part them perfectly, of all there are.

    >>> smallest_separation_p(3, 3)
    0.1
    """
    return max(2 / math.comb(k + m, k), 1 / (PERMUTATIONS + 1))


def separation_of_settings(signs: Array, first: int, confidence: float, seed: int) -> Estimate:
    """Return how well a feature tells settings of the first kind from those of the second.

    As `separation`, with settings for runs: both settings of a pair are left out with all their seeds,
    whether large or small values mean the first kind is learned from the other settings, and labels are
    permuted over settings. All labellings are tried where there are no more than `MOST_LABELLINGS`.

    Args:
        signs: (n, n): over the seeds of two settings the mean sign of the first's value less the second's.
        first: how many settings are of the first kind; they come first.
    """
    n = len(signs)
    if min(first, n - first) < FEWEST_OF_EACH:
        return Estimate()
    pairs = signs[:first, first:]
    value = float(leave_pair_out_auroc(pairs, np.ones(first), np.ones(n - first)))

    def resampled(ones: NDArray[np.int64], others: NDArray[np.int64], axis: int) -> Array:
        return leave_pair_out_auroc(pairs, _counts(ones, first), _counts(others, n - first))

    low, high = _bootstrap(
        (np.arange(first), np.arange(n - first)), resampled, confidence, seed, "percentile", pairs.size
    )
    if value == 1:
        low = (1 - confidence) ** (1 / min(pairs.shape))
    ones, others = _labellings(n, first, seed)
    scored = [
        leave_pair_out_auroc(signs[one[:, :, None], other[:, None, :]], np.ones(first), np.ones(n - first))
        for one, other in zip(np.array_split(ones, 8), np.array_split(others, 8), strict=True)
    ]
    reached = int((np.concatenate(scored) >= value - _ROUNDING).sum())
    drawn = math.comb(n, first) > MOST_LABELLINGS
    return Estimate(value, low, high, (reached + drawn) / (len(ones) + drawn))


@lru_cache(maxsize=8)
def _labellings(n: int, first: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of n settings are of the first kind, and which are not: every way, or so many drawn."""
    if math.comb(n, first) <= MOST_LABELLINGS:
        ones = np.array(list(combinations(range(n), first)))
    else:
        rng = np.random.default_rng(seed)
        ones = np.sort(rng.permuted(np.tile(np.arange(n), (MOST_LABELLINGS, 1)), axis=1)[:, :first])
    chosen = np.zeros((len(ones), n), bool)
    np.put_along_axis(chosen, ones, True, axis=1)
    return ones, np.nonzero(~chosen)[1].reshape(len(ones), n - first)


def timing(feature: Array, target: Array, confidence: float, seed: int) -> Estimate:
    """Return how well a straight line over the feature predicts the target.

    The value is `leave_one_out_r_squared`, the interval its BCa bootstrap over runs (the percentile one
    where BCa has no value), p the share of permutations that do as well.
    """
    n = len(feature)
    if n < FEWEST_TIMED or np.ptp(target) == 0:
        return Estimate()
    x, y = _standardised(feature), _standardised(target)
    value = float(leave_one_out_r_squared(x, y, np.ones(n)))

    def resampled(chosen: NDArray[np.int64], axis: int) -> Array:
        return np.nan_to_num(leave_one_out_r_squared(x, y, _counts(chosen, n)), nan=0.0)

    def permuted(values: Array, axis: int) -> Array:
        return leave_one_out_r_squared(x, values, np.ones(n))

    low, high = _bootstrap((np.arange(n),), resampled, confidence, seed, "BCa", n)
    done = scipy.stats.permutation_test(
        (y,),
        permuted,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        alternative="greater",
        axis=-1,
        random_state=np.random.default_rng(seed),
    )
    return Estimate(value, low, high, float(done.pvalue))


def smallest_timing_p(n: int) -> float:
    """Return the smallest p that `timing` can reach with n runs: one order of all there are.

    >>> smallest_timing_p(4)
    0.041666666666666664
    """
    return max(1 / math.factorial(n), 1 / (PERMUTATIONS + 1))


def superiority(first: Array, second: Array, confidence: float, seed: int) -> Estimate:
    """Return the AUROC of a direction that is claimed beforehand: first larger than second.

    The value is the Mann-Whitney U over k m. Nothing is learned, so nothing is left out. The interval is
    Wilson's for a share of min(k, m): the variance of an AUROC is at most A (1 - A) / min(k, m) (Birnbaum &
    Klose 1957, Ann. Math. Statist. 28(4), 933), so it is never too short, and has a width where all pairs
    agree. p is one-sided.
    """
    k, m = len(first), len(second)

    value = float(scipy.stats.mannwhitneyu(first, second, method="asymptotic").statistic) / (k * m)
    low, high = np.round(wilson(value, min(k, m), confidence), 12)
    return Estimate(value, float(low), float(high), _superiority_p(first, second, seed))


def _superiority_p(first: Array, second: Array, seed: int) -> float:
    """Return the share of labellings that do as well: of all, where there are no ties and few runs."""
    k, m = len(first), len(second)
    if len({*first, *second}) == k + m <= MOST_EXACT:
        return float(scipy.stats.mannwhitneyu(first, second, alternative="greater", method="exact").pvalue)

    def larger(one: Array, other: Array, axis: int) -> Array:
        return (1 + np.sign(one[..., :, None] - other[..., None, :])).mean((-1, -2)) / 2

    done = scipy.stats.permutation_test(
        (np.asarray(first), np.asarray(second)),
        larger,
        permutation_type="independent",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        batch=max(1, _AT_ONCE // (k * m)),
        alternative="greater",
        axis=-1,
        random_state=np.random.default_rng(seed),
    )
    return float(done.pvalue)


def _bootstrap(
    data: tuple[Any, ...],
    statistic: Callable[..., Array],
    confidence: float,
    seed: int,
    method: str,
    size: int,
) -> tuple[float, float]:
    """Return scipy's bootstrap interval; where BCa has none, the percentile one."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a degenerate BCa, which is dealt with below
        low, high = scipy.stats.bootstrap(
            data,
            statistic,
            vectorized=True,
            n_resamples=BOOTSTRAPS,
            batch=max(1, _AT_ONCE // size),
            confidence_level=confidence,
            method=method,
            axis=-1,
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    if method == "BCa" and not (math.isfinite(low) and math.isfinite(high)):
        return _bootstrap(data, statistic, confidence, seed, "percentile", size)
    return float(low), float(high)


def _counts(chosen: NDArray[np.int64], n: int) -> Array:
    """Return how often each of n runs was chosen, (..., n) for choices (..., c)."""
    return (np.asarray(chosen)[..., None] == np.arange(n)).sum(-2).astype(np.float64)


def _standardised(values: Array) -> Array:
    """Return values with mean 0 and deviation 1: a straight line does not mind, and rounding does."""
    centred = np.asarray(values, np.float64) - np.mean(values)
    spread = centred.std()
    return centred / spread if spread > 0 else centred
