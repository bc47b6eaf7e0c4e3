"""What the time of an analysis goes to: parts within parts count for themselves, in every process."""

import itertools
import json
import time

import pytest

from grokscope import analyze
from grokscope.analysis import clock as clocks
from grokscope.analysis.clock import OWN, SHARED, Clock, Spent, timed


@pytest.fixture
def ticking(monkeypatch):
    """A clock on whose wall a second passes whenever it is looked at, and half of it is computed."""
    looks = itertools.count()
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: float(next(looks)))
    monkeypatch.setattr(clocks.time, "thread_time", lambda: 0.5)
    return Clock()


def test_a_part_within_a_part_counts_for_itself_alone(ticking):
    for _ in range(2):
        with ticking.running("pmi", OWN):
            with timed(ticking, "activations"):
                pass
            with timed(ticking, "activations"):
                pass
    assert ticking.take() == [Spent("pmi", OWN, 2, 6.0, 0.0), Spent("activations", SHARED, 4, 4.0, 0.0)]
    assert ticking.take() == []


def test_a_part_that_fails_is_counted_and_what_others_spent_is_added(ticking):
    with pytest.raises(ZeroDivisionError), ticking.running("pmi", OWN):
        raise ZeroDivisionError
    ticking.add([Spent("pmi", OWN, 3, 4.0, 2.0), Spent("ed", OWN, 1, 1.0, 1.0)])
    assert ticking.take() == [Spent("pmi", OWN, 4, 5.0, 2.0), Spent("ed", OWN, 1, 1.0, 1.0)]


def test_nothing_is_counted_where_there_is_no_clock():
    with timed(None, "pmi") as given:
        assert given is None


def test_an_analysis_is_what_its_parts_are(run_path):
    clock, begun = Clock(), time.perf_counter()
    analyze(run_path, "fit,weight_norm", clock=clock)
    whole = time.perf_counter() - begun
    spent = {each.part: each for each in clock.take()}
    assert {part: each.times for part, each in spent.items() if each.kind == OWN} == {
        "fit": 7,
        "weight_norm": 7,
    }
    assert spent["reading checkpoints"].times == spent["bringing networks to life"].times == 7
    assert {"the activations and logits", "guarding what is shared", "storing results"} <= spent.keys()
    assert 0 < sum(each.seconds for each in spent.values()) <= whole
    analyze(run_path, "fit,weight_norm", clock=clock)
    assert {each.part for each in clock.take()} == {"reading what is stored", "putting results together"}


def test_the_command_shows_it_of_all_processes(cli, run_path):
    ended = cli("analyze", run_path, "-m", "fit,weight_norm", "--steps", "0,60", "--profile", "--json")
    found = json.loads(ended.out)
    assert len(found["columns"]["fit.test_loss"]) == 2
    parts = {(part["part"], part["kind"]): part["times"] for part in found["profile"]}
    assert parts["weight_norm", OWN] == parts["fit", OWN] == parts["reading checkpoints", SHARED] == 2
    assert sum(part["share"] for part in found["profile"]) == pytest.approx(1)
    shown = cli("analyze", run_path, "-m", "fit,weight_norm", "--steps", "0,60", "--profile", "--refresh")
    assert (
        shown.out.index("weight_norm")
        < shown.out.index("where the time went")
        < shown.out.index("all together")
    )
    data = cli("analyze", run_path, "-m", "fit", "--steps", "0", "--profile", "--csv", "-")
    assert data.out.splitlines()[0].startswith("step,fit.")
    assert "reading what is stored" in data.err
    assert "profile" not in json.loads(cli("analyze", run_path, "-m", "fit", "--json").out)
    refused = cli("analyze", run_path, "--profile", "--json", "--long")
    assert (refused.code, "--profile must go with --json or with --long" in refused.err) == (2, True)
