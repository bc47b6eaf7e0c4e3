"""Every figure can be trained and measured, under the numbers that its paper has."""

import pytest
from synthetic import FIGURES

from grokscope import load_plugins
from grokscope.analysis.plan import select_steps
from grokscope.errors import UnknownName
from grokscope.figure import Subnetwork, Trained
from grokscope.reproduce import find_figure
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.training import resolve_config


def test_tan_and_huangs_figures_are_numbered_as_in_the_paper():
    """11 is the l1 norm, 12 PC, 13 CD, 14 MID, 15 ED; who knows the numbers of before is told."""
    drawn = {number: FIGURES[f"tan-{number}"].panels[0].right for number in range(8, 16)}
    assert drawn == {
        8: ("pmi.pmi",),
        9: ("pe.pe",),
        10: (),
        11: ("weight_norm.l1_all",),
        12: ("pc.pc",),
        13: ("cd.cd",),
        14: ("mid.mid",),
        15: ("ed.ed",),
    }
    for number in range(11, 16):
        assert "until November 2026 tan-11 was PC" in FIGURES[f"tan-{number}"].reconstructed
    assert FIGURES["tan-13"].title == "Confidence difference (CD)"


def test_what_stands_in_float32_is_the_recipe_that_says_so():
    """So that the runs of `--recipe nanda-float32` are found, and no second ones are trained."""
    [reading] = [reading for reading in FIGURES["tan-1"].readings if reading.name == "float32"]
    runs = FIGURES["tan-1"].under(reading).groups["modular addition"].runs
    found = resolve_config("modadd", recipe=runs.recipe, settings=runs.settings)
    assert found == resolve_config("modadd", recipe="nanda-float32")


def test_figure_10_takes_the_test_split_as_it_is():
    group = FIGURES["tan-10"].groups["unperturbed test split"]
    assert group.parameters == {"pmi.split": "test", "pmi.sigma": 0, "pe.split": "test", "pe.sigma": 0}
    assert {name for name in FIGURES["tan-10"].groups if name.startswith("alpha")} == {
        "alpha 0.5",
        "alpha 1",
        "alpha 2",
        "alpha 3",
    }


def test_the_three_papers_have_29_figures():
    expected = [("clauw", 9), ("golechha", 4), ("tan", 16)]
    three = [name for name in FIGURES if name.partition("-")[0] in dict(expected)]
    assert three == [f"{paper}-{number + 1}" for paper, count in expected for number in range(count)]


def test_each_other_paper_has_one_figure():
    others = set(FIGURES) - {name for name in FIGURES if name.startswith(("clauw", "golechha", "tan"))}
    assert others == {"nanda-7", "omnigrok-2", "kumar-3", "prieto-6", "demoss-2", "xu-6"}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_every_figure_can_be_trained_and_measured(figure):
    """Recipes, settings, measures, steps and columns are those that there are, in every reading."""
    names = [reading.name for reading in figure.readings]
    assert len({*names, "primary", "all"}) == len(names) + 2
    assert not any("," in name for name in names)
    plugins = load_plugins()
    for reading in figure.readings:
        assert reading.takes
        can_be_trained_and_measured(figure.under(reading), plugins)


def can_be_trained_and_measured(figure, plugins):
    known = {}
    for name, group in figure.groups.items():
        for variant in (group.runs, *group.stand_ins):
            if isinstance(variant, Trained):
                for quick in ({}, variant.quick):
                    settings = {**variant.settings, **quick}
                    resolve_config(variant.task, recipe=variant.recipe, settings=settings)
        if isinstance(group.runs, Subnetwork):
            assert "oinfo" in figure.groups[group.runs.of].measures
            assert list(figure.groups).index(group.runs.of) < list(figure.groups).index(name)
        registered = plugins.select(list(group.measures))
        known[name] = {f"{r.title}.{column.name}" for r in registered for column in r.measure.columns}
        assert {*group.columns, *group.columns.values()} <= known[name]
        for key in group.parameters:
            measure, parameter = key.split(".")
            [found] = [r for r in registered if r.measure.name == measure]
            assert parameter in found.measure.parameters
        for steps in (group.steps, group.quick_steps or group.steps):
            assert select_steps(steps, range(0, 5000, 50))
    assert figure.panels
    for panel in figure.panels:
        for name in panel.groups:
            for column in (*panel.left, *panel.right):
                assert column in CURVE_COLUMNS or column.partition(":")[0] in known[name]


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_data_that_may_be_missing_has_a_stand_in(figure):
    for group in figure.groups.values():
        assert isinstance(group.runs, Subnetwork) or (group.runs.task in ("mnist", "imdb")) == bool(
            group.stand_ins
        )


def test_an_unknown_figure_lists_near_ones():
    with pytest.raises(UnknownName, match="clauw-1"):
        find_figure("clauw-10", FIGURES)
