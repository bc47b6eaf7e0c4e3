"""Run with `pytest` once grokscope and this plugin are installed."""

from itertools import permutations

import pytest

import grokscope_permutation
from grokscope import analyze, load_plugins, train
from grokscope_permutation import bilinear, permutation


@pytest.fixture(scope="module")
def plugins():
    """The installed plugins; this one is handed over beside them where it is not installed."""
    found = load_plugins()
    return found if "permutation" in found.tasks else load_plugins(extra=[grokscope_permutation])


def test_labels_are_the_composition():
    task = permutation.build(n=3)
    elements = list(permutations(range(3)))
    for (a, b), label in zip(task.inputs.tolist(), task.labels.tolist(), strict=True):
        assert elements[label] == tuple(elements[a][i] for i in elements[b])


def test_it_does_not_commute_and_does_not_say_so():
    task = permutation.build(n=3)
    table = task.labels.view(6, 6)  # row a, column b
    assert not table.equal(table.T)
    assert not task.symmetric


def test_the_network_reads_pairs():
    task = permutation.build(n=3)
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
    run = train("permutation", settings=settings, out=tmp_path / "run", **known)
    assert run.memorisation_step() < 100 < run.grokking_step()
    results = analyze(run, "fit,oinfo,effective_rank", steps="last", plugins=plugins)
    assert not results.failures
    assert results.columns["fit.test_accuracy"][0] > 0.95
