"""A reading is laid over a figure's groups as data; courses are reread and smoothed without a trace."""

import math
from types import SimpleNamespace

import pytest

from grokscope import Comparison, PluginError, Results, hookimpl, hypothesis, load_plugins
from grokscope.figure import Figure, Group, Panel, Paper, Reading, Subnetwork, Trained, asked
from grokscope.measure import Column
from grokscope.reproduce.checking import check
from grokscope.statistics.courses import reread, smoothed

ADDITION = Group(
    Trained("modadd", "nanda", {"lr": 0.1}), ("pe", "pmi"), parameters={"pe.alpha": 1, "pmi.alpha": 1}
)
IMAGES = Group(
    Trained("mnist", "mnist", {"loss": "mse"}),
    ("weight_norm",),
    stand_ins=(Trained("digits", None, {"steps": 5}),),
)
PART = Group(Subnetwork("addition", "oinfo.synergy", parameters={"oinfo.ties": "average"}))


@hypothesis(claim="c.", source="s")
def true(results):
    """It is true."""
    return True


@hypothesis(claim="c.", source="s", about="pairs", groups=("one", "other"))
def alike(one, other):
    """They are alike."""
    return True


@hypothesis(claim="c.", source="s", about="grokking")
def larger(results):
    """It is larger."""
    return 1.0


ONE = Panel(("addition",))


def figure(key="p", groups=None, panels=(ONE,), asks=None):
    every = {"addition": ADDITION, "images": IMAGES, "part": PART}
    asks = (asked(true, "addition"),) if asks is None else asks
    return Figure(Paper(key, "P", "0"), 1, "t", "c.", "s", every if groups is None else groups, panels, asks)


FIGURE = figure()


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"key": "P 1"}, "figure P 1-1: a paper's key must be letters, digits and underscores, got 'P 1'"),
        ({"asks": ()}, "it must have a panel, something that is asked, and a reading"),
        ({"panels": ()}, "it must have a panel, something that is asked, and a reading"),
        ({"groups": {"part": PART, "addition": ADDITION}}, "group part must come after addition"),
        ({"panels": (Panel(("sums",)),)}, "no group 'sums'; its groups are addition, images, part"),
        ({"asks": (asked(true, "sums"),)}, "no group 'sums'"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(wrong, problem):
    with pytest.raises(PluginError) as refused:
        figure(**wrong)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("hypothesis", "groups", "problem"),
    [
        (
            alike,
            ("addition",),
            "alike: a figure must name 2 of its groups for it, got ['addition']",
        ),
        (true, (), "true: a figure must name 1 of its groups for it, got []"),
        (larger, ("addition",), "larger: a figure asks about runs or pairs, it is about grokking"),
    ],
)
def test_what_a_figure_cannot_ask_is_refused(hypothesis, groups, problem):
    with pytest.raises(PluginError) as refused:
        asked(hypothesis, *groups)
    assert str(refused.value) == f"hypothesis {problem}"


def results(**columns):
    named = {name.replace("__", ".", 1).replace("__", ":"): values for name, values in columns.items()}
    declared = {
        name: Column(name.partition(".")[2].partition(":")[0], "h") for name in named if name != "step"
    }
    return Results("r", named, declared)


@hypothesis(claim="c.", source="s")
def broken(results):
    """It fails."""
    raise RuntimeError("no idea")


def test_a_strangers_claim_that_raises_is_named_and_the_others_go_on():
    runs = Comparison({"r": results(step=[0])}, {}, {})
    failed, held = check(
        figure(asks=(asked(broken, "addition"), asked(true, "addition"))), {"addition": runs}
    )
    assert (failed.outcomes, failed.verdict) == ((None,), "undecided")
    assert failed.failures == ("r: hypothesis broken: RuntimeError: no idea",)
    assert (held.verdict, held.failures) == ("held", ())


def plugin(name, *figures):
    return SimpleNamespace(__name__=name, grokscope_figures=hookimpl(lambda: list(figures)))


