"""Phases are found where courses were bent, and in real trainings; noise has none, and why is said."""

from pathlib import Path

import numpy as np
import pytest

from grokscope import Phases, phases
from grokscope.statistics.phases import NOTHING

SYNERGY, REDUNDANCY = "oinfo.synergy", "oinfo.redundancy"
COURSES = Path(__file__).parent / "courses"
LEARNING, EMERGENCE, DIVERGENCE = "feature learning", "emergence", "divergence"
DELAYED, DECOUPLING = "delayed emergence", "decoupling"
NAMES = [LEARNING, EMERGENCE, DIVERGENCE, DELAYED, DECOUPLING]

# Pieces, straight over the log step axis: last step, and how far synergy, redundancy and test loss go in it.
FIVE = [
    (100, 0.1, -0.1, 0.7),
    (400, 0.52, -0.6, -0.4),
    (800, -0.62, -0.1, 0.26),
    (1700, 1.0, 0.1, -0.76),
    (3000, -0.5, 0.4, -0.1),
]
NO_BUMP = [*FIVE[:2], (800, -0.62, -0.1, -0.2), *FIVE[3:]]  # as in real trainings: test loss falls throughout
THREE = [(40, 0.2, -0.5, 0.7), (220, 0.8, -0.4, -0.7), (600, -0.5, 0.3, -0.3)]


@pytest.fixture
def bent(make):
    """Courses of straight pieces with noise, as a share of each course's range."""

    def build(pieces, noise=0.0, seed=0, spacing=10, memorised=30):
        steps = np.arange(0, pieces[-1][0] + 1, spacing)
        axis = np.log10(np.maximum(steps, spacing))
        knots = np.log10([spacing, *(piece[0] for piece in pieces)])
        rng = np.random.default_rng(seed)
        courses = []
        for at in (1, 2, 3):
            heights = np.cumsum([0, *(piece[at] for piece in pieces)])
            course = (np.interp(axis, knots, heights) - heights.min()) / np.ptp(heights)
            courses.append(course + noise * rng.normal(size=len(steps)))
        return made(make, steps, *courses, memorised=memorised)

    return build


def made(make, steps, synergy, redundancy, loss, memorised=30):
    columns = {SYNERGY: synergy, REDUNDANCY: redundancy}
    return make.results(columns, 0 * steps, memorised=memorised, test_loss=loss, at=steps)


def found(results):
    return [(phase.name, phase.start, phase.end) for phase in phases(results).found]


def near(got, names, starts, tolerance=0.15):
    return [name for name, *_ in got] == names and all(
        abs(np.log10(start / begun)) <= tolerance
        for (_, start, _), begun in zip(got[1:], starts, strict=True)
    )


KNOWN = [
    (FIVE, NAMES, 10),
    (NO_BUMP, NAMES, 10),
    (THREE, [LEARNING, EMERGENCE, DECOUPLING], 5),
]


@pytest.mark.parametrize(("pieces", "names", "spacing"), KNOWN, ids=["five", "no bump", "three"])
@pytest.mark.parametrize(
    ("noise", "seeds"),
    [(0.0, 1), (0.02, 20), (0.05, 20), *(pytest.param(n, 400, marks=pytest.mark.slow) for n in (0.02, 0.05))],
)
def test_known_phases_are_found_whatever_the_noise(bent, pieces, names, spacing, noise, seeds):
    starts = [last for last, *_ in pieces[:-1]]
    right = sum(near(found(bent(pieces, noise, seed, spacing)), names, starts) for seed in range(seeds))
    assert right >= 0.9 * seeds


def drawn(rng):
    """Five phases of random lengths and depths; test loss bumps as synergy falls, or does not."""
    ends = np.cumprod([rng.uniform(40, 150), *(rng.uniform(low, 3.5) for low in (2, 1.5, 1.5, 1.5))])
    up, first = rng.uniform(0.25, 0.6), rng.choice([0, 0.1])
    dip = up * rng.uniform(0.5, 1.1)
    return [
        (ends[0], first, -0.1, 0.7),
        (ends[1], up, -0.5, -0.4),
        (ends[2], -dip, -0.1, rng.choice([0.26, 0.1, -0.15])),
        (ends[3], 1 - first - up + dip, rng.choice([-0.1, 0, 0.1]), -0.6),
        (ends[4], -rng.uniform(0.2, 0.6), rng.uniform(0.15, 0.5), -0.1),
    ]


@pytest.mark.parametrize(
    ("noise", "courses"),
    [(0.02, 15), *(pytest.param(n, 200, marks=pytest.mark.slow) for n in (0, 0.02, 0.05))],
)
def test_phases_of_any_length_and_depth_are_found(bent, noise, courses):
    rng = np.random.default_rng(7)
    right = 0
    for seed in range(courses):
        right += [name for name, *_ in found(bent(drawn(rng), noise, seed, spacing=5))] == NAMES
    assert right >= 0.9 * courses


