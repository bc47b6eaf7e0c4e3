"""A recorded run is a run: whatever else there is takes it."""

import re

import pytest
import torch
from torch import nn

import grokscope
from grokscope import Run, RunError, SettingError, UsageError

NAMES = "pmi,oinfo,weight_norm,fit"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, again_for_all):
    """A recorded run, and the network at its last step; nothing is measured."""
    out = tmp_path_factory.mktemp("recorded") / "run"
    training = again_for_all()
    with training.record(out, checkpoint_every="4", settings={"lr": 1e-2, "seed": 0}) as recorder:
        training.go(recorder, 1, 16)
    return out, training.network


@pytest.fixture
def run(recorded, tmp_path):
    import shutil

    return shutil.copytree(recorded[0], tmp_path / "run")


def test_measures_in_the_loop_are_those_afterwards(training, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="4") as recorder:
        training.go(recorder, 1, 8)
        early = recorder.measure(NAMES)
        training.go(recorder, 9, 16)
    assert early.steps == [0, 4, 8]
    found = grokscope.analyze(tmp_path / "run", NAMES, model=training.network)
    assert found.computed == 2 * 4
    assert found.steps == [0, 4, 8, 12, 16]
    for name in early.measured:
        assert early.columns[name] == found.columns[name][:3]
    for info, loss in zip(recorder.run.checkpoints, found.columns["fit.train_loss"], strict=True):
        assert loss == pytest.approx(info.train_loss, rel=1e-6)


def test_measuring_in_the_loop_changes_nothing_of_the_training(training, again, tmp_path):
    for step in range(1, 13):
        training.update(step)
    recorded = again()
    with recorded.record(tmp_path / "run", checkpoint_every="4") as recorder:
        for step in range(1, 13):
            recorded.update(step)
            recorder.step(step)
            recorder.measure("pmi,weight_norm")
    expected = training.states[12]
    assert all(torch.equal(expected[name], value) for name, value in recorded.states[12].items())


@pytest.mark.parametrize("given", [lambda network: network, lambda network: lambda: network])
def test_a_run_is_measured_with_its_network_or_what_makes_it(run, recorded, given):
    results = grokscope.analyze(run, "pmi", model=given(recorded[1]))
    assert not results.failures
    assert results.steps == [0, 4, 8, 12, 16]


def test_without_its_network_only_weights_are_measured(run):
    assert not grokscope.analyze(run, "weight_norm").failures
    with pytest.raises(RunError, match="was recorded from a network that has no name: say what makes it"):
        grokscope.analyze(run, "pmi")


def test_another_network_is_refused(run):
    results = grokscope.analyze(run, "pmi", model=nn.Linear(6, 2))
    assert "its tensors are not this run's network" in str(results.failures[0])
    assert not Run.open(run).cells()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A folder with the user's own code, where commands are called."""
    (tmp_path / "shop_network.py").write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), "
        "nn.Linear(16, 2))\n"
        "def other():\n"
        "    return nn.Linear(6, 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_every_command_takes_it(run, shop, cli):
    model = ("--model", "shop_network:make")
    shown = cli("show", run)
    assert (shown.code, "recorded network" in shown.out) == (0, True)
    measured = cli("analyze", run, "-m", NAMES, *model, "--csv", "-")
    assert measured.code == 0, measured.err
    assert len(measured.out.splitlines()) == 6
    again = cli("analyze", run, "-m", NAMES, *model, "--json")
    assert again.code == 0, again.err
    for command in (
        ("plot", run, "-m", NAMES, *model, "-o", "course.png"),
        ("score", run, "-m", NAMES, *model),
        ("report", run, "-m", NAMES, *model, "-o", "page.html"),
        ("export", run, "-o", "run.csv"),
        ("verify", run),
        ("list", run.parent),
    ):
        ended = cli(*command)
        assert ended.code == 0, (command, ended.err)
    assert re.search(r"recorded", cli("list", run.parent).out)
    assert cli("rm", run, "--yes").code == 0
    assert not run.exists()


def test_a_named_factory_is_recorded_and_repeated(training, shop, cli):
    with training.record("named", checkpoint_every="4", factory="shop_network:make") as recorder:
        training.go(recorder, 1, 8)
        recorder.measure("pmi")
    assert recorder.run.config["model"]["name"] == "shop_network:make"
    assert grokscope.analyze("named", "pmi", model="shop_network:make").computed == 0
    assert cli("analyze", "named", "-m", "pmi", "--trust").code == 0


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"factory": "shop_network:other"}, UsageError, "must make the network that is recorded: missing: "),
        ({"loss": "hinge"}, UsageError, "unknown loss 'hinge'"),
        ({"settings": {"dtype": "float32"}}, SettingError, "settings must not have dtype"),
        ({"layers": ["nothing*"]}, SettingError, "layers must name hidden modules"),
        ({"train": (torch.ones(3, 5), torch.zeros(3).long())}, grokscope.PluginError, "must be alike"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(training, shop, given, error, words):
    with pytest.raises(error, match=words):
        training.record("new", **given)
    assert not (shop / "new").exists()


def test_another_network_is_not_recorded_into_the_run(run, training):
    training.network = nn.Sequential(*training.network[:4], nn.Linear(16, 3))
    with pytest.raises(RunError, match=r"is of another network: 4.bias must be \(2,\), got \(3,\), 4.weight"):
        training.record(run, settings={"lr": 1e-2, "seed": 0})
