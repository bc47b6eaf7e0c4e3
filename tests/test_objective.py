"""An answer is the largest of finite logits; without one there is no accuracy, wherever it is asked for."""

import math

import pytest
import torch

from grokscope import analyze, objective
from grokscope.builtin import fit
from grokscope.testing import example_probe, probe_of


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("columns", [1, 4])
def test_one_logit_that_is_not_finite_takes_the_accuracy(bad, columns):
    logits, labels = torch.randn(9, columns), torch.zeros(9, dtype=torch.long)
    right = objective.accuracy(logits, labels)
    assert 0 <= right <= 1
    logits[4, -1] = bad
    assert math.isnan(objective.accuracy(logits, labels))
    assert objective.predictions(logits)[4] == -1
    assert (objective.predictions(logits)[[0, 1, 2, 3, 5, 6, 7, 8]] >= 0).all()


def test_no_examples_no_accuracy():
    assert math.isnan(objective.accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)))


def test_the_other_split_keeps_its_accuracy():
    """Weights so large that float32 overflows, which only test examples read."""
    probe = example_probe("mlp")
    task = probe.task
    task = type(task)(**{**vars(task), "train": task.train[task.inputs[task.train].ne(0).all(dim=1)]})
    with torch.no_grad():
        probe.model.layers[0].weight[:, 0] = 3e38  # the first operand is 0
    found = fit.collect(fit(probe_of(probe.model, task)))[0].values
    assert math.isnan(found["test_accuracy"])
    assert math.isnan(found["test_loss"])
    assert found["train_accuracy"] == example_accuracy(task)
    assert math.isfinite(found["train_loss"])


def example_accuracy(task):
    return probe_of(example_probe("mlp").model, task).accuracy("train")


def test_a_curve_of_training_has_none(tmp_path, monkeypatch):
    """Test logits that overflow while the training ones do not: nothing stops, and nothing is believed."""
    from grokscope import train
    from grokscope.models.mlp import MLP

    forward = MLP.forward

    def broken(self, inputs):
        logits = forward(self, inputs)
        return logits.masked_fill(inputs[:, :1] == 3, math.nan) if not self.training else logits

    settings = {"task.p": 7, "training.steps": 2, "training.checkpoint_every": "1", "task.split": "python"}
    plain = train("modadd", settings=settings, out=tmp_path / "plain")
    assert all(math.isfinite(value) for value in plain.curves["test_accuracy"])
    monkeypatch.setattr(MLP, "forward", broken)
    monkeypatch.setattr("grokscope.training.loop.Loop._refuse_infinite", lambda *arguments: None)
    run = train("modadd", settings={**settings, "seed": 1}, out=tmp_path / "run")
    assert all(math.isnan(value) for value in run.curves["test_accuracy"])
    assert math.isnan(run.checkpoints[-1].train_accuracy)
    assert run.grokking_step() is None
    monkeypatch.undo()
    assert math.isfinite(analyze(run, "fit", steps="last").columns["fit.test_accuracy"][0])


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("ties", [False, True])
def test_accuracy_is_the_share_of_predictions_that_are_right(outputs, ties):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, outputs, generator=generator)
    logits = logits.round() if ties else logits  # of equal ones the first is the answer, and no other
    labels = torch.randint(max(2, outputs), (40,), generator=generator)
    for labelled in (labels, labels - 1, labels + 1):  # what is no class is never right
        share = (objective.predictions(logits) == labelled).double().mean().item()
        assert objective.accuracy(logits, labelled) == share
    assert math.isnan(objective.accuracy(logits[:0], labels[:0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_predictions_are_the_first_of_the_largest(dtype):
    """Of whichever numbers, and of as many rows as are looked at in several parts."""
    logits = torch.randn(600, 5, generator=torch.Generator().manual_seed(0)).mul(2).round().to(dtype)
    wanted = [row.index(max(row)) for row in logits.tolist()]
    assert objective.predictions(logits).tolist() == wanted
    assert objective.predictions(logits[:0]).tolist() == []
