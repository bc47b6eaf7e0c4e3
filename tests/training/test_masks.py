"""A masked unit is not there: exactly zero from the first step to the last, whatever is done beside it."""

import math

import pytest
import torch

from grokscope.errors import SettingError
from grokscope.models.factories import mlp
from grokscope.models.network import Network
from grokscope.tasks import modadd
from grokscope.training.units import Subnetwork, UnitDropout

MASKED = [0, 3, 4, 11]


def places(weights, model):
    """The masked entries: to, bias of, and from the units."""
    if model == "mlp":
        names = ("layers.0.weight", "layers.0.bias", "layers.1.weight")
    else:
        names = ("blocks.0.mlp.W_in", "blocks.0.mlp.b_in", "blocks.0.mlp.W_out")
    into, bias, out = (weights[name] for name in names)
    return torch.cat([into[MASKED].reshape(-1), bias[MASKED], out[:, MASKED].reshape(-1)])


EVERYTHING = {
    "training__perturb": "0.5,0.1",
    "training__abelian": 1,
    "training__anti_norm": 1e-4,
    "training__dropout": 0.2,
    "training__dropped_units": [1, 2],
    "training__grokfast_ema": "0.9,2",
    "training__orthogonal_gradient": "tensor",
    "training__constrain_norm": "all",
}


@pytest.mark.parametrize("beside", [{}, EVERYTHING], ids=["alone", "with all others"])
@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_masked_units_stay_exactly_zero(trainer, model, beside):
    settings = {**beside, "training__masked_units": MASKED, "training__checkpoint_every": "1"}
    run = trainer(model=model, **settings)
    last = run.weights(run.steps[-1])
    for step in run.steps:
        assert not places(run.weights(step), model).any()
    free = [unit for unit in range(12) if unit not in MASKED]
    into = last["layers.0.weight" if model == "mlp" else "blocks.0.mlp.W_in"]
    assert (into[free] != 0).all()
    assert all(value.isfinite().all() for value in last.values())


def test_a_mask_outlasts_whatever_is_done_to_its_weights():
    network = mlp.build(modadd.build(p=11), hidden=[12], last_bias=False).double()
    mask = Subnetwork(network, MASKED, None)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(math.nan)
            weight.grad = torch.ones_like(weight)
    mask.change_gradients()
    mask.change_weights()
    named = dict(network.named_parameters())
    assert not places(named, "mlp").any()
    assert not places({name: weight.grad for name, weight in named.items()}, "mlp").any()
    assert sum(int((weight.grad == 0).sum()) for weight in named.values()) == len(places(named, "mlp"))


def test_the_other_units_start_as_without_a_mask(trainer):
    whole, masked = trainer("whole", stop_at=0), trainer("masked", stop_at=0, training__masked_units=MASKED)
    expected = {name: value.clone() for name, value in whole.weights(0).items()}
    expected["layers.0.weight"][MASKED] = 0
    expected["layers.0.bias"][MASKED] = 0
    expected["layers.1.weight"][:, MASKED] = 0
    found = masked.weights(0)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"masked_units": [12]}, "must leave some of the units 0 to 11 of layers.0_post"),
        ({"masked_units": list(range(12))}, "must leave some of the units"),
        ({"masked_units": [1], "masked_layer": "layers.7_post"}, "training.masked_layer must be one of"),
        ({"dropped_units": [12]}, "training.dropped_units must leave some of the units 0 to 11"),
        ({"dropped_units": [1], "dropped_layer": "x"}, "training.dropped_layer must be one of"),
    ],
)
def test_impossible_masks_write_nothing(trainer, settings, words):
    with pytest.raises(SettingError) as caught:
        trainer(**{f"training__{name}": value for name, value in settings.items()})
    assert words in str(caught.value)
    assert not (trainer.folder / "run").exists()


def test_a_network_without_hidden_layers_has_no_units():
    class Linear(Network):
        kind, hidden = "linear", ()

    with pytest.raises(SettingError, match=r"training\.masked_units must be left out with model linear"):
        Subnetwork(Linear(), [1], None)
    with pytest.raises(SettingError, match=r"training\.dropped_units must be left out with model linear"):
        UnitDropout(Linear(), [1], None, 0.5)


def test_a_layer_can_be_chosen(trainer):
    run = trainer(model__hidden=[12, 10], training__masked_units=[2], training__masked_layer="layers.1_post")
    last = run.weights(30)
    assert not last["layers.1.weight"][2].any()
    assert not last["layers.2.weight"][:, 2].any()
    assert (last["layers.0.weight"] != 0).all()
