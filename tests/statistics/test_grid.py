"""Runs are read equally often, at like places."""

import numpy as np
import pytest

from grokscope.statistics.grid import Reading, alike, levelled


def test_as_many_of_each_at_like_places():
    few, many = np.array([0, 100, 300]), np.arange(0, 601, 10)
    found = alike([many, few, many])
    assert found[1].tolist() == [0, 1, 2]
    assert many[found[0]].tolist() == many[found[2]].tolist() == [0, 200, 600]
    assert alike([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_no_evaluation_is_read_twice(seed):
    """Not even where a run is dense in one part only: several places are then nearest to one evaluation."""
    rng = np.random.default_rng(seed)
    grids = [np.unique(np.geomspace(1, 3000, 60).astype(int)), np.arange(0, 500, 20)]
    grids += [np.sort(rng.choice(1000, size=40, replace=False))]
    found = alike(grids)
    assert {len(each) for each in found} == {25}
    for kept, steps in zip(found, grids, strict=True):
        assert (np.diff(kept) > 0).all()
        assert (kept[0], kept[-1]) == (0, len(steps) - 1)


def test_of_one_evaluation_it_is_said_which():
    many = np.arange(10)
    assert [each.tolist() for each in alike([many, np.array([5])])] == [[0], [0]]
    assert [each.tolist() for each in alike([many, np.array([5])], one=-1)] == [[9], [0]]


def test_every_read_is_levelled_for_itself(make):
    dense = make.results({"x.x": 1.0 * make.steps}, 0 * make.steps)
    sparse_steps = make.steps[::20]
    sparse = make.results({"x.x": 1.0 * sparse_steps}, 0 * sparse_steps, at=sparse_steps)
    readings = {"dense": Reading.of(dense), "sparse": Reading.of(sparse)}

    def read(run):
        return [run.values("x.x", end=400).tolist(), run.values("x.x", 1000).tolist(), len(run.course("x.x"))]

    for run in readings.values():
        read(run)
    both = {name: read(run) for name, run in levelled(readings).items()}
    assert both["sparse"] == read(Reading.of(sparse))
    assert both["dense"][:2] == [[0, 200, 400], [1000, 1200, 1400, 1600, 1800, 2000]]
    assert both["dense"][2] == len(make.steps)
