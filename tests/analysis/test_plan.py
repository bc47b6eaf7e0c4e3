"""Steps, parameters and baselines mean what the help says, and refusals say what to do."""

import pytest

from grokscope import Run, SettingError, UnknownName, UsageError, load_plugins
from grokscope.analysis.plan import Request, choose_baseline, make_plan, select_steps

STEPS = [0, 5, 10, 15, 20]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", STEPS),
        ("first", [0]),
        ("last", [20]),
        ("every:2", [0, 10, 20]),
        ("every:2:1", [5, 15]),
        ("log:2", [5, 20]),
        ("first,log:3", [0, 5, 10, 20]),
        ("log:9", [5, 10, 15, 20]),
        ("5:15", [5, 10, 15]),
        (":5", [0, 5]),
        ("15:", [15, 20]),
        ("10, 0", [0, 10]),
        ("first,last,10:15", [0, 10, 15, 20]),
    ],
)
def test_steps(text, expected):
    assert select_steps(text, STEPS) == expected


@pytest.mark.parametrize(
    "text",
    [
        "every:0",
        "every:2:2",
        "every:2:-1",
        "every:2:1:1",
        "log:0",
        "every:x",
        "soon",
        "7",
        "",
        "30:40",
        "1:2:3",
    ],
)
def test_steps_that_do_not_exist_are_refused(text):
    with pytest.raises(UsageError, match="`steps`"):
        select_steps(text, STEPS)


def test_a_missing_step_names_the_nearest():
    with pytest.raises(UsageError, match=r"no checkpoint at step 7.*\[0, 5, 10"):
        select_steps("7", STEPS)


def test_no_checkpoints_no_steps():
    assert select_steps("all", []) == []


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


def parameters(plugins, names, settings):
    return Request.of(plugins, names, settings=settings).parameters


@pytest.fixture
def run(trained):
    return Run.open(trained)


def test_a_setting_reaches_its_measure(plugins):
    assert parameters(plugins, ["pe"], {"pe.alpha": "2"})["matrix_information:pe"]["alpha"] == 2.0


def test_a_setting_of_a_family_reaches_all_that_have_it(plugins):
    found = parameters(plugins, ["matrix_information"], {"matrix_information.alpha": 3})
    assert all(values["alpha"] == 3.0 for values in found.values())


def test_a_parameter_that_came_later_leaves_earlier_results_found_at_its_default(plugins):
    plain, said, other = (
        parameters(plugins, ["oinfo"], given)["oinfo:oinfo"]
        for given in ({}, {"oinfo.grouping": "ward"}, {"oinfo.grouping": "spectral"})
    )
    assert plain == said
    assert "grouping" not in plain
    assert other == {**plain, "grouping": "spectral"}


def test_a_setting_of_a_measure_not_asked_for_is_refused(plugins):
    with pytest.raises(SettingError, match="not among the measures asked for"):
        parameters(plugins, ["fit"], {"pe.alpha": 2})


def test_an_unknown_parameter_lists_near_matches(plugins):
    with pytest.raises(UnknownName, match="did you mean alpha"):
        parameters(plugins, ["pe"], {"pe.alhpa": 2})


def test_a_parameter_out_of_bounds_says_what_must_be(plugins):
    with pytest.raises(SettingError, match=r"pe.alpha must be float.*got '-1'"):
        parameters(plugins, ["pe"], {"pe.alpha": "-1"})


def test_a_setting_without_a_measure_is_refused(plugins):
    with pytest.raises(SettingError, match=r"MEASURE\.PARAMETER=VALUE"):
        parameters(plugins, ["pe"], {"alpha": 2})


def test_the_key_depends_on_everything_the_number_depends_on(plugins, run):
    def keys(**options):
        return {cell.key for cell in make_plan(run, Request.of(plugins, ["pe"], **options)).cells}

    plain = keys()
    assert len(plain) == len(run.checkpoints)
    assert plain == keys()
    assert not plain & keys(settings={"pe.alpha": 2})
    assert keys(steps="last") < plain


def test_expensive_measures_take_fewer_of_the_steps(plugins, run):
    asked = {"steps": "every:2", "expensive": "every:2"}
    plan = make_plan(run, Request.of(plugins, ["pe", "sharpness"], **asked))
    at = {
        name: [c.checkpoint.step for c in plan.cells if c.registered.title == name]
        for name in ("pe", "sharpness")
    }
    assert at["pe"] == [checkpoint.step for checkpoint in plan.checkpoints] == sorted(run.steps)[::2]
    assert at["sharpness"] == at["pe"][::2]
    with pytest.raises(UsageError, match="`expensive` must be all"):
        make_plan(run, Request.of(plugins, ["pe"], expensive="soon"))


@pytest.mark.parametrize(("text", "expected"), [("first", 0), ("last", 60), ("previous", 20), ("40", 40)])
def test_baselines(run, text, expected):
    assert choose_baseline(text, 30, run.checkpoints).step == expected


def test_the_first_checkpoint_precedes_itself(run):
    assert choose_baseline("previous", 0, run.checkpoints).step == 0


def test_a_baseline_that_does_not_exist_is_refused(run):
    with pytest.raises(UsageError, match="`baseline` must be"):
        choose_baseline("33", 30, run.checkpoints)
