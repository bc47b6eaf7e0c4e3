"""Intervals over a few runs cover what they claim, and corrections are Holm's."""

import math

import numpy as np
import pytest

from grokscope.statistics.over_runs import Mean, holm, interval, sign_test, t_test


@pytest.mark.parametrize("runs", [5, 8, 15])
def test_intervals_cover_the_mean_as_often_as_they_say(runs):
    rng = np.random.default_rng(runs)
    covered = 0
    for at in range(200):
        low, high = interval(rng.normal(size=runs), 0.95, seed=at)
        covered += low <= 0 <= high
    assert 0.9 <= covered / 200 <= 0.99  # without the widening five runs give 0.84


def test_too_few_runs_have_no_interval_and_equal_ones_no_width():
    assert all(map(math.isnan, interval(np.array([1.0, 2, 3, 4]), 0.95)))
    assert interval(np.full(6, 2.0), 0.95) == (2.0, 2.0)
    assert math.isnan(Mean.of([math.nan], 0.95, 0).mean)
    assert Mean.of([1.0, math.nan, 3.0], 0.95, 0).mean == 2.0


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=9)
    assert interval(values, 0.95, seed=3) == interval(values, 0.95, seed=3)


def test_tests_and_their_correction():
    assert sign_test(5, 5) == pytest.approx(2**-4)
    assert sign_test(0, 0) == 1.0
    assert t_test([0.0, 0.0]) == 1.0
    assert t_test([0.2, 0.2, 0.2]) == 0.0
    assert math.isnan(t_test([0.2]))
    adjusted = holm([0.01, math.nan, 0.04, 0.03])
    assert adjusted[0] == pytest.approx(0.03)
    assert math.isnan(adjusted[1])
    assert adjusted[2:] == pytest.approx([0.06, 0.06])
    assert all(map(math.isnan, holm([math.nan])))