def test_figures_come_by_hook_and_their_names_are_taken_once():
    one, other = plugin("one", figure("one")), plugin("other", figure("other"), figure("one"))
    found = load_plugins([one, other])
    assert found.figures["one-1"].paper.key == "one"
    assert "other-1" not in found.figures
    assert "its figure 'one-1' is also brought by plugin one" in found.broken[0].problem
    (wrong,) = load_plugins([plugin("mine", true)]).broken
    assert "must return a list of what figure.Figure makes, got Hypothesis in it" in wrong.problem


def test_a_reading_is_laid_over_what_a_group_has():
    read = FIGURE.under(
        Reading(
            "r",
            "t",
            recipes={"nanda": "nanda-float32"},
            settings={"loss": "cross_entropy"},
            parameters={"pe.alpha": 2, "oinfo.ties": "argsort"},
            columns={"pe.pe": "pe.pe_centred", "oinfo.synergy": "oinfo.redundancy"},
        )
    ).groups
    assert read["addition"].runs.recipe == "nanda-float32"
    assert read["addition"].runs.settings == {"lr": 0.1, "loss": "cross_entropy"}
    assert read["addition"].parameters == {"pe.alpha": 2, "pmi.alpha": 1}
    assert read["addition"].columns == {"pe.pe": "pe.pe_centred"}
    assert read["images"].runs.recipe == "mnist"
    assert read["images"].runs.settings == {"loss": "cross_entropy"}
    assert read["images"].stand_ins[0].settings == {"steps": 5, "loss": "cross_entropy"}
    assert read["images"].stand_ins[0].recipe is None
    assert read["images"].columns == {}
    assert read["part"].runs.parameters == {"oinfo.ties": "argsort"}


def test_a_reading_of_one_task_leaves_the_others_alone():
    reading = Reading("r", "t", settings={"lr": 1}, parameters={"oinfo.ties": "argsort"}, tasks=("mnist",))
    read = FIGURE.under(reading).groups
    assert read["addition"] is ADDITION
    assert read["part"] is PART  # of the network of another task
    assert read["images"].runs.settings["lr"] == 1


def test_the_plain_reading_changes_nothing():
    assert FIGURE.under(FIGURE.readings[0]).groups == FIGURE.groups


def test_a_column_is_read_in_place_of_another_with_all_its_labels():
    found = results(
        step=[0, 1], pe__pe=[1, 2], pe__pe_centred=[3, 4], pe__pe__a=[5, 6], pe__pe_centred__b=[7, 8]
    )
    read = reread(found, {"pe.pe": "pe.pe_centred"})
    assert read.columns["pe.pe"] == [3, 4]
    assert read.columns["pe.pe:b"] == [7, 8]
    assert "pe.pe:a" not in read.columns
    assert set(read.declared) == set(read.columns) - {"step"}
    assert found.columns["pe.pe"] == [1, 2]


def test_two_columns_can_be_exchanged():
    read = reread(results(step=[0], a__x=[1], a__y=[2]), {"a.x": "a.y", "a.y": "a.x"})
    assert (read.columns["a.x"], read.columns["a.y"]) == ([2], [1])


def test_a_column_whose_substitute_is_missing_is_not_there():
    assert "pe.pe" not in reread(results(step=[0], pe__pe=[1]), {"pe.pe": "pe.pe_centred"}).columns


def test_courses_are_smoothed_by_a_tenth_every_five_steps_without_step_0():
    found = results(step=[0, 5, 10, 20], o__s=[9.0, 0.0, 1.0, 1.0], o__r=[9.0, 0.0, 1.0, math.nan])
    read = smoothed(found, "o.s", "o.none")
    assert read.steps == [5, 10, 20]
    assert read.columns["o.s"] == pytest.approx([0.0, 0.1, 1 - 0.9**3])
    assert read.columns["o.r"][:2] == [0.0, 1.0]  # not asked for
    assert found.columns["o.s"][0] == 9.0
