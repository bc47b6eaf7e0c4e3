"""Networks that call themselves `mlp` or `transformer` and are not: no closed form for ReLU is believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope import Network, NotApplicable, load_plugins
from grokscope.measure import Measure
from grokscope.models.mlp import MLP
from grokscope.models.transformer import Transformer
from grokscope.probe import Probe, generator_for
from grokscope.testing import check_measure, example_pair, example_probe, example_task, probe_of

MEASURES = {entry.measure.name: entry.measure for entry in load_plugins().registered}


class Other(MLP):
    """The built-in MLP with another non-linearity; it still says that it is an mlp."""

    between: Callable[[torch.Tensor], torch.Tensor]

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        pre = self.layers[0](encoded)
        named = {"first": pre}
        for index, layer in enumerate(list(self.layers)[1:]):
            post = self.between(pre)
            named |= {f"layers.{index}_pre": pre, f"layers.{index}_post": post}
            pre = layer(post)
        return {**named, "logits": pre}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.trace(self.encode(inputs))["logits"]


def other(between: Callable[[torch.Tensor], torch.Tensor], seed: int = 0, loss: str = "mse") -> Probe:
    task = example_task("images")
    torch.manual_seed(seed)
    network = Other(inputs=20, hidden=[7], outputs=5)
    network.between = between
    return probe_of(network, task, loss=loss)


def rows(measure: Measure, probe: Probe, baseline: Probe | None = None, **options: Any) -> dict[Any, dict]:
    given = {"probe": probe, "weights": probe.weights, "baseline": baseline, "rng": generator_for("tests")}
    outcome = measure(*(given[word] for word in measure.inputs), **options)
    return {row.labels[0] if row.labels else None: dict(row.values) for row in measure.collect(outcome)}


def kernel(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    """The tangent kernel by one gradient per example and logit."""
    jacobians = []
    for x in inputs:
        logits = network.trace(network.encode(x[None]))["logits"][0]
        gradients = [torch.autograd.grad(z, list(network.parameters()), retain_graph=True) for z in logits]
        jacobians.append(torch.cat([torch.cat([g.flatten() for g in row]) for row in gradients]))
    stacked = torch.stack(jacobians).double()
    return stacked @ stacked.T


@pytest.mark.parametrize("between", [torch.tanh, F.gelu, F.relu], ids=["tanh", "gelu", "relu"])
def test_ntk_distance_is_that_of_the_gradients(between: Callable) -> None:
    probe, baseline = other(between, 1), other(between)
    chosen = torch.linspace(0, len(probe.task.train) - 1, 12).long()
    k, k0 = (kernel(p.model.requires_grad_(), p.inputs("train")[chosen]) for p in (probe, baseline))
    expected = 1 - ((k * k0).sum() / (k.norm() * k0.norm())).item()
    found = rows(MEASURES["ntk_distance"], probe, baseline, samples=12)[None]
    assert found["distance"] == pytest.approx(expected, rel=1e-4)
    assert found["relative_change"] == pytest.approx(((k - k0).norm() / k0.norm()).item(), rel=1e-4)


def test_the_relu_form_would_have_given_another_number() -> None:
    """What stood here before: the same weights, read as those of a ReLU network."""
    probe, baseline = other(torch.tanh, 1), other(torch.tanh)
    true = rows(MEASURES["ntk_distance"], probe, baseline, samples=12)[None]["distance"]
    believed = rows(MEASURES["ntk_distance"], other(F.relu, 1), other(F.relu), samples=12)[None]["distance"]
    assert abs(true - believed) > 0.1 * true


@pytest.mark.parametrize("name", ["local_complexity", "input_gradient", "effective_sparsity"])
@pytest.mark.parametrize("between", [torch.tanh, F.gelu, F.leaky_relu], ids=["tanh", "gelu", "leaky"])
def test_what_is_true_of_relu_alone_is_not_asked_of_others(name: str, between: Callable) -> None:
    with pytest.raises(NotApplicable, match="Linear"):
        rows(MEASURES[name], other(between))
    assert rows(MEASURES[name], other(F.relu))


@pytest.mark.parametrize("between", [torch.tanh, F.gelu], ids=["tanh", "gelu"])
def test_sharpness_is_the_hessians_trace(between: Callable) -> None:
    probe = other(between)
    found = rows(MEASURES["sharpness"], probe, accuracy=0.01, max_probes=100)[None]
    assert found["method"].startswith("estimate")
    assert rows(MEASURES["sharpness"], other(F.relu))[None]["method"] == "exact"
    shapes = {name: weight.shape for name, weight in probe.weights.items()}
    wanted = F.one_hot(probe.labels("train"), 5).double()
    model, inputs = probe.model.double(), probe.inputs("train").double()

    def risk(flat: torch.Tensor) -> torch.Tensor:
        pieces = flat.split([shape.numel() for shape in shapes.values()])
        weights = {name: piece.view(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}
        return (
            (torch.func.functional_call(model, weights, (inputs,)) - wanted).square().sum() / 2 / len(inputs)
        )

    flat = torch.cat([weight.double().flatten() for weight in probe.weights.values()])
    trace = torch.autograd.functional.hessian(risk, flat).trace().item()
    assert abs(found["trace"] - trace) < 4 * found["stderr"] + 1e-6


def test_what_has_the_weights_of_two_layers_is_not_differentiated_as_one() -> None:
    """One matrix in two places: the closed forms of kernel and Hessian take each layer's for its own."""
    task = example_task("images")
    torch.manual_seed(0)
    network = MLP(inputs=20, hidden=[20, 20], outputs=5)
    network.layers[1].weight = network.layers[0].weight
    probe = probe_of(network, task, loss="mse")
    assert probe.relu_chain() is not None
    found = rows(MEASURES["ntk_distance"], probe, example_probe("mlp", task="images", loss="mse"), samples=8)
    assert found[None]["samples"] == 8
    chosen = torch.linspace(0, len(task.train) - 1, 8).long()
    from grokscope_geometry.landscape import _ntk

    expected = kernel(network.requires_grad_(), probe.inputs("train")[chosen])
    assert torch.allclose(_ntk(probe, 8), expected, rtol=1e-4)
    assert rows(MEASURES["sharpness"], probe, max_probes=16)[None]["method"].startswith("estimate")


