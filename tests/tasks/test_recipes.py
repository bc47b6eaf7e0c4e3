"""The recipes of the tasks that are no modular arithmetic have the settings that were published."""

import pytest
import torch

from grokscope.models import MODELS
from grokscope.tasks import TASKS
from grokscope.training.config import resolve_config
from grokscope.training.session import build

OMNIGROK = {
    "lr": 1e-3,
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "weight_decay": 0.01,
    "loss": "mse",
    "init_scale": 8.0,
}


def settings(recipe, task):
    return resolve_config(task, recipe=recipe)


@pytest.mark.parametrize(("recipe", "test", "batch"), [("mnist", 10_000, 200), ("mnist-golechha", 1000, 0)])
def test_mnist(recipe, test, batch):
    config = settings(recipe, "mnist")
    assert (config["task"]["train_size"], config["task"]["test_size"]) == (1000, test)
    assert config["model"] == {"name": "mlp", "hidden": [200, 200], "last_bias": True}
    assert OMNIGROK.items() <= config["training"].items()
    assert (config["training"]["batch_size"], config["training"]["steps"]) == (batch, 100_000)


def test_mnist_begins_at_the_published_weight_norm(mnist_folder):
    given = {"task.data_dir": str(mnist_folder()), "task.train_size": 50, "task.test_size": 40}
    config = resolve_config("mnist", settings={**given, "training.batch_size": 0})
    torch.manual_seed(0)
    _, network, _ = build(config, TASKS, MODELS)
    norm = sum(weight.square().sum() for weight in network.parameters()).sqrt().item()
    assert norm == pytest.approx(93.7, abs=0.3)


def test_digits():
    config = settings("digits", "digits")
    assert config["task"]["train_size"] == 200
    assert config["model"]["hidden"] == [200, 200]
    training = config["training"]
    assert (training["loss"], training["lr"], training["init_scale"]) == ("mse", 1e-3, 8.0)


def test_imdb():
    config = settings("imdb", "imdb")
    task = config["task"]
    assert [task[name] for name in ("train_size", "test_size", "words", "length")] == [750, 250, 1000, 500]
    assert config["model"] == {"name": "lstm", "d_embedding": 64, "d_state": 256, "layers": 2}
    training = config["training"]
    assert (training["loss"], training["lr"], training["weight_decay"]) == ("cross_entropy", 3e-4, 1.0)
    assert (training["init_scale"], training["batch_size"], training["clip_norm"]) == (6.0, 50, 5.0)
    assert training["steps"] == 75_000


def test_imdb_has_a_single_logit(csv_folder):
    given = {"task.data_dir": str(csv_folder), "task.train_size": 28, "task.test_size": 12}
    config = resolve_config("imdb", settings={**given, "training.batch_size": 0})
    task, network, _ = build(config, TASKS, MODELS)
    assert network(task.inputs[:2]).shape == (2, 1)
    assert network.embedding.weight.shape == (task.vocabulary, 64)


def test_parity():
    config = settings("parity", "parity")
    assert [config["task"][name] for name in ("n", "k", "train_size")] == [40, 3, 1000]
    assert config["model"]["hidden"] == [1000]
    assert config["training"]["batch_size"] == 32
