"""A hypothesis declares itself fully or not at all, and plugins bring it as they bring measures."""

from types import SimpleNamespace

import numpy as np
import pytest

from grokscope import Hypothesis, PluginError, hookimpl, hypothesis, load_plugins
from grokscope.testing import check_hypothesis


@hypothesis(claim="It rises.", columns=["x.x", "x.y:layer", "z.z"], source="here")
def rises(results):
    """The last value less the first."""
    course = results.course("x.x")
    return course[-1] - course[0]


def test_a_declaration_says_it_all():
    assert isinstance(rises, Hypothesis)
    assert (rises.name, rises.about, rises.source) == ("rises", "runs", "here")
    assert rises.measures == ["x", "z"]
    assert rises.help == "The last value less the first."
    assert hypothesis(claim="c", columns="x.x")(_one).columns == ("x.x",)


def _one(results):
    return 1.0


def _two(results, more):
    return 1.0


@pytest.mark.parametrize(
    ("options", "function", "problem"),
    [
        ({"claim": " "}, _one, "claim must be a sentence"),
        ({"columns": [""]}, _one, "columns must be measure.column, got ''"),
        ({"columns": ["synergy"]}, _one, "columns must be measure.column, got 'synergy'"),
        ({"about": "everything"}, _one, "about must be runs, pairs, grokking, groups, got 'everything'"),
        ({"about": "groups"}, _one, "groups must be two names"),
        ({"about": "groups", "groups": ("a", "b")}, _one, "group must be a function"),
        ({"groups": ("a", "b")}, _one, "of about='runs' groups must be one name, and group tell it"),
        ({"groups": ("a",)}, _one, "of about='runs' groups must be one name, and group tell it"),
        ({"about": "grokking", "groups": ("a", "b")}, _one, "groups do not go with about='grokking'"),
        ({"about": "pairs", "groups": ("a",)}, _two, "groups must be two names or more, got ['a']"),
        (
            {"about": "pairs", "groups": ("a", "b")},
            _one,
            "it must take one run's results of each group: a, b",
        ),
        ({"chance": 1}, _one, "chance must be between 0 and 1, got 1"),
        ({"group": "plain"}, _one, "group must be a function"),
        ({}, _two, "it must take one run's results and nothing else, got (results, more)"),
        ({}, lambda results: 1.0, "names must be letters"),
    ],
)
def test_what_cannot_be_is_refused(options, function, problem):
    with pytest.raises(PluginError) as error:
        hypothesis(**{"claim": "c", "columns": ["x.x"], **options})(function)
    assert problem in str(error.value)


def plugin(name, **hooks):
    return SimpleNamespace(__name__=name, **hooks)


def test_plugins_bring_hypotheses():
    loaded = load_plugins([plugin("mine", grokscope_hypotheses=hookimpl(lambda: [rises]))])
    assert not loaded.problems
    assert loaded.hypotheses["rises"] is rises
    assert "early_synergy_peak" in loaded.hypotheses


def grokscope_hypotheses():
    return [rises]


def test_two_of_one_name_are_told_apart():
    one, two = (plugin(name, grokscope_hypotheses=hookimpl(lambda: [rises])) for name in ("one", "two"))
    found = load_plugins([one, two]).hypotheses
    assert {"one:rises", "two:rises"} <= set(found)
    assert "rises" not in found


def returns(value):
    def grokscope_hypotheses():
        return value

    return hookimpl(grokscope_hypotheses)


@pytest.mark.parametrize(
    ("hooks", "problem"),
    [
        ({"grokscope_hypotheses": returns([_one])}, "what @hypothesis makes, got _one in it"),
        ({"grokscope_hypotheses": returns(rises)}, "must return a list, got Hypothesis"),
        ({"grokscope_hypotheses": returns([rises, rises])}, "two of the name 'rises'"),
        ({"grokscope_hypothesis": returns([rises])}, "did you mean grokscope_hypotheses?"),
        ({"grokscope_hypotheses": grokscope_hypotheses}, "is not marked as a hook"),
    ],
)
def test_a_broken_plugin_is_named(hooks, problem):
    (broken,) = load_plugins([plugin("mine", **hooks)]).broken
    assert broken.name == "mine"
    assert problem in broken.problem


def test_the_contract_finds_what_noise_would_support():
    @hypothesis(claim="It is positive.", columns=["x.x"], source="here")
    def always(results):
        """The largest value."""
        values = results.values("x.x")
        return float(values.max()) if len(values) else None

    with pytest.raises(AssertionError, match="noise would support it"):
        check_hypothesis(always)


def test_the_contract_finds_what_unequal_checkpoints_would_support(monkeypatch):
    @hypothesis(claim="It is higher.", columns=["x.x"], source="here", about="grokking")
    def higher(results):
        """The largest value, which more checkpoints make larger."""
        values = results.values("x.x")
        return float(values.max()) if len(values) else None

    @hypothesis(claim="It is higher.", columns=["x.x"], source="here", about="grokking")
    def higher_however(results):
        """The same, from a course that cannot be read alike."""
        values = results.course("x.x")
        return float(np.nanmax(values)) if np.isfinite(values).any() else None

    check_hypothesis(higher, repetitions=8)
    with pytest.raises(AssertionError, match=r"supported in \d+ of 8 comparisons of white noise \(141"):
        check_hypothesis(higher_however, repetitions=8)
    monkeypatch.setattr("grokscope.statistics.verdicts.levelled", lambda readings: readings)
    with pytest.raises(AssertionError, match=r"white noise \(141 checkpoints against 31\)"):
        check_hypothesis(higher, repetitions=8)


def test_the_contract_finds_what_random_walks_would_support():
    @hypothesis(claim="It moves little at first.", columns=["x.x"], source="here")
    def little(results):
        """The range over all steps, less twice that over the first tenth."""
        early, values = results.values("x.x", end=results.steps[-1] / 10), results.values("x.x")
        return float(np.ptp(values) - 2 * np.ptp(early)) if len(early) > 1 else None

    with pytest.raises(AssertionError, match="random walks"):
        check_hypothesis(little, repetitions=8)


def test_the_contract_wants_something_said():
    @hypothesis(claim="It is.", columns=["x.x"], source="here")
    def silent(results):
        """Only of runs that were trained so."""
        return 0.0 if results.config["training"].get("so") else None

    with pytest.raises(AssertionError, match="hand that over: config="):
        check_hypothesis(silent, repetitions=2)
    check_hypothesis(silent, repetitions=2, config={"training": {"so": True}})


def test_the_contract_finds_what_raises_on_short_runs():
    @hypothesis(claim="It falls.", columns=["x.x"], source="here")
    def falls(results):
        """The first value less the second."""
        first, second = results.values("x.x")[:2]
        return first - second

    with pytest.raises(ValueError, match="not enough values"):
        check_hypothesis(falls)
