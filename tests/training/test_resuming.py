"""A resume state is checked before it is used: whatever does not fit the network means starting again."""

import shutil
from pathlib import Path

import pytest
import torch

from grokscope import load_plugins, train
from grokscope.run import Run
from grokscope.training.interventions import interventions
from grokscope.training.loop import Loop, digest
from grokscope.training.session import build

TRAINED = Path(__file__).parent.parent / "run/data/trained"


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped at step 13, its loop, its resume state, and what is said."""
    run = Run.open(shutil.copytree(TRAINED, tmp_path / "run"))
    plugins = load_plugins()
    task, network = build(run.config, plugins.tasks, plugins.models)
    told = []
    beside = interventions(run.config["training"], task, network)
    loop = Loop(run, task, network, beside, progress=lambda _: None, stop=lambda: False, notify=told.append)
    return run, loop, *run.load_resume(), told


def other_shape(tensor):
    return torch.zeros((*tensor.shape, 2), dtype=tensor.dtype)


def other_type(tensor):
    return tensor.to(torch.float16 if tensor.dtype != torch.float16 else torch.float32)


def empty(tensor):
    return tensor.reshape(-1)[:0]


def one_more(tensor):
    return torch.cat([tensor.reshape(-1), tensor.reshape(-1)[:1]])


def refused(stopped, tensors, metadata):
    run, loop, _, _, told = stopped
    told.clear()
    run.save_resume(tensors, metadata)
    assert loop._resumable() is None
    (sentence,) = told
    assert sentence.startswith("the resume state cannot be used (")
    assert "training starts again from step 0" in sentence
    return sentence


def test_as_it_was_written_it_is_used(stopped):
    _, loop, _, _, told = stopped
    found = loop._resumable()
    assert (found.step, told) == (13, [])
    assert found.optimizer.keys() == {"layers.0.weight", "layers.1.weight"}


@pytest.mark.parametrize("change", [other_shape, other_type, empty, one_more])
def test_every_tensor_must_be_shaped_and_typed_as_the_network_asks(stopped, change):
    _, _, tensors, metadata, _ = stopped
    for name, tensor in tensors.items():
        changed = change(tensor)
        if name == "curve" and changed.shape == tensor.shape and changed.dtype == tensor.dtype:
            continue
        refused(stopped, {**tensors, name: changed}, metadata)


def test_every_tensor_must_be_there(stopped):
    _, _, tensors, metadata, _ = stopped
    for name in tensors:
        refused(stopped, {other: value for other, value in tensors.items() if other != name}, metadata)
    refused(stopped, {}, metadata)


@pytest.mark.parametrize("step", ["", "x", "-1", "17", "9" * 30, "1e1", "²", "12"])
def test_its_step_must_be_one_of_the_run(stopped, step):
    _, _, tensors, metadata, _ = stopped
    refused(stopped, tensors, {**metadata, "step": step})


def test_it_must_name_the_weights_that_it_belongs_to(stopped):
    _, _, tensors, metadata, _ = stopped
    refused(stopped, tensors, {**metadata, "weights": "0" * 64})
    refused(stopped, tensors, {name: word for name, word in metadata.items() if name != "weights"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer.layers.0.weight.step", torch.tensor(99.0)),
        ("optimizer.layers.0.weight.step", torch.tensor(float("nan"))),
        ("order.position", torch.tensor(-1)),
        ("order.generator", torch.zeros(5056, dtype=torch.uint8)),
        ("torch.cpu", torch.full((5056,), 255, dtype=torch.uint8)),
        ("curve", torch.full((2, 5), float("nan"), dtype=torch.float64)),
        ("curve", torch.full((2, 5), -1.0, dtype=torch.float64)),
        ("curve", torch.full((2, 5), 0.5, dtype=torch.float64)),
    ],
)
def test_values_that_no_training_leaves_are_refused(stopped, name, value):
    _, _, tensors, metadata, _ = stopped
    assert tensors[name].dtype == value.dtype
    refused(stopped, {**tensors, name: value}, metadata)


def test_a_checkpoint_of_another_network_is_refused(stopped):
    run, _, tensors, metadata, _ = stopped
    for weights in (
        {**run.weights(13), "layers.1.weight": torch.zeros(6, 5)},
        {**run.weights(13), "more": torch.zeros(1)},
        {name: value.double() for name, value in run.weights(13).items()},
    ):
        run.save_checkpoint(13, weights, {})
        assert "the checkpoint's" in refused(stopped, tensors, {**metadata, "weights": digest(weights)})


def test_training_starts_again_and_ends_as_ever(stopped, tmp_path):
    run, _, tensors, metadata, _ = stopped
    run.save_resume({**tensors, "optimizer.layers.0.weight.exp_avg": torch.zeros(1)}, metadata)
    settings = {
        f"{table}.{name}": value
        for table in ("task", "model", "training")
        for name, value in run.config[table].items()
        if (table, name) != ("task", "name")
    }
    told = []
    finished = train("modadd", settings=settings, out=run.path, notify=told.append)
    assert finished.steps[-1] == 16
    assert "must be (6, 10) in torch.float32, got (1,) in torch.float32" in told[0]
