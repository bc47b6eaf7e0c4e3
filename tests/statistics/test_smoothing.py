"""The exponential mean: its closed form, uneven spacing, and values that are missing."""

import math

import numpy as np
import pytest

from grokscope.statistics.smoothing import exponential_mean


def test_a_step_is_approached_as_the_closed_form_says():
    smooth = exponential_mean([0.0] + [1.0] * 9, 0.1)
    assert smooth == pytest.approx(1 - 0.9 ** np.arange(10))


def test_a_constant_stays_and_a_weight_of_one_changes_nothing():
    assert exponential_mean([3.0] * 5, 0.1, [1, 4, 2, 9]).tolist() == [3.0] * 5
    assert exponential_mean([1.0, 5.0, 2.0], 1.0).tolist() == [1.0, 5.0, 2.0]


def test_a_gap_counts_as_so_many_updates_with_the_value_after_it():
    fine = exponential_mean([0.0, 2.0, 2.0, 2.0, 5.0], 0.1)
    assert exponential_mean([0.0, 2.0, 5.0], 0.1, [3, 1]) == pytest.approx(fine[[0, 3, 4]])


def test_what_is_missing_is_left_out_and_stays_missing():
    smooth = exponential_mean([math.nan, 0.0, math.nan, 1.0], 0.1)
    assert np.isnan(smooth[[0, 2]]).all()
    assert smooth[[1, 3]] == pytest.approx([0.0, 1 - 0.9**2])
    assert exponential_mean([], 0.1).shape == (0,)


@pytest.mark.parametrize("weight", [0.0, -1.0, 1.5])
def test_a_weight_must_be_a_share(weight):
    with pytest.raises(ValueError, match="weight must be above 0"):
        exponential_mean([1.0], weight)
