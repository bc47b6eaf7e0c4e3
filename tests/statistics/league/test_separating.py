"""Telling settings apart leaves both of a pair out with all their seeds, and knows nothing of noise."""

import itertools

import numpy as np
import pytest

from grokscope.statistics import estimates
from grokscope.statistics.estimates import separation_of_settings


def mean_signs(values):
    """Over the seeds of each two settings, as `separated` has them."""
    return np.array([[np.sign(one[:, None] - other).mean() for other in values] for one in values])


def by_hand(values, first):
    """Each pair of runs, ordered by the direction that the other settings' runs have."""
    scores = []
    for one, other in itertools.product(range(first), range(first, len(values))):
        rest = [
            np.sign(x - y)[()]
            for a, b in itertools.product(range(first), range(first, len(values)))
            if a != one and b != other
            for x, y in itertools.product(values[a], values[b])
        ]
        side = np.sign(round(sum(rest), 9))
        scores.append(np.mean([(1 + side * np.sign(x - y)) / 2 for x in values[one] for y in values[other]]))
    return np.mean(scores)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_leaving_settings_out_gives(seed):
    rng = np.random.default_rng(seed)
    values = [rng.normal(at < 3, 1, 4).round(1) for at in range(7)]
    found = separation_of_settings(mean_signs(values), 3, 0.95, 0)
    assert found.value == pytest.approx(by_hand(values, 3))
    assert found.low <= found.value <= found.high


def test_seeds_do_not_make_evidence_of_one_setting():
    """A value that tells settings apart by chance: five equal seeds of each give the p of one seed."""
    rng = np.random.default_rng(4)
    alone = [rng.normal(size=1) for _ in range(8)]
    several = [np.repeat(each, 5) for each in alone]
    assert separation_of_settings(mean_signs(alone), 4, 0.95, 0) == separation_of_settings(
        mean_signs(several), 4, 0.95, 0
    )


def test_p_is_the_share_of_labellings_that_do_as_well(monkeypatch):
    rng = np.random.default_rng(5)
    signs = mean_signs([rng.normal(size=3) for _ in range(7)])
    every = []
    for ones in itertools.combinations(range(7), 3):
        order = [*ones, *(at for at in range(7) if at not in ones)]
        every.append(separation_of_settings(signs[np.ix_(order, order)], 3, 0.95, 0).value)
    found = separation_of_settings(signs, 3, 0.95, 0)
    assert found.p == pytest.approx(np.mean(np.array(every) >= found.value - 1e-9))
    assert np.mean(every) == pytest.approx(0.5, abs=0.1)
    monkeypatch.setattr(estimates, "MOST_LABELLINGS", 30)
    estimates._labellings.cache_clear()
    drawn = separation_of_settings(signs, 3, 0.95, 0)
    estimates._labellings.cache_clear()
    assert drawn.p == pytest.approx(found.p, abs=0.3)


def test_noise_is_told_apart_as_often_as_p_says():
    rng = np.random.default_rng(6)
    found = [
        separation_of_settings(mean_signs([rng.normal(size=2) for _ in range(11)]), 6, 0.95, 0)
        for _ in range(120)
    ]
    assert np.mean([each.value for each in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([each.p <= 0.05 for each in found]) <= 0.09  # binomial(120, 0.05): 2 % have more
    assert np.mean([each.p <= 0.5 for each in found]) == pytest.approx(0.5, abs=0.1)


def test_one_setting_of_a_kind_is_too_few():
    assert np.isnan(separation_of_settings(mean_signs([np.zeros(2)] * 3), 1, 0.95, 0).value)
