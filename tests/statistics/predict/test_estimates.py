"""Out-of-sample estimates are scikit-learn's, are centred where there is nothing to know, and cover truth."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from grokscope.statistics import estimates
from grokscope.statistics.estimates import (
    leave_one_out_r_squared,
    leave_pair_out_auroc,
    separation,
    smallest_separation_p,
    smallest_timing_p,
    superiority,
    timing,
)
from grokscope.statistics.over_runs import holm


@pytest.fixture
def draw():
    return np.random.default_rng(0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(estimates, "BOOTSTRAPS", 299)
    monkeypatch.setattr(estimates, "PERMUTATIONS", 499)
    estimates._separation_null.cache_clear()
    yield
    estimates._separation_null.cache_clear()


def pair_out_by_refitting(first, second):
    """Leave every pair out, learn the direction from the others by scikit-learn's AUROC, score the pair."""
    labels = np.array([1] * len(first) + [0] * len(second))
    values = np.array([*first, *second])
    scores = []
    for i, j in itertools.product(np.flatnonzero(labels), np.flatnonzero(1 - labels)):
        rest = [k for k in range(len(values)) if k not in (i, j)]
        direction = np.sign(roc_auc_score(labels[rest], values[rest]) - 0.5)
        scores.append(roc_auc_score(labels[[i, j]], direction * values[[i, j]]))
    return np.mean(scores)


def auroc(first, second):
    signs = np.sign(np.asarray(first)[:, None] - np.asarray(second))
    return float(leave_pair_out_auroc(signs, np.ones(len(first)), np.ones(len(second))))


@pytest.mark.parametrize(("k", "m"), [(2, 2), (3, 5), (6, 4)])
def test_leave_pair_out_is_what_refitting_gives(draw, k, m):
    for _ in range(10):
        first, second = draw.integers(0, 6, k) + 1.0, draw.integers(0, 6, m) * 1.0  # with ties
        assert auroc(first, second) == pytest.approx(pair_out_by_refitting(first, second))


def test_copies_are_left_out_together():
    """As if the runs that were drawn twice were one run that counts twice: no copy stays to learn from."""
    first, second = np.array([1.0, 4.0, 2.5]), np.array([3.0, 0.0])
    signs = np.sign(first[:, None] - second)
    counts, others = np.array([2.0, 1.0, 0.0]), np.array([1.0, 3.0])
    pairs, scores, weights = list(itertools.product(range(3), range(2))), [], []
    for i, j in pairs:
        rest = sum(counts[a] * others[b] * signs[a, b] for a, b in pairs if a != i and b != j)
        scores.append((1 + np.sign(rest) * signs[i, j]) / 2)
        weights.append(counts[i] * others[j])
    wanted = np.average(scores, weights=weights)
    assert leave_pair_out_auroc(signs, counts, others) == pytest.approx(wanted)


def test_its_null_is_a_half_unlike_that_of_pooled_leave_one_out(draw):
    for k, m in ((3, 3), (5, 5), (4, 9)):
        drawn = [auroc(draw.normal(size=k), draw.normal(size=m)) for _ in range(3000)]
        error = np.std(drawn) / math.sqrt(len(drawn))
        assert abs(np.mean(drawn) - 0.5) < 4 * error
    assert auroc([1.0] * 5, [1.0] * 5) == 0.5
    labels = np.array([0, 1] * 5)
    pooled = cross_val_predict(
        DummyClassifier(strategy="prior"), np.zeros((10, 1)), labels, cv=LeaveOneOut(), method="predict_proba"
    )[:, 1]
    assert roc_auc_score(labels, pooled) == 0  # what must not be reported of a constant


def test_r_squared_is_what_refitting_gives(draw):
    for n in (4, 7, 20):
        x = draw.normal(size=n)
        y = x + draw.normal(size=n)
        line = cross_val_predict(LinearRegression(), x[:, None], y, cv=LeaveOneOut())
        mean = (y.sum() - y) / (n - 1)
        wanted = 1 - ((y - line) ** 2).sum() / ((y - mean) ** 2).sum()
        assert leave_one_out_r_squared(x, y, np.ones(n)) == pytest.approx(wanted)
        assert timing(1e6 * x - 3, y, 0.95, 0).value == pytest.approx(wanted)
    constant = leave_one_out_r_squared(np.zeros(5), np.arange(5.0), np.ones(5))
    assert constant == pytest.approx(0)  # and not below, as against the mean of all
    one_apart = np.array([0.0, 0, 0, 0, 1])
    assert math.isfinite(float(leave_one_out_r_squared(one_apart, np.arange(5.0), np.ones(5))))


