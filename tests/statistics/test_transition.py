"""A course's transition is where it was put, on any scale, and noise and ramps have no clear one."""

import numpy as np
import pytest

from grokscope import UsageError
from grokscope.statistics.transition import axis_of, axis_shares, transition

EVEN = np.arange(0, 1010, 10)


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("at", [1, 2, 7, 50, 99, 100])
def test_a_step_is_found_exactly(at, scale):
    found = transition(EVEN, (np.arange(101) >= at) * 1.0, scale=scale)
    # A single evaluation at the end is a spike to the running median, unless it is the very last.
    assert (found.step, found.at) == (EVEN[at], at)
    assert found.shape == "rise"
    assert found.explained == pytest.approx(1)
    assert (found.before, found.after) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize("middle", [50, 200, 700])
@pytest.mark.parametrize("factor", [1, -1, 1e-30, 1e30])
def test_a_sigmoid_is_found_at_its_middle_whatever_its_scale_and_sign(middle, factor):
    values = 1 / (1 + np.exp(-(np.log10(EVEN + 10) - np.log10(middle + 10)) / 0.03))
    found = transition(EVEN, factor * values + 5 * factor)
    assert abs(found.step - middle) <= 20
    assert found.clear
    assert found.shape == ("rise" if factor > 0 else "fall")


def test_it_is_about_the_axis_and_not_about_where_checkpoints_lie():
    early = np.unique(np.r_[np.arange(10, 300, 2), np.arange(300, 1001, 50)])
    late = np.unique(np.r_[np.arange(10, 100, 15), np.arange(100, 1001, 2)])
    for steps in (early, late):
        course = 1 / (1 + np.exp(-(np.log10(steps) - 2) / 0.1))
        assert abs(transition(steps, course).step - 100) <= 15


def test_spikes_and_missing_values_do_not_move_it():
    values = (EVEN >= 500) * 1.0
    values[[5, 40, 80]] = [1e6, -1e6, 1e6]
    values[[0, 20, 49, 60]] = [np.nan, np.inf, np.nan, -np.inf]
    found = transition(EVEN, values)
    assert (found.step, found.at) == (500, 50)


def test_a_peak_is_found_at_its_top_if_there_is_one():
    bump = np.exp(-((np.log10(EVEN + 10) - np.log10(210)) ** 2) / 0.02)
    found = transition(EVEN, bump, peak=True)
    assert (found.step, found.shape, found.clear) == (200, "peak", True)
    trough = transition(EVEN, -bump, peak=True)
    assert trough.shape != "peak"
    rise = transition(EVEN, (EVEN >= 300) * 1.0, peak=True)
    assert (rise.step, rise.shape) == (300, "rise")
    many = np.arange(0, 12000, 10)
    far = transition(many, np.exp(-((many - 4000) ** 2) / 1e6), peak=True)  # more than the search looks at
    assert abs(far.step - 4000) <= 10


def test_a_ramp_changes_nowhere():
    steps = np.unique(np.geomspace(100, 10000, 200).astype(int))
    ramp = transition(steps, np.log10(steps))
    assert ramp.explained == pytest.approx(0.75, abs=0.01)
    assert ramp.line == pytest.approx(1, abs=1e-4)
    assert not ramp.clear


def test_a_small_change_on_a_large_level_is_a_change():
    steps = np.arange(10, 410, 10)
    course = 1 + 1e-10 * (steps >= 200)
    found = transition(steps.tolist(), course.tolist())
    assert found.step == 200
    assert found.clear
    assert found.size == pytest.approx(1)
    assert (found.before, found.after) == pytest.approx((1, 1 + 1e-10), rel=1e-14)


def test_noise_has_no_clear_change():
    rng = np.random.default_rng(0)
    clear = [transition(EVEN[10:], rng.normal(size=91)).clear for _ in range(200)]
    assert np.mean(clear) < 0.05


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [0, 0, 0, 1, 1], [2.0] * 10, [1e9 + 1e-6 * (-1) ** at for at in range(10)], [np.nan] * 10],
)
def test_a_constant_or_short_course_has_none(values):
    assert transition(np.arange(len(values)) * 10, values) is None
    spike = [0.0] * 10
    spike[4] = 1.0
    assert transition(EVEN[:10], spike) is None


def test_the_axis_has_a_place_for_step_0_and_shares_sum_to_1():
    assert np.isfinite(axis_of(EVEN)).all()
    assert axis_of([5, 50, 500]).tolist() == pytest.approx(np.log10([5, 50, 500]).tolist())
    assert axis_shares(axis_of(EVEN)).sum() == pytest.approx(1)
    with pytest.raises(UsageError, match="log or linear, got 'cubic'"):
        axis_of(EVEN, "cubic")


def test_a_missing_library_is_named_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(UsageError, match=r"a change point needs ruptures: pip install 'grokscope\[report\]'"):
        transition(EVEN, (EVEN >= 500) * 1.0)