@pytest.mark.parametrize("between", [torch.tanh, F.gelu], ids=["tanh", "gelu"])
def test_negative_activations_are_not_inactive(between: Callable) -> None:
    probe = other(between)
    values = probe.activations("train")["layers.0_post"]
    found = rows(MEASURES["activation_sparsity"], probe)[None]["mean"]
    assert (values < 1e-6).double().mean() > 0.2
    assert found == (values.abs() < 1e-6).double().mean().item() < 0.01


def test_relu_keeps_the_papers_count() -> None:
    probe = other(F.relu)
    values = probe.activations("train")["layers.0_post"]
    found = rows(MEASURES["activation_sparsity"], probe)[None]["mean"]
    assert found == (values < 1e-6).double().mean().item() > 0.2


class Normed(Transformer):
    """A transformer that normalises before its unembedding, with the parameters of ours."""

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        named = super().trace(encoded)
        final = F.layer_norm(named["blocks.0.resid_post"], named["blocks.0.resid_post"].shape[1:])
        return {**named, "logits": F.linear(final, self.unembed.weight)}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.trace(self.encode(inputs))["logits"]


def normed() -> Probe:
    ours = example_probe("transformer", task="modadd23")
    network = Normed(vocabulary=23, length=2, outputs=23, d_model=16, heads=2, d_head=8, d_mlp=32)
    network.load_state_dict(ours.model.state_dict())
    return probe_of(network, ours.task)


