"""Run directories as grokscope 0.1.0 wrote them in November 2026: they stay readable, whatever changes.

`data/trained` was stopped at step 13 of 16 with four measures stored; `data/imported` and `data/linked` are
two safetensors files imported as copies and as hard links. No file in `data` is ever written anew.
"""

import shutil
from pathlib import Path

import pytest

from grokscope import analyze, train
from grokscope.errors import RunError
from grokscope.run import Run

DATA = Path(__file__).parent / "data"
SETTINGS = {
    "task.p": 5,
    "task.train_fraction": 0.5,
    "model.hidden": [6],
    "training.steps": 16,
    "training.checkpoint_every": "4",
    "training.log_every": 2,
}


@pytest.fixture(params=["trained", "imported", "linked"])
def earlier(request, tmp_path):
    return shutil.copytree(DATA / request.param, tmp_path / request.param)


def test_it_is_opened_and_nothing_is_complained_of(earlier):
    run = Run.open(earlier)
    assert run.steps == ((0, 4, 8, 12, 13) if run.name == "trained" else (0, 8))
    assert (run.problems, run.remarks, run.conflicts) == ([], [], [])
    assert run.refresh_index() == ""
    assert run.weights(8).keys() == {"layers.0.weight", "layers.1.weight"}
    assert 0 < run.checkpoints[-1].train_loss < 10
    assert len(run.curves["step"]) == (8 if run.name == "trained" else 2)


def test_its_results_are_there(earlier):
    cells = Run.open(earlier).cells()
    assert len(cells) == (20 if earlier.name == "trained" else 2)
    norms = {
        cell.step: cell.rows[0].values for key, cell in cells.items() if key.measure.endswith("weight_norm")
    }
    assert norms[8]["l2_all"] == pytest.approx(1.9910860198133833, rel=1e-12)


def test_it_is_measured_on(earlier):
    again = analyze(earlier, "fit,weight_norm")
    assert again.failures == ()
    for info, loss in zip(Run.open(earlier).checkpoints, again.columns["fit.test_loss"], strict=True):
        assert info.test_loss == pytest.approx(loss, rel=1e-5)


def test_it_is_trained_on_to_where_an_uninterrupted_run_ends(tmp_path):
    path = shutil.copytree(DATA / "trained", tmp_path / "trained")
    told = []
    finished = train("modadd", settings=SETTINGS, out=path, notify=told.append)
    whole = train("modadd", settings=SETTINGS, out=tmp_path / "whole")
    assert finished.id == whole.id
    assert finished.steps == (0, 4, 8, 12, 13, 16)
    assert not any("starts again" in sentence for sentence in told)
    for name, weight in whole.weights(16).items():
        assert (finished.weights(16)[name] - weight).abs().max() < 1e-4


def test_a_later_format_is_refused_with_a_sentence(earlier):
    path = earlier / "run.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 2"))
    with pytest.raises(RunError, match=r"was made by a later grokscope \('0\.1\.0'\); update grokscope"):
        Run.open(earlier)


@pytest.mark.parametrize("value", ["nan", '"1"', "0", "1.5", "[]", "true", "inf", "1979-05-27"])
def test_a_format_that_is_none_is_refused_with_a_sentence(earlier, value):
    path = earlier / "run.toml"
    path.write_text(path.read_text().replace("format = 1", f"format = {value}"))
    with pytest.raises(
        RunError, match=r"run\.toml cannot be read as a run's configuration: its format must be 1"
    ):
        Run.open(earlier)
