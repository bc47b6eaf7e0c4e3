"""Rank correlations are scipy's, and the partial one is what three independent routes say."""

import math

import numpy as np
import pytest
import scipy.stats
from statsmodels.regression.linear_model import OLS
from statsmodels.tools import add_constant

from grokscope.statistics.correlation import kendall, partial_spearman, spearman


@pytest.fixture
def courses():
    rng = np.random.default_rng(2)
    control = rng.normal(size=80)
    x = np.round(control + rng.normal(size=80), 1)  # ties
    y = np.clip(control + 0.5 * x + rng.normal(size=80), -1, 2)
    return x, y, control


def test_the_partial_correlation_by_three_routes(courses):
    x, y, control = courses
    found = partial_spearman(x, y, control)
    r = scipy.stats.spearmanr(np.c_[x, y, control]).statistic
    closed = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert found == pytest.approx(closed, abs=1e-12)
    inverse = np.linalg.inv(r)
    assert found == pytest.approx(-inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1]), abs=1e-12)
    ranks = [scipy.stats.rankdata(values) for values in courses]
    left = [OLS(each, add_constant(ranks[2])).fit().resid for each in ranks[:2]]
    assert found == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-12)


def test_several_controls_are_taken_out_together(courses):
    x, y, control = courses
    other = np.random.default_rng(3).normal(size=80) + x
    inverse = np.linalg.inv(scipy.stats.spearmanr(np.c_[x, y, control, other]).statistic)
    expected = -inverse[0, 1] / math.sqrt(inverse[0, 0] * inverse[1, 1])
    assert partial_spearman(x, y, control, other) == pytest.approx(expected, abs=1e-12)
    assert partial_spearman(x, y, control, -control) == pytest.approx(partial_spearman(x, y, control))
    assert math.isnan(partial_spearman(x, y, control, np.exp(x)))


def test_only_ranks_matter_and_points_with_a_gap_are_left_out(courses):
    x, y, control = courses
    assert partial_spearman(np.exp(x), y**3, -control) == pytest.approx(partial_spearman(x, y, control))
    gaps = x.copy()
    gaps[[3, 50]] = np.nan
    kept = np.isfinite(gaps)
    alone = [values[kept] for values in courses]
    assert partial_spearman(gaps, y, control) == pytest.approx(partial_spearman(*alone))
    assert spearman(gaps, y) == pytest.approx(scipy.stats.spearmanr(*alone[:2]).statistic)
    assert kendall(gaps, y) == pytest.approx(scipy.stats.kendalltau(*alone[:2]).statistic)


def test_nothing_is_made_of_nothing(courses):
    x, y, control = courses
    constant = np.full(80, 3.0)
    assert math.isnan(spearman(constant, y))
    assert math.isnan(kendall(x, constant))
    assert math.isnan(spearman(None, y))
    assert math.isnan(spearman(np.full(80, np.nan), y))
    assert math.isnan(partial_spearman(constant, y, control))
    assert math.isnan(partial_spearman(x, y, None))
    assert math.isnan(partial_spearman(np.exp(control), y, control)), "the control's own ranks leave nothing"
    assert partial_spearman(x, y, constant) == spearman(x, y), "a constant control takes nothing out"
