"""What is said of several results for one key."""

import math

import numpy as np
import pytest

from grokscope.measure import Row
from grokscope.run.differing import differing
from grokscope.run.results import Cell, CellKey

KEY = CellKey("c" * 64, "a:b", 1, "{}", "d" * 64, "0")
ROUNDED = "a:b with {} at step 7 has results that differ by %s of their size: another processor"
DIFFERENT = "a:b with {} at step 7 has differing results: the measure is not deterministic"


def cell(*values, note="", **arrays):
    rows = tuple(Row({"layer": str(at)}, {"value": value}, arrays) for at, value in enumerate(values))
    return Cell(KEY, 7, rows, note)


def said(*cells):
    return differing({KEY: cells})


@pytest.mark.parametrize("distance", [4e-11, 1e-7, 9e-7])
def test_rounding_is_called_so_and_its_size_told(distance):
    [sentence] = said(cell(1000.0, 1.0), cell(1000.0 * (1 + distance), 1.0))
    assert sentence == ROUNDED % f"{distance:.1g}" + " or version rounds otherwise"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (cell(1.0), cell(1.0 + 1e-5)),
        (cell(3e-8), cell(1e-8)),
        (cell(math.nan), cell(1.0)),
        (cell(math.inf), cell(-math.inf)),
        (cell(1.0, 2.0), cell(1.0)),
        (cell("up"), cell("down")),
        (cell("1"), cell(1.0)),
        (cell(note="no layer"), cell(1.0)),
        (cell(1.0, one=np.array([1, 2])), cell(1.0, one=np.array([1, 3]))),
        (cell(1.0, one=np.zeros((2, 3))), cell(1.0, one=np.zeros((3, 2)))),
        (cell(1.0, one=np.zeros(2)), cell(1.0, other=np.zeros(2))),
        (cell(1.0, one=np.array([0.0, math.nan])), cell(1.0, one=np.array([math.nan, 0.0]))),
    ],
)
def test_what_is_not_rounding_is_not_called_so(one, other):
    assert said(one, other) == said(other, one) == [DIFFERENT]


def test_noise_beside_a_column_s_numbers_and_far_below_one_is_rounding():
    assert "rounds otherwise" in said(cell(1e-17, 1.0), cell(3e-17, 1.0))[0]
    assert "rounds otherwise" in said(cell(1e-17), cell(3e-17))[0]
    assert "rounds otherwise" in said(cell(-math.inf, math.nan, 1.0), cell(-math.inf, math.nan, 1 + 1e-12))[0]
    tiny = np.array([1.0, 1e-9]), np.array([1.0, 2e-9])
    assert "rounds otherwise" in said(cell(0.0, one=tiny[0]), cell(-0.0, one=tiny[1]))[0]


def test_the_furthest_of_several_counts():
    assert said(cell(1.0), cell(1.0 + 1e-9), cell(2.0)) == [DIFFERENT]
    assert said(cell(1.0)) == []


def test_a_measure_is_told_once_whatever_the_number_of_steps():
    def at(step, *values):
        return KEY._replace(checkpoint=str(step)), [cell(value)._replace(step=step) for value in values]

    merged = dict(
        [at(30, 1.0, 2.0), at(10, 1.0, 1 + 3e-9), at(20, 5.0, 4.0), at(5, 7.0, 7 + 7e-12), at(6, 1.0)]
    )
    rounded, different = differing(merged)
    assert rounded.startswith(
        "a:b with {} at step 5 (and at 1 more step) has results that differ by 3e-09 of"
    )
    assert different.startswith("a:b with {} at step 20 (and at 1 more step) has differing results")
