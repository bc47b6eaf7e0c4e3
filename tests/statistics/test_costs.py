"""The weighted costs are ruptures' own where weights are equal, and weighted least squares where not."""

import numpy as np
import pytest
import ruptures
from statsmodels.regression.linear_model import OLS, WLS
from statsmodels.tools import add_constant

from grokscope.statistics.costs import WeightedLevel, WeightedLine

rng = np.random.default_rng(1)
AXIS = np.sort(rng.random(40))
SIGNAL = rng.normal(size=(40, 2)) + AXIS[:, None]


@pytest.mark.parametrize(("start", "end"), [(0, 40), (3, 17), (35, 40)])
def test_equal_weights_give_the_librarys_costs(start, end):
    level = WeightedLevel(np.ones(40)).fit(SIGNAL)
    assert level.error(start, end) == pytest.approx(ruptures.costs.CostL2().fit(SIGNAL).error(start, end))
    line = WeightedLine(np.ones(40), AXIS).fit(SIGNAL)
    theirs = 0.0
    for column in SIGNAL.T:
        theirs += OLS(column[start:end], add_constant(AXIS[start:end])).fit().ssr
    assert line.error(start, end) == pytest.approx(theirs)


@pytest.mark.parametrize("courses", [SIGNAL, SIGNAL[:, :1], np.round(SIGNAL), SIGNAL[:2], np.zeros((9, 1))])
def test_the_cheapest_split_is_the_librarys(courses):
    for weights in (np.ones(len(courses)), rng.random(len(courses)) + 0.1):
        level = WeightedLevel(weights).fit(courses)
        search = ruptures.Dynp(custom_cost=WeightedLevel(weights), min_size=1, jump=1).fit(courses)
        assert [level.split(), len(courses)] == search.predict(n_bkps=1)


def test_unequal_weights_give_weighted_least_squares():
    weights = rng.random(40) + 0.1
    line = WeightedLine(weights, AXIS).fit(SIGNAL[:, :1])
    fitted = WLS(SIGNAL[5:30, 0], add_constant(AXIS[5:30]), weights=weights[5:30]).fit()
    assert line.error(5, 30) == pytest.approx(fitted.ssr)
    level = WeightedLevel(weights).fit(SIGNAL[:, :1])
    assert level.level(5, 30)[0] == pytest.approx(np.average(SIGNAL[5:30, 0], weights=weights[5:30]))
