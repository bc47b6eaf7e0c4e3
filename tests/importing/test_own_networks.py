"""Networks and data of one's own are imported by the name of their factory."""

import re

import pytest
import torch

from grokscope import Run, analyze
from grokscope.errors import (
    PluginError,
    SettingError,
    UsageError,
)


def test_where_data_lies_is_kept_apart(own, bring, tmp_path):
    run = bring(task="my_nets.small:stored", model="my_nets.small:line", settings={"data_dir": "/data"})
    assert run.config["task"] == {"name": "my_nets.small:stored", "data_sha256": "ab" * 32}
    assert run.config["local"] == {"data_dir": "/data"}
    assert "local" in (run.path / "run.toml").read_text()


OWN = """
from typing import Annotated
import torch
from grokscope import Network, Param, Task, model, task

class Line(Network):
    kind, hidden, outputs = "line", (), 2
    def __init__(self, width):
        super().__init__()
        self.layer = torch.nn.Linear(width, 2)
    def encode(self, inputs):
        return inputs
    def trace(self, encoded):
        return {"first": encoded, "logits": self.layer(encoded)}

@task
def signs(*, width: Annotated[int, Param("numbers per example", min=1)] = 3):
    inputs = torch.linspace(-1, 1, 10 * width).reshape(10, width)
    labels = (inputs.sum(1) > 0).long()
    return Task("signs", "other", inputs, labels, 2, torch.arange(4), torch.arange(4, 10))

@task
def stored(
    *,
    data_dir: Annotated[str, Param("where", local=True)] = "",
    data_sha256: Annotated[str, Param("digest")] = "",
):
    import dataclasses
    made = signs.build()
    return dataclasses.replace(made, data_sha256="ab" * 32, data_dir=data_dir)

@model
def line(task):
    return Line(task.inputs.shape[1])

@model
def broken(task):
    made = Line(task.inputs.shape[1])
    made.trace = lambda encoded: 1 / 0
    return made

@model
def nothing(task):
    return torch.nn.Linear(1, 1)

def number(task):
    return 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package of the user's with a task and networks, and a checkpoint for them."""
    (tmp_path / "user_env/my_nets").mkdir(parents=True)
    (tmp_path / "user_env/my_nets/__init__.py").write_text("")
    (tmp_path / "user_env/my_nets/small.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "user_env")
    torch.manual_seed(0)
    for step in (0, 5, 10, 15):
        torch.save({"layer.weight": torch.randn(2, 3), "layer.bias": torch.zeros(2)}, tmp_path / f"{step}.pt")
    yield
    import sys

    for name in ("my_nets", "my_nets.small"):
        sys.modules.pop(name, None)


def test_networks_and_data_of_one_s_own(own, bring, tmp_path):
    run = bring(task="my_nets.small:signs", model="my_nets.small:line", settings={"task.width": 3})
    assert run.config["task"] == {"name": "my_nets.small:signs", "width": 3}
    own_code = {"model": "my_nets.small:line", "data": "my_nets.small:signs"}
    results = analyze(Run.open(run.path), "fit,weight_norm", **own_code)
    assert results.failures == ()
    for info, loss in zip(run.checkpoints, results.columns["fit.test_loss"], strict=True):
        assert info.test_loss == pytest.approx(loss, rel=1e-6)
    assert analyze(Run.open(run.path), "fit", refresh=True, workers=1, trust=True).computed == 4


def test_one_s_own_that_are_not_there_when_measured(own, bring, tmp_path, monkeypatch):
    import sys

    run = bring(task="my_nets.small:signs", model="my_nets.small:line", settings={})
    for name in ("my_nets", "my_nets.small"):
        sys.modules.pop(name)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "user_env" not in str(path)])
    for name, has in (("data", "my_nets.small:signs"), ("model", "my_nets.small:line")):
        with pytest.raises(
            UsageError, match=f"`{name}` must repeat a name that the run has, {has}; got no:such"
        ):
            analyze(run, "fit", trust=True, **{name: "no:such"})
    results = analyze(Run.open(run.path), "fit", steps="last", trust=True)
    assert re.search(
        r"task my_nets\.small:signs cannot be imported \(ModuleNotFoundError: .*in the current folder",
        results.failures[0].message,
    )


def test_a_network_that_cannot_be_run_has_no_losses(own, bring, tmp_path):
    run = bring(task="my_nets.small:signs", model="my_nets.small:broken", settings={})
    assert len(bring.told) == 1
    assert re.search(r"the network cannot be run, .*ZeroDivisionError", bring.told[0])
    assert all(info.test_loss != info.test_loss for info in run.checkpoints)
    assert run.grokking_step() is None


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("my_nets.small:nothing", r"model nothing: the network cannot be run on its data \(RuntimeError"),
        ("my_nets.small:number", r"must make a grokscope\.Network or a torch\.nn\.Module, got int"),
        ("my_nets.small:signs", r"is declared as a task: it must be made by @grokscope\.model"),
        ("my_nets.small:none", "cannot be imported .*AttributeError"),
        ("os:system", "its arguments must have defaults, got command without"),
        ("os:path", "cannot be made: TypeError"),
    ],
)
def test_other_things_are_no_factories(own, bring, tmp_path, model, words):
    with pytest.raises(PluginError, match=words):
        bring(task="my_nets.small:signs", model=model, settings={})
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("path", ["a/b:c", "a:b.c", ":c", "a:", "a b:c", "..a:b"])
def test_a_factory_s_name_is_no_path(own, bring, path):
    with pytest.raises(SettingError, match=r"model must be a name, or package\.module:factory"):
        bring(task="my_nets.small:signs", model=path, settings={})


def test_transitions_come_from_the_losses_computed_here(own, bring, tmp_path):
    right = {"layer.weight": torch.tensor([[-1.0] * 3, [1.0] * 3]), "layer.bias": torch.zeros(2)}
    wrong = {"layer.weight": -right["layer.weight"], "layer.bias": torch.zeros(2)}
    for step in range(0, 20, 5):
        torch.save(right if step else wrong, tmp_path / f"{step}.pt")
    run = bring(task="my_nets.small:signs", model="my_nets.small:line", settings={"training.lr": 0.1})
    assert (run.memorisation_step(), run.grokking_step()) == (5, 5)
    assert run.config["training"] == {
        "loss": "cross_entropy",
        "seed": 0,
        "lr": 0.1,
        "dtype": "float32",
        "steps": 15,
    }