def test_neurons_before_a_norm_are_not_pruned_as_if_there_were_none() -> None:
    assert rows(MEASURES["effective_sparsity"], example_probe("transformer", task="modadd23"))
    with pytest.raises(NotApplicable):
        rows(MEASURES["effective_sparsity"], normed())
    ours = rows(MEASURES["fourier"], *example_pair("transformer", task="modadd23"), keys=3)[None]
    other_ = rows(MEASURES["fourier"], normed(), normed(), keys=3)[None]
    assert "gini_neuron_logit" in ours
    assert "gini_neuron_logit" not in other_
    assert other_["gini_embedding"] == ours["gini_embedding"]


def test_a_tanh_network_has_the_fourier_norms_of_its_own_ends() -> None:
    """The first weight reads one-hot tokens and the last makes the logits, whatever stands between."""
    ours = example_probe("mlp")
    network = Other(inputs=26, hidden=[24, 16], outputs=13, vocabulary=13)
    network.between = torch.tanh
    network.load_state_dict(ours.model.state_dict())
    theirs = probe_of(network, ours.task)
    found, expected = (rows(MEASURES["fourier"], probe, probe, keys=2)[None] for probe in (theirs, ours))
    for name in ("gini_embedding", "gini_unembedding"):
        assert found[name] == expected[name]


class Odd(Other):
    """Tokens enter scaled, and the logits pass through a tanh."""

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().encode(inputs)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        named = super().trace(encoded)
        return {**named, "logits": named["logits"].tanh()}


def test_ends_that_are_not_linear_have_no_fourier_norms() -> None:
    ours = example_probe("mlp")
    network = Odd(inputs=26, hidden=[24, 16], outputs=13, vocabulary=13)
    network.between = torch.relu
    network.load_state_dict(ours.model.state_dict())
    probe = probe_of(network, ours.task)
    found = rows(MEASURES["fourier"], probe, probe, keys=2)[None]
    assert not {"gini_embedding", "gini_unembedding", "gini_neuron_logit"} & set(found)
    assert math.isfinite(found["excluded_loss"])


def test_first_layer_post_is_relu_or_nothing() -> None:
    with pytest.raises(NotApplicable, match="first_layer=post is after the ReLU"):
        rows(MEASURES["pmi"], other(torch.tanh), first_layer="post")
    assert rows(MEASURES["pmi"], other(F.relu), first_layer="post")


@pytest.mark.parametrize("width", [3, 8, 24])
def test_as_many_directions_as_the_input_has(width: int) -> None:
    """Inputs narrower than the 25 directions: p <= 12 and parity of few bits, at the default settings."""
    task = example_task("images")
    task = type(task)(**{**vars(task), "inputs": task.inputs[:, :width].repeat(1, 2)[:, :width].contiguous()})
    torch.manual_seed(0)
    probe = probe_of(MLP(inputs=width, hidden=[30], outputs=5), task)
    found = rows(MEASURES["local_complexity"], probe, radius=0.5)
    assert found[None]["directions"] == width
    weight, bias = probe.model.layers[0].weight, probe.model.layers[0].bias
    from grokscope_geometry.partition import random_directions

    spread = random_directions(width, width, generator_for("tests"))
    assert torch.allclose(spread @ spread.T, torch.eye(width), atol=1e-6)
    vertices = torch.cat([spread, -spread]) * 0.5
    signs = ((task.inputs[task.train][:, None] + vertices) @ weight.T + bias).sign()
    crossed = (signs != signs[:, :1]).any(dim=1).sum(dim=1).double().mean().item()
    assert found[None]["train"] == pytest.approx(crossed, rel=0.01)
    fewer = rows(MEASURES["local_complexity"], probe, radius=0.5, directions=2)
    assert fewer[None]["directions"] == 2
    assert fewer[None]["train"] < found[None]["train"]


def test_the_contract_holds_for_a_network_that_is_not_what_it_says() -> None:
    task = example_task("images")
    network = Other(inputs=20, hidden=[7], outputs=5)
    network.between = nn.Tanh()
    for name in ("ntk_distance", "activation_sparsity"):
        options = {"samples": 12} if name == "ntk_distance" else {}
        check_measure(MEASURES[name], probes=[probe_of(network, task)], parameters=options)
