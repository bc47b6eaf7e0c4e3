"""Dropout acts in both forward passes, keeps the mean, and is off where a network is measured."""

import pytest
import torch

from grokscope.errors import SettingError
from grokscope.models.factories import lstm, mlp, transformer
from grokscope.models.network import Network
from grokscope.testing import example_task
from grokscope.training.interventions import Dropout
from grokscope.training.units import Subnetwork, UnitDropout

SMALL = [
    (mlp, "modadd", {"hidden": [24]}),
    (transformer, "modadd", {"d_model": 16, "heads": 2, "d_head": 8, "d_mlp": 24}),
    (lstm, "text", {"d_embedding": 8, "d_state": 12}),
]


@pytest.mark.parametrize(("factory", "task", "sizes"), SMALL, ids=["mlp", "transformer", "lstm"])
def test_dropout_is_in_both_forward_passes_and_off_at_evaluation(factory, task, sizes):
    torch.manual_seed(0)
    task = example_task(task)
    network = factory.build(task, **sizes)
    inputs = task.inputs[:32]
    before = network(inputs)
    Dropout(network, 0.3)
    for forward in (network, lambda x: network.trace(network.encode(x))["logits"]):
        network.eval()
        assert torch.allclose(forward(inputs), before, atol=1e-5)
        network.train()
        assert not torch.equal(forward(inputs), forward(inputs))


@pytest.mark.parametrize(("factory", "task", "sizes"), SMALL[:2], ids=["mlp", "transformer"])
def test_dropout_keeps_the_mean(factory, task, sizes):
    """What follows the hidden layer is linear: the mean logits are those without dropout."""
    torch.manual_seed(0)
    task = example_task(task)
    network = factory.build(task, **sizes)
    before = network(task.inputs[:32])
    Dropout(network, 0.3)
    found = torch.stack([network(task.inputs[:32]) for _ in range(400)])
    assert ((found.mean(0) - before).abs() < 5 * found.std(0) / 20 + 1e-6).all()


def test_a_network_without_dropout_or_masks_refuses_them():
    class Own(Network):
        kind, hidden, outputs = "own", ("a_post",), 2

        def encode(self, inputs):
            return inputs

        def trace(self, encoded):
            return {"logits": encoded}

    with pytest.raises(SettingError, match=r"training\.dropout must be left out with model own"):
        Dropout(Own(), 0.3)
    for network in (Own(), lstm.build(example_task("text"))):
        with pytest.raises(SettingError, match=r"does not say which those are \(Network\.unit_weights\)"):
            Subnetwork(network, [0], None)
        with pytest.raises(SettingError, match=r"does not say which those are \(Network\.unit_weights\)"):
            UnitDropout(network, [0], None, 0.5)


@pytest.mark.parametrize("layers", [1, 2])
def test_dropped_units_are_those_of_their_layer_in_both_forward_passes(layers):
    torch.manual_seed(0)
    task = example_task("modadd")
    network = transformer.build(
        task, d_model=16, heads=2, d_head=8, d_mlp=24, layers=layers, activation="gelu"
    )
    layer = network.hidden[-1]
    seen = []
    plainly = network.dropped
    object.__setattr__(network, "dropped", lambda values: seen.append(plainly(values)) or seen[-1])
    UnitDropout(network, [1, 5], layer, 0.5)
    inner, found = network.dropped, []
    object.__setattr__(network, "dropped", lambda values: found.append(inner(values)) or found[-1])
    for forward in (network, lambda x: network.trace(network.encode(x))["logits"]):
        for training in (True, False):
            network.train(training)
            seen.clear(), found.clear()
            forward(task.inputs[:32])
            changed = [
                (before != after).flatten(0, -2).any(0) for before, after in zip(seen, found, strict=True)
            ]
            where = [torch.nonzero(units)[:, 0].tolist() for units in changed]
            assert where == [*[[]] * (layers - 1), [1, 5] if training else []]
