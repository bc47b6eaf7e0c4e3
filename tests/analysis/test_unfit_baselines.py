"""A last checkpoint that nothing can be compared with takes a measure from no other step."""

import math
import shutil
import types

import pytest
import torch

from grokscope import (
    Column,
    Run,
    UnfitBaseline,
    analyze,
    analyze_many,
    hookimpl,
    load_plugins,
    measure,
    train,
)
from grokscope.run.kinds import kinds_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings = {
        "task.p": 13,
        "model.hidden": [24],
        "training.steps": 40,
        "training.checkpoint_every": "10",
    }
    return train("modadd", settings=settings, out=tmp_path_factory.mktemp("trained") / "run").path


@pytest.fixture
def run_path(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def spoil(path, step, change, loss=None):
    """Replace the checkpoint at `step` by one whose weights `change` has changed."""
    from grokscope.analysis.engine import Bench

    run, plugins = Run.open(path), load_plugins()
    kinds = kinds_of(Bench(run, plugins.tasks, plugins.models)._template)
    info = next(info for info in run.checkpoints if info.step == step)
    metrics = {name: getattr(info, name) for name in ("train_loss", "test_loss")}
    weights = {name: change(value) for name, value in run.weights(step).items()}
    run.save_checkpoint(step, weights, metrics if loss is None else {"train_loss": loss}, kinds=kinds)


def keys(path, **options):
    results = analyze(path, "fourier", settings={"fourier.keys": 2}, **options)
    return results, results.columns["fourier.excluded_loss"]


@pytest.mark.parametrize(
    ("change", "loss", "reason"),
    [
        (lambda value: value * math.nan, None, "its logits are not finite"),
        (lambda value: value * math.nan, math.nan, "its loss is not finite"),
        (torch.zeros_like, None, "its logits have no frequency"),
    ],
    ids=["nan", "nan that is known", "dead"],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_newest_sound_checkpoint_gives_the_keys(run_path, change, loss, reason, workers, monkeypatch):
    monkeypatch.setattr("grokscope.analysis.session.CHECKPOINTS_PER_WORKER", 1)
    for step in (30, 40):
        spoil(run_path, step, change, loss)
    expected = [math.nan] * 5
    _, values = keys(run_path, baseline="20")
    expected[: len(values)] = values
    results, found = keys(run_path, workers=workers)
    assert found[:3] == expected[:3]
    assert results.messages == (
        "fourier is compared with step 20, the newest that can be compared with; "
        f"step 40: {reason} (and at 1 more step)",
    )
    assert {failure.step for failure in results.failures} == (
        {30, 40} if reason != "its logits have no frequency" else set()
    )
    again, same = keys(run_path)
    assert again.computed == 0
    assert (again.messages, same) == (results.messages, found)
    assert results.notes == {}


def test_an_unfit_checkpoint_that_was_asked_for_is_said(run_path):
    spoil(run_path, 40, torch.zeros_like)
    results = analyze(run_path, "fourier", baseline="40")
    assert results.notes == {"fourier": "its baseline is unfit: its logits have no frequency"}
    assert results.failures == ()


def test_where_none_is_fit_it_is_said_once(run_path):
    for step in (0, 10, 20, 30, 40):
        spoil(run_path, step, torch.zeros_like)
    results = analyze(run_path, "fourier,fit")
    assert results.notes == {"fourier": "its baseline is unfit: its logits have no frequency"}
    assert len(results.columns["fit.train_loss"]) == 5
    assert analyze(run_path, "fourier").computed == 0


def test_a_measure_of_ones_own_says_what_is_unfit_and_others_are_not_computed_again(run_path):
    seen, plain = [], []

    @measure(columns=[Column("step", "the baseline's step")], baseline="last")
    def against(probe, baseline):
        """Say what it is compared with."""
        seen.append((probe.step, baseline.step))
        if baseline.step > 20:
            raise UnfitBaseline(f"step {baseline.step} is too late")
        return {"step": baseline.step}

    @measure(columns=[Column("value", "a number")])
    def other(probe):
        """Fail at one step."""
        plain.append(probe.step)
        if probe.step == 10:
            raise ValueError("by design")
        return {"value": 1.0}

    module = types.ModuleType("unfit_plugin")
    module.grokscope_measures = hookimpl(lambda: [against, other])
    module.grokscope_measures.__name__ = "grokscope_measures"
    plugins = load_plugins(extra=[module])
    compared = analyze_many([run_path], "against,other", plugins=plugins)
    results = next(iter(compared.runs.values()))
    assert results.columns["against.step"] == [20.0] * 5
    assert plain == [0, 10, 20, 30, 40]
    assert [failure.step for failure in results.failures] == [10]
    assert {step for step, _ in seen} == {0, 10, 20, 30, 40}
    assert "step 40: step 40 is too late (and at 1 more step)" in results.messages[0]
