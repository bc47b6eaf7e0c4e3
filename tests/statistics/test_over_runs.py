"""Intervals over a few runs cover what they claim, and corrections are Holm's."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from grokscope.statistics.over_runs import Mean, clopper_pearson, holm, sign_test, t_test, wilson


def interval(values, confidence, groups=None):
    mean = Mean.of(values, confidence, groups)
    return mean.low, mean.high


def coverage(draw, truth, runs, groups=None, repetitions=1000):
    found = (interval(draw(runs).tolist(), 0.95, groups) for _ in range(repetitions))
    return sum(low <= truth <= high for low, high in found) / repetitions


@pytest.mark.parametrize("runs", [2, 3, 4, 6, 10])
def test_intervals_cover_the_mean_as_often_as_they_say(runs):
    """BCa's bootstrap gave 52, 69, 78, 85 % at 2, 3, 4, 6 normal values."""
    rng = np.random.default_rng(runs)
    assert coverage(lambda n: rng.normal(size=n), 0, runs) == pytest.approx(0.95, abs=0.021)
    skewed = coverage(lambda n: rng.exponential(size=n), 1, runs)  # skewness 2; 0.88 to 0.91 is exact
    assert 0.86 <= skewed <= 0.93
    assert coverage(lambda n: rng.lognormal(0, 0.5, size=n), math.exp(0.125), runs) >= 0.89  # skewness 1.75


@pytest.mark.parametrize(("settings", "seeds"), [(2, 3), (3, 3), (6, 2)])
@pytest.mark.parametrize("between", [0, 1, 10])
def test_intervals_cover_the_mean_over_settings_too(settings, seeds, between):
    """Of settings that differ by `between` times as much as seeds: at least as often as they say."""
    rng = np.random.default_rng(settings)
    groups = [at for at in range(settings) for _ in range(seeds)]

    def draw(runs):
        return (between * rng.normal(size=(settings, 1)) + rng.normal(size=(settings, seeds))).ravel()

    assert coverage(draw, 0, settings * seeds, groups) >= 0.93
    if between == 10:
        assert coverage(draw, 0, settings * seeds) < 0.94  # runs that count as independent


def test_the_variance_is_that_of_resampling_settings_then_seeds():
    """At many settings of many seeds, where neither level's correction matters."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 1)) + 2 * rng.normal(size=(60, 40))
    groups = [at for at in range(60) for _ in range(40)]
    low, high = interval(values.ravel().tolist(), 0.95, groups)
    chosen = rng.integers(60, size=(500, 60))
    means = np.array(
        [np.mean([values[at, rng.integers(40, size=40)].mean() for at in row]) for row in chosen]
    )
    assert (high - low) / 2 == pytest.approx(2 * means.std(), rel=0.1)


def test_too_few_runs_have_no_interval_and_equal_ones_no_width():
    assert all(map(math.isnan, interval([1.0], 0.95)))
    assert all(map(math.isnan, interval([], 0.95)))
    assert interval([2.0] * 6, 0.95) == (2.0, 2.0)
    assert interval([1.0, 3.0], 0.95) == pytest.approx((2 - 12.7062, 2 + 12.7062))
    assert math.isnan(Mean.of([math.nan], 0.95).mean)
    assert Mean.of([1.0, math.nan, 3.0], 0.95).mean == 2.0


def test_settings_count_and_then_seeds():
    values, groups = [1.0, 1.0, 1.0, 3.0, math.nan], ["a", "a", "a", "b", "b"]
    assert Mean.of(values, 0.95, groups).mean == 2.0  # of 1 and 3, and not of four runs
    assert interval(values, 0.95, groups) == interval([1.0, 3.0], 0.95)
    assert interval(values[:3], 0.95, groups[:3]) == (1.0, 1.0)  # one setting: its seeds count
    assert t_test(values, groups) == pytest.approx(t_test([1.0, 3.0]))
    assert sign_test(values, groups) == 0.5


def test_widening_and_bounds():
    mean = Mean.of([0.9, 1.0], 0.95)
    assert mean.within(-1, 1).high == 1
    assert mean.widened(-9, 9) == Mean(mean.mean, -9, 9)
    assert math.isnan(Mean.of([0.9], 0.95).widened(-9, 9).low)


def test_tests_and_their_correction():
    assert sign_test([0.1] * 5) == pytest.approx(2**-4)
    assert sign_test([0.0]) == 1.0
    assert math.isnan(sign_test([math.nan]))
    assert t_test([0.0, 0.0]) == 1.0
    assert t_test([0.2, 0.2, 0.2]) == 0.0
    assert math.isnan(t_test([0.2]))
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(1).normal(0.5, size=7)
    assert t_test(values.tolist()) == pytest.approx(ttest_1samp(values, 0).pvalue)


def test_holm_is_statsmodels():
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 30):
        ps = rng.uniform(size=size) ** 3
        assert holm(ps.tolist()) == pytest.approx(multipletests(ps, method="holm")[1])
    adjusted = holm([0.01, math.nan, 0.04, 0.03])
    assert math.isnan(adjusted[1])
    assert adjusted[::2] == pytest.approx([0.03, 0.06])
    assert all(map(math.isnan, holm([math.nan])))
    assert holm([]) == []


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_and_the_exact_interval_are_statsmodels(confidence):
    for count, runs in ((0, 3), (2, 4), (4.5, 6), (6, 6)):
        wanted = proportion_confint(count, runs, alpha=1 - confidence, method="wilson")
        assert wilson(count / runs, runs, confidence) == pytest.approx(wanted, abs=1e-12)
    for count, runs in ((0, 3), (2, 4), (199, 200), (6, 6)):
        wanted = proportion_confint(count, runs, alpha=1 - confidence, method="beta")
        assert clopper_pearson(count, runs, confidence) == pytest.approx(wanted, abs=1e-12)
