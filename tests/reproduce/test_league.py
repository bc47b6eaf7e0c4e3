"""The league's own settings can be trained as declared, and its costs are those of one checkpoint."""

from dataclasses import replace

import pytest

from grokscope import Run, load_plugins
from grokscope.reproduce.league import (
    CHECKPOINTS,
    QUICK_CHECKPOINTS,
    costs,
    expensive_minutes,
    foretold,
    grokked_at,
    league_settings,
    setting_of,
)
from grokscope.reproduce.runs import Wanted, planned
from grokscope.results import Results
from grokscope.training import resolve_config
from grokscope.training.schedule import checkpoint_steps


@pytest.fixture(scope="module")
def plugins():
    return load_plugins()


@pytest.fixture
def wanted(plugins, tmp_path):
    def ignore(*_):
        return None

    return Wanted(True, None, tmp_path, None, "cpu", 1, plugins, ignore, lambda: False, ignore)


@pytest.mark.parametrize("name", league_settings())
def test_every_setting_can_be_trained_in_full_and_quickly(name, plugins, wanted):
    setting = league_settings()[name]
    trained = setting.group.runs
    for settings, most in (
        (trained.settings, CHECKPOINTS),
        ({**trained.settings, **trained.quick}, QUICK_CHECKPOINTS),
    ):
        config = resolve_config(
            trained.task,
            recipe=trained.recipe,
            settings=settings,
            tasks=plugins.tasks,
            models=plugins.models,
        )
        training = config["training"]
        steps = checkpoint_steps(training["checkpoint_every"], training["steps"])
        assert most * 0.8 <= len(steps) <= most + 1
    runs, minutes = foretold([setting], wanted)
    assert runs == 3
    assert minutes == pytest.approx(3 * setting.quick_seconds / 60)
    steps = len(setting.checkpoints(True).split(","))
    more = [expensive_minutes([setting], replace(wanted, expensive=text)) for text in ("all", "last")]
    assert more == pytest.approx([3 * n * setting.quick_expensive / 60 for n in (steps, 1)])
    (planned(setting.group, replace(wanted, seeds=3))[1]).mkdir()
    (planned(setting.group, replace(wanted, seeds=3))[1] / "run.toml").touch()
    assert foretold([setting], wanted)[0] == 2


def test_there_are_settings_enough_of_either_kind():
    kinds = [setting.groks for setting in league_settings().values()]
    assert kinds.count(True) >= 6
    assert kinds.count(False) >= 6


def test_a_run_is_called_after_its_recipe_and_what_differs(plugins, trained):
    assert setting_of(Run.open(trained).config, plugins) == "clauw, p 13, train_fraction 0.5, hidden [24]"
    alone = {"recipe": "", "task": {"name": "mine"}, "model": {"name": "own"}, "training": {}}
    assert setting_of(alone, plugins) == "mine"


def test_what_counts_as_grokked_is_said_of_the_recipe():
    runs = {name: Results(name, {"step": []}, {}, config={"recipe": name}) for name in ("digits", "clauw")}
    assert grokked_at(runs, {"digits": "few digits", "clauw": "clauw"}, 0.95) == {
        "few digits": 0.85,
        "clauw": 0.95,
    }


def test_a_measure_costs_what_one_checkpoint_takes_and_nothing_is_kept(trained, plugins):
    before = sorted(path.name for path in trained.rglob("*"))
    found = costs({"one": trained}, ["weight_norm", "pmi"], plugins=plugins)
    assert set(found) == {("one", "weight_norm"), ("one", "pmi")}
    assert all(0 < ms < 10_000 for ms in found.values())
    assert sorted(path.name for path in trained.rglob("*")) == before
