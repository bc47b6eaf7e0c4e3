"""Run with `pytest` once grokscope and this plugin are installed."""

import pytest
import torch

import grokscope_dihedral
from grokscope import analyze, load_plugins, train
from grokscope_dihedral import bilinear, dihedral


@pytest.fixture(scope="module")
def plugins():
    """The installed plugins; this one is handed over beside them where it is not installed."""
    found = load_plugins()
    return found if "dihedral" in found.tasks else load_plugins(extra=[grokscope_dihedral])


def test_labels_are_the_composition():
    task = dihedral.build(n=5)
    corners = torch.arange(5)

    def moved(symmetry, corners):
        turn, mirrored = symmetry % 5, symmetry // 5
        return ((-corners if mirrored else corners) + turn) % 5

    for (a, b), label in zip(task.inputs.tolist(), task.labels.tolist(), strict=True):
        assert torch.equal(moved(label, corners), moved(a, moved(b, corners)))


def test_it_does_not_commute_and_does_not_say_so():
    task = dihedral.build(n=3)
    table = task.labels.view(6, 6)  # row a, column b
    assert not table.equal(table.T)
    assert not task.symmetric


def test_the_network_reads_pairs():
    task = dihedral.build(n=3)
    assert bilinear.build(task, width=8)(task.inputs).shape == (36, 6)


def test_it_groks_and_is_measured_as_any_other(plugins, tmp_path):
    assert plugins.problems == []
    settings = {
        "model.name": "bilinear",
        "training.lr": 0.01,
        "training.weight_decay": 1.0,
        "training.steps": 1000,
        "training.log_every": 25,
    }
    known = {"tasks": plugins.tasks, "models": plugins.models}
    run = train("dihedral", settings=settings, out=tmp_path / "run", **known)
    assert run.memorisation_step() < 100 < run.grokking_step()
    results = analyze(run, "fit,oinfo,effective_rank", steps="last", plugins=plugins)
    assert not results.failures
    assert results.columns["fit.test_accuracy"][0] > 0.95
