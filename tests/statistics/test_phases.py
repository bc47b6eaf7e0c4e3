"""Phases are found where the courses were bent, and where they cannot be found it is said why."""

import numpy as np
import pytest

from grokscope import Phases, phases
from grokscope.statistics.phases import REDUNDANCY, SYNERGY

NAMES = {
    (1, 1): "feature learning",
    (1, -1): "emergence",
    (-1, 1): "divergence",
    (-1, -1): "decoupling",
}


@pytest.fixture
def bent(make):
    """Courses of straight pieces over the log step axis: (last step, synergy, redundancy, test loss)."""

    def build(*pieces, noise=0.01, memorised=100, seed=0):
        axis = np.log10(make.steps + 10)
        knots = [1.0, *(np.log10(step + 10) for step, *_ in pieces)]
        rng = np.random.default_rng(seed)
        courses = []
        for at in range(3):
            heights = np.cumsum([0, *(piece[1 + at] for piece in pieces)])
            courses.append(np.interp(axis, knots, heights) + noise * rng.normal(size=len(axis)))
        columns = {SYNERGY: courses[0], REDUNDANCY: courses[1]}
        return make.results(columns, make.sigmoid(1500), memorised=memorised, test_loss=courses[2])

    return build


def found(results, **options):
    return [(phase.name, phase.start, phase.end) for phase in phases(results, **options).found]


def near(got, expected, tolerance=0.15):
    assert [name for name, *_ in got] == [name for name, *_ in expected]
    for (_, start, _), (_, begun) in zip(got[1:], expected[1:], strict=True):
        assert abs(np.log10(start + 10) - np.log10(begun + 10)) <= tolerance, (start, begun)


@pytest.mark.parametrize("factor", [1, 1e-12, 1e6])
def test_grokking_goes_through_three_phases(bent, factor):
    results = bent((100, 0.2, -0.5, 1), (500, 1, -0.2, -1), (2000, -1, 0.5, -1))
    results.columns[SYNERGY][:] = [factor * value for value in results.columns[SYNERGY]]
    got = found(results)
    near(got, [("feature learning", 0), ("emergence", 100), ("decoupling", 500)])
    assert got[0][1] == 0
    assert got[-1][2] == 2000
    ends = [end for *_, end in got[:-1]]
    assert [start for _, start, _ in got[1:]] == [end + 10 for end in ends]


def test_delayed_emergence_comes_after_divergence(bent):
    results = bent((80, 1, 0, 1), (300, -0.6, 0, 1), (1000, 1.5, 0, -1.5), (2000, -1, 0, -1), memorised=50)
    near(
        found(results),
        [("feature learning", 0), ("divergence", 80), ("delayed emergence", 300), ("decoupling", 1000)],
    )


def test_redundancy_decides_where_synergy_is_flat(bent):
    falling = bent((100, 1, 0, 1), (2000, 0, -1, -1))
    rising = bent((100, 1, 0, 1), (2000, 0, 1, -1))
    near(found(falling), [("feature learning", 0), ("emergence", 100)])
    near(found(rising), [("feature learning", 0), ("decoupling", 100)])


def test_before_memorisation_all_is_feature_learning(bent):
    results = bent((200, -1, 0, -1), (600, 1, 0, -1), (2000, -1, 0, -1), memorised=3000)
    assert found(results) == [("feature learning", 0, 2000)]


def test_a_single_piece_is_one_phase(bent):
    assert found(bent((2000, 1, -1, 1))) == [("feature learning", 0, 2000)]


def test_why_there_are_none_is_said(make, bent):
    accuracy = make.sigmoid(1500)
    without = make.results({SYNERGY: accuracy}, accuracy)
    assert phases(without) == Phases((), note=f"phases need {REDUNDANCY}, which were not measured")
    constant = make.results({SYNERGY: accuracy, REDUNDANCY: 0 * accuracy}, accuracy, test_loss=accuracy)
    assert "one of them is constant" in phases(constant).note
    missing = make.results({SYNERGY: accuracy * np.nan, REDUNDANCY: accuracy}, accuracy, test_loss=accuracy)
    assert "need 12 checkpoints with all three numbers, there are 0" in phases(missing).note
    assert phases(bent((100, 1, 0, 1), (2000, -1, 0, -1))).note == ""


def test_gaps_are_left_out(bent):
    results = bent((100, 0.2, -0.5, 1), (500, 1, -0.2, -1), (2000, -1, 0.5, -1))
    results.columns[SYNERGY][30] = results.columns[REDUNDANCY][120] = float("nan")
    near(found(results), [("feature learning", 0), ("emergence", 100), ("decoupling", 500)])
