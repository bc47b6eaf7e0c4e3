"""A chain of Linear and ReLU is recognised by what it computes, and nothing else is, whatever it says."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope import Network, relu_chain
from grokscope.models.mlp import MLP
from grokscope.testing import example_probe

IN, OUT = 12, 5


class Sly(Network):
    """Calls itself an mlp, and does what it is told between its layers."""

    kind = "mlp"
    hidden = ("layers.0_post", "layers.1_post")
    outputs = OUT

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], bias: bool = True) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(fan_in, fan_out, bias=bias) for fan_in, fan_out in ((IN, 8), (8, 8), (8, OUT))
        )
        self.between = between

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self.layers[0](encoded.flatten(1))
        named, pre = {"first": first}, first
        for index, layer in enumerate(list(self.layers)[1:]):
            post = self.between(pre)
            named |= {f"layers.{index}_pre": pre, f"layers.{index}_post": post}
            pre = layer(post)
        return {**named, "logits": pre}


def inputs(scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(10, IN, generator=torch.Generator().manual_seed(3))


class Relu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp_min(0)


@pytest.mark.parametrize(
    "between", [F.relu, torch.relu, nn.ReLU(), Relu(), lambda x: F.relu(F.dropout(x, 0.0))]
)
@pytest.mark.parametrize("bias", [True, False])
def test_relu_however_it_is_written(between: Callable, bias: bool) -> None:
    network = Sly(between, bias).eval()
    found = relu_chain(network, inputs())
    assert found is not None
    assert found.whole
    assert found.hidden == network.hidden
    for (weight, offset), layer in zip(found.layers, network.layers, strict=True):
        assert torch.equal(weight, layer.weight)
        assert (offset is None) == (not bias)


@pytest.mark.parametrize(
    "between",
    [
        torch.tanh,
        F.gelu,
        F.silu,
        F.elu,
        F.relu6,
        lambda x: x,
        lambda x: F.leaky_relu(x, 1e-6),
        lambda x: F.softplus(x, 1000),
        lambda x: x.relu() + 1e-6 * x.tanh(),
        lambda x: x.relu() * x.relu(),
        lambda x: F.layer_norm(x, x.shape[1:]).relu(),
        lambda x: (x - x.mean(dim=0)).relu(),
    ],
    ids=[
        "tanh",
        "gelu",
        "silu",
        "elu",
        "relu6",
        "none",
        "leaky",
        "softplus",
        "skip",
        "square",
        "norm",
        "batch",
    ],
)
@pytest.mark.parametrize("weights", ["drawn", "zero", "dead", "nan", "large"])
def test_everything_else_is_not_a_chain(between: Callable, weights: str) -> None:
    """Also where the weights would hide it: all zero, dead first layer, not finite, saturated."""
    network = Sly(between).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if weights == "dead" and name.startswith("layers.0"):
                parameter.fill_(-1.0 if name.endswith("bias") else 0.0)
            if weights in ("zero", "nan", "large"):
                parameter.mul_({"zero": 0.0, "nan": float("nan"), "large": 1e4}[weights])
    assert relu_chain(network, inputs()) is None


def test_relu_with_weights_that_hide_it_is_a_chain_all_the_same() -> None:
    for factor in (0.0, float("nan"), 1e4):
        network = Sly(F.relu).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(factor)
        assert relu_chain(network, inputs()) is not None


def test_hidden_layers_must_be_what_they_are_called() -> None:
    network = Sly(F.relu).eval()
    network.hidden = ("layers.0_pre", "layers.1_post")
    assert relu_chain(network, inputs()) is None
    network.hidden = ("layers.1_post",)
    assert relu_chain(network, inputs()) is None


def test_a_weight_used_twice_is_not_whole() -> None:
    network = Sly(F.relu).eval()
    network.layers[1].weight = nn.Parameter(torch.randn(8, 8))
    network.layers.insert(1, network.layers[1])
    network.hidden = ("layers.0_post", "layers.1_post", "layers.2_post")
    found = relu_chain(network, inputs())
    assert found is not None
    assert not found.whole


def test_weights_made_of_parameters_are_not_whole() -> None:
    network = Sly(F.relu).eval()
    nn.utils.parametrizations.weight_norm(network.layers[1])
    found = relu_chain(network, inputs())
    assert found is not None
    assert not found.whole


def test_images_are_flattened_and_embeddings_are_parameters_before() -> None:
    network = Sly(F.relu).eval()
    assert relu_chain(network, inputs().unflatten(1, (3, 4))) is not None
    network.tok = nn.Embedding(5, 4)
    assert not relu_chain(network, inputs().unflatten(1, (3, 4))).whole


def test_the_network_is_left_alone() -> None:
    probe = example_probe("mlp")
    before = {name: value.clone() for name, value in probe.model.state_dict().items()}
    assert probe.relu_chain().whole
    assert all(torch.equal(before[name], value) for name, value in probe.model.state_dict().items())
    assert probe.relu_chain() is probe.relu_chain()
    assert example_probe("transformer").relu_chain() is None
    assert example_probe("lstm").relu_chain() is None
    assert relu_chain(MLP(inputs=4, hidden=[3], outputs=2), torch.zeros(0, 4)) is None


def test_what_cannot_be_tried_has_no_proof() -> None:
    def fussy(values: torch.Tensor) -> torch.Tensor:
        if values.dtype == torch.float64:
            raise KeyError("float32 only")
        return values.relu()

    assert relu_chain(Sly(fussy).eval(), inputs()) is None


def test_linear_from_a_layer_on() -> None:
    network = Sly(torch.tanh).eval()
    assert network.hidden[-1] == "layers.1_post"
    probe = example_probe("transformer")
    slope = probe.weights["unembed.weight"] @ probe.weights["blocks.0.mlp.W_out"]
    assert probe.is_linear_in("blocks.0.mlp_post", slope)
    assert not probe.is_linear_in("blocks.0.mlp_post", 1.001 * slope)
    assert not probe.is_linear_in("blocks.0.mlp_post", slope[:-1])
    assert not probe.is_linear_in("blocks.0.mlp_pre", slope)
    assert not probe.is_linear_in("first", torch.zeros(probe.model.outputs, 32))