@pytest.mark.parametrize("seeds", [40, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("spacing", "last"), [(5, 600), (25, 3500)])
@pytest.mark.parametrize("real_loss", [False, True])
def test_noise_has_none(make, seeds, spacing, last, real_loss):
    steps, seen = np.arange(0, last + 1, spacing), 0
    for seed in range(seeds):
        synergy, redundancy, loss = np.random.default_rng(seed).normal(size=(3, len(steps)))
        loss = np.exp(-(((np.log10(steps + 1) - 1.5) / 0.5) ** 2)) if real_loss else loss
        told = phases(made(make, steps, synergy, redundancy, loss))
        seen += bool(told.found)
        assert told.found or told.note == NOTHING
    assert seen <= 0.05 * seeds


def test_a_random_walk_rises_and_falls_and_gets_phases(make):
    """No rule on one run can tell it from a training: as the page says, run several seeds and compare."""
    steps = np.arange(0, 3501, 25)
    walks = [np.random.default_rng(seed).normal(size=(3, len(steps))).cumsum(axis=1) for seed in range(20)]
    assert sum(bool(found(made(make, steps, *walk))) for walk in walks) >= 18


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("decay", "names", "starts", "memorised"),
    [
        ("0.1", NAMES, (50, 560, 640, 1720), 25),
        ("2", [LEARNING, EMERGENCE, DECOUPLING], (35, 193), 30),
    ],
)
def test_real_trainings_go_through_the_papers_phases(make, decay, names, starts, memorised, seed):
    """Single units, average ranks.

    grokscope train modadd --weight-decay 0.1 --steps 3500 --checkpoint-every 10, and as the recipe has it;
    analyze -m oinfo.
    """
    columns = np.genfromtxt(COURSES / f"wd{decay}-s{seed}.csv", delimiter=",", names=True)
    results = made(
        make,
        columns["step"].astype(int),
        *(columns[name] for name in ("synergy", "redundancy", "test_loss")),
        memorised=memorised,
    )
    got = found(results)
    assert near(got, names, starts, tolerance=0.06), got
    assert got[0][1] == columns["step"][1]  # step 0 is left out
    assert got[-1][2] == columns["step"][-1]
    ends = {end for *_, end in got[:-1]}
    assert ends == {start - columns["step"][1] for _, start, _ in got[1:]}


@pytest.mark.parametrize("factor", [1e-12, 3.0, 1e6])
def test_units_do_not_matter(bent, factor):
    results = bent(FIVE, 0.02)
    wanted = found(results)
    results.columns[SYNERGY][:] = [factor * (value - 0.5) for value in results.columns[SYNERGY]]
    assert found(results) == wanted


def test_a_fall_is_told_by_loss_then_redundancy_then_what_follows(bent):
    def second(redundancy, loss, then):
        pieces = [
            (40, 0.2, -0.5, 0.7),
            (200, 0.8, -0.4, -1),
            (600, -0.6, redundancy, loss),
            (2000, then, 0, 0),
        ]
        return found(bent(pieces))[2][0]

    assert second(0.4, 0.4, 0) == DIVERGENCE
    assert second(0.4, -0.4, 0) == DECOUPLING
    assert second(-0.4, -0.4, 0) == DIVERGENCE
    assert second(0, -0.4, 0) == DECOUPLING
    assert second(0, -0.4, 0.5) == DECOUPLING  # never as high again
    assert second(0, -0.4, 0.9) == DIVERGENCE
    assert second(0.4, -0.4, 0.9) == DECOUPLING


def test_before_memorisation_all_is_feature_learning(bent):
    assert found(bent(FIVE, memorised=9000)) == [(LEARNING, 10, 3000)]
    late = found(bent(FIVE, memorised=1000))
    assert [(name, start) for name, start, _ in late] == [
        (LEARNING, 10),
        (EMERGENCE, 1000),
        (DECOUPLING, 1700),
    ]


def test_a_fall_before_any_rise_is_feature_learning(bent):
    """Networks with a hidden bias begin so."""
    pieces = [(100, -1, 0.1, 0.7), (300, 0.6, -0.1, -1), (2000, -0.3, 0.5, -1)]
    got = found(bent(pieces))
    assert near(got, [LEARNING, EMERGENCE, DECOUPLING], [100, 300])


def test_why_there_are_none_is_said(make, bent):
    accuracy = make.sigmoid(1500)
    without = make.results({SYNERGY: accuracy}, accuracy)
    assert phases(without) == Phases((), note="phases need redundancy, which were not measured")
    constant = make.results({SYNERGY: accuracy, REDUNDANCY: 0 * accuracy}, accuracy, test_loss=accuracy)
    assert "one of them is constant" in phases(constant).note
    missing = make.results({SYNERGY: accuracy * np.nan, REDUNDANCY: accuracy}, accuracy, test_loss=accuracy)
    assert "12 checkpoints after step 0 with all three numbers, there are 0" in phases(missing).note
    assert phases(bent(FIVE)).note == ""


def test_gaps_are_left_out(bent):
    results = bent(FIVE, 0.02)
    results.columns[SYNERGY][30] = results.columns[REDUNDANCY][120] = float("nan")
    assert near(found(results), NAMES, [100, 400, 800, 1700])
