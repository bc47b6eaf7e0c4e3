"""The committee is Kumar et al.'s network, and training it on numbers is the textbook's gradient descent."""

import math

import pytest
import torch

from grokscope import train
from grokscope.errors import SettingError
from grokscope.models.factories import committee
from grokscope.tasks import polynomial, xor

SMALL = {"task.dimension": 6, "task.train_size": 20, "task.test_size": 10, "model.name": "committee"}
PLAIN = {"optimizer": "sgd", "momentum": 0, "weight_decay": 0, "lr": 0.3, "dtype": "float64", "seed": 4}


def test_training_is_gradient_descent_on_the_mean_square(tmp_path):
    shape = {"model.units": 5, "model.alpha": 2.0, "model.epsilon": 0.3}
    schedule = {"steps": 6, "checkpoint_every": "6", "log_every": 3}
    run = train("polynomial", settings={**SMALL, **PLAIN, **shape, **schedule, "loss": "mse"}, out=tmp_path)
    task = polynomial.build(dimension=6, train_size=20, test_size=10)
    weight, (x, y) = run.weights(0)["weight"].clone().requires_grad_(), task.examples("train")
    for _ in range(6):
        h = x.double() @ weight.T
        risk = (2.0 * (h + 0.15 * h * h).mean(1) - y[:, 0]).square().mean()
        (slope,) = torch.autograd.grad(risk, weight)
        weight = (weight - 0.3 * slope).detach().requires_grad_()
    assert (run.weights(6)["weight"] - weight).abs().max() < 1e-12
    assert run.curves["train_loss"][-1] < run.curves["train_loss"][0]
    assert all(map(math.isnan, run.curves["test_accuracy"]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "cross_entropy"}, "the loss must be mse"),
        ({"loss": "mse", "perturb": "0.5,0.4"}, "training.perturb must be left out on task polynomial"),
        ({"loss": "mse", "init_zero": "last_layer"}, "its last layer has no weights"),
    ],
)
def test_what_numbers_and_the_committee_do_not_have_is_refused(tmp_path, settings, words):
    with pytest.raises(SettingError) as caught:
        train("polynomial", settings={**SMALL, **settings}, out=tmp_path / "run")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_classes_are_not_for_the_committee():
    with pytest.raises(SettingError, match=r"got task xor of 2 outputs; use model\.name=mlp"):
        committee.build(xor.build(dimension=2, train_size=2, test_size=2))