@pytest.mark.parametrize(("k", "m"), [(3, 3), (4, 6), (8, 8)])
def test_intervals_of_noise_contain_a_half(draw, quick, k, m):
    trials = 80
    missed = 0
    for seed in range(trials):
        found = separation(draw.normal(size=k), draw.normal(size=m), 0.95, seed)
        assert found.low <= found.high
        missed += not found.low <= 0.5 <= found.high
    assert binomtest(missed, trials, 0.05, alternative="greater").pvalue > 0.01


def test_intervals_of_a_true_difference_contain_it(draw, quick):
    shift, trials, missed = 1.2, 60, 0
    truth = norm.cdf(shift / math.sqrt(2))
    for seed in range(trials):
        found = separation(draw.normal(shift, size=12), draw.normal(size=12), 0.95, seed)
        missed += not found.low <= truth <= found.high
    assert binomtest(missed, trials, 0.05, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("direction", [1, -1])
def test_a_perfect_separator(direction):
    found = separation(direction * (np.arange(6.0) + 10), direction * np.arange(7.0), 0.95, 0)
    assert found.value == found.high == 1
    assert found.p == pytest.approx(2 / math.comb(13, 6)) == smallest_separation_p(6, 7)
    assert found.low == pytest.approx(0.05 ** (1 / 6))  # six disjoint pairs of six


def test_too_few_runs_give_no_number():
    assert math.isnan(separation(np.array([1.0]), np.arange(9.0), 0.95, 0).value)
    assert math.isnan(timing(np.arange(3.0), np.arange(3.0), 0.95, 0).p)
    assert math.isnan(timing(np.arange(6.0), np.ones(6), 0.95, 0).value)
    assert smallest_timing_p(4) == 1 / 24
    assert smallest_timing_p(30) == 1 / 10000


def uniform(ps):
    """Whether p-values are as rarely small as they say, and about as often."""
    for level in (0.05, 0.2, 0.5):
        count = int((np.array(ps) <= level).sum())
        assert binomtest(count, len(ps), level, alternative="greater").pvalue > 0.001
        assert binomtest(count, len(ps), 0.6 * level, alternative="less").pvalue > 0.001


def test_p_values_are_uniform_where_nothing_is_to_be_known(draw, quick, monkeypatch):
    monkeypatch.setattr(estimates, "BOOTSTRAPS", 9)
    uniform([separation(draw.normal(size=6), draw.normal(size=7), 0.9, 0).p for _ in range(250)])
    uniform([timing(draw.normal(size=9), draw.normal(size=9), 0.9, seed).p for seed in range(200)])
    uniform([superiority(draw.normal(size=6), draw.normal(size=7), 0.9, s).p for s in range(200)])


def test_a_planted_r_squared_is_found(draw, quick):
    explained, found = 0.8, []
    for seed in range(30):
        x = draw.normal(size=40)
        y = math.sqrt(explained) * x + math.sqrt(1 - explained) * draw.normal(size=40)
        found.append(timing(x, y, 0.95, seed))
    assert np.mean([each.value for each in found]) == pytest.approx(explained, abs=0.03)
    assert sum(each.low <= explained <= each.high for each in found) >= 26
    assert all(each.p < 0.01 for each in found)


def test_superiority_has_a_direction(draw):
    low, high = np.arange(5.0), np.arange(5.0) + 9
    assert superiority(high, low, 0.95, 0).value == 1
    assert superiority(high, low, 0.95, 0).p == pytest.approx(1 / math.comb(10, 5))
    assert superiority(low, high, 0.95, 0).value == 0
    assert superiority(low, high, 0.95, 0).p == 1
    assert superiority(low, high, 0.95, 0).high < 0.75
    assert superiority(low, low, 0.95, 0).value == 0.5
    missed = 0
    for seed in range(60):
        found = superiority(draw.normal(size=4), draw.normal(size=9), 0.95, seed)
        missed += not found.low <= 0.5 <= found.high
    assert missed <= 6


def test_corrections_pass_over_what_is_missing():
    assert holm([0.01, math.nan, 0.04])[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(holm([0.01, math.nan])[1])
    assert holm([]) == []
