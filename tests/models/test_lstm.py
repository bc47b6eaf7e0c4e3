import dataclasses

import pytest
import torch

from grokscope.errors import SettingError
from grokscope.models.factories import MODELS, lstm
from grokscope.tasks.task import Task

SMALL = {"d_embedding": 4, "d_state": 6}


@pytest.fixture
def task():
    tokens = torch.randint(11, (8, 5))
    half = torch.arange(8)
    return Task("words", "text", tokens, tokens[:, 0] % 2, 2, half[:4], half[4:], vocabulary=11)


def textbook(network, tokens):
    """Both layers' cells step by step from a zero state."""
    states = []
    inputs = network.embedding.weight[tokens]
    for layer in (0, 1):
        w_ih, w_hh, b_ih, b_hh = (
            getattr(network.lstm, f"{name}_l{layer}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        h = c = torch.zeros(len(tokens), w_hh.shape[1], dtype=inputs.dtype)
        outputs = []
        for x in inputs.unbind(1):
            i, f, g, o = (x @ w_ih.T + b_ih + h @ w_hh.T + b_hh).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        states.append(h)
        inputs = torch.stack(outputs, dim=1)
    return states, states[-1] @ network.head.weight.T + network.head.bias


def test_states_and_logits_are_the_cells_step_by_step(task):
    network = lstm.build(task, **SMALL).double()
    encoded = network.encode(task.inputs)
    trace = network.trace(encoded)
    states, logits = textbook(network, task.inputs)
    assert network.hidden == ("lstm.0_state", "lstm.1_state")
    for name, state in zip(network.hidden, states, strict=True):
        assert torch.allclose(trace[name], state, atol=1e-12)
    assert torch.allclose(trace["logits"], logits, atol=1e-12)
    assert torch.allclose(network(task.inputs), logits, atol=1e-12)
    assert torch.allclose(trace["first"], encoded.mean(dim=1), atol=1e-14)


def test_two_classes_have_one_logit_and_more_have_one_each(task):
    assert lstm.build(task, **SMALL)(task.inputs).shape == (8, 1)
    five = dataclasses.replace(task, classes=5, labels=task.labels + 3)
    assert lstm.build(five, **SMALL)(task.inputs).shape == (8, 5)


def test_the_documented_sizes_are_the_default(task):
    shapes = {name: tuple(value.shape) for name, value in lstm.build(task).state_dict().items()}
    assert shapes["embedding.weight"] == (11, 64)
    assert shapes["lstm.weight_hh_l1"] == (4 * 256, 256)
    assert shapes["head.weight"] == (1, 256)


def test_vectors_are_refused(task):
    with pytest.raises(SettingError, match="model lstm reads tokens"):
        lstm.build(dataclasses.replace(task, vocabulary=0))


def test_the_built_in_models():
    assert list(MODELS) == ["mlp", "transformer", "lstm", "cnn", "committee", "hf"]
