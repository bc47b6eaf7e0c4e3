import dataclasses

import pytest
import torch
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.factories import mlp
from grokscope.models.mlp import MLP
from grokscope.tasks import modadd


@pytest.fixture
def task():
    return modadd.build(p=7)


@pytest.fixture
def vectors(task):
    return dataclasses.replace(task, inputs=torch.randn(49, 5), vocabulary=0)


def textbook(network, one_hot):
    """The network as a chain of matrix products."""
    values = one_hot
    for index, layer in enumerate(network.layers):
        values = values @ layer.weight.T + (0 if layer.bias is None else layer.bias)
        if index < len(network.layers) - 1:
            values = values.clamp(min=0)
    return values


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("hidden", [(16,), (16, 9)])
def test_picking_columns_is_multiplying_one_hot_vectors(task, dtype, close, hidden):
    network = mlp.build(task, hidden=hidden, last_bias=False).to(dtype)
    one_hot = torch.cat([torch.eye(7, dtype=dtype)[task.inputs[:, k]] for k in (0, 1)], dim=1)
    results = []
    for logits in (
        network(task.inputs),
        network.trace(network.encode(task.inputs))["logits"],
        network.trace_raw(task.inputs)["logits"],
        textbook(network, one_hot),
    ):
        loss = F.cross_entropy(logits, task.labels)
        results.append((logits, *torch.autograd.grad(loss, list(network.parameters()))))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            assert (one - other).abs().max() < close


def test_a_network_that_traces_or_encodes_otherwise_is_not_picked_for(task):
    class Louder(MLP):
        def encode(self, inputs):
            return 2 * super().encode(inputs)

    network = Louder(inputs=14, hidden=[4], outputs=7, vocabulary=7)
    encoded = network.encode(task.inputs)
    assert torch.equal(network.trace_raw(task.inputs)["logits"], network.trace(encoded)["logits"])
    network.trace = lambda encoded: {"first": encoded}
    assert torch.equal(network.trace_raw(task.inputs)["first"], encoded)


def test_the_first_layer_takes_the_concatenated_one_hot(task):
    encoded = mlp.build(task).encode(torch.tensor([[2, 5]]))
    assert encoded.nonzero()[:, 1].tolist() == [2, 7 + 5]
    assert encoded.shape == (1, 14)


def test_trace_names_every_layer(task):
    network = mlp.build(task, hidden=(6, 4))
    trace = network.trace(network.encode(task.inputs))
    shapes = {name: tuple(value.shape) for name, value in trace.items()}
    assert shapes == {
        "first": (49, 6),
        "layers.0_pre": (49, 6),
        "layers.0_post": (49, 6),
        "layers.1_pre": (49, 4),
        "layers.1_post": (49, 4),
        "logits": (49, 7),
    }
    assert network.hidden == ("layers.0_post", "layers.1_post")
    assert trace["first"] is trace["layers.0_pre"]
    assert torch.equal(trace["layers.1_post"], trace["layers.1_pre"].clamp(min=0))


def test_initialisation_is_pytorchs_default(task):
    torch.manual_seed(3)
    network = mlp.build(task, hidden=(6, 4), last_bias=False)
    torch.manual_seed(3)
    plain = torch.nn.Sequential(
        torch.nn.Linear(14, 6), torch.nn.Linear(6, 4), torch.nn.Linear(4, 7, bias=False)
    )
    expected = {f"layers.{name}": value for name, value in plain.state_dict().items()}
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_vectors_enter_as_they_are(vectors):
    network = mlp.build(vectors, hidden=[8]).double()
    assert torch.equal(network.encode(vectors.inputs), vectors.inputs.double())
    trace = network.trace(network.encode(vectors.inputs))
    assert torch.allclose(network(vectors.inputs), trace["logits"], atol=1e-14)
    assert trace["first"].shape == (49, 8)


@pytest.mark.parametrize("hidden", [[], [0], "eight"])
def test_impossible_layers_are_refused(task, hidden):
    with pytest.raises(SettingError, match=r"mlp\.hidden must"):
        mlp.build(task, hidden=hidden)
