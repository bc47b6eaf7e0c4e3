"""The tangent kernel against gradients written out, in closed form and in general, and its distances."""

from __future__ import annotations

import math

import pytest
import torch

from grokscope.models.network import Network
from grokscope.testing import example_probe
from grokscope_geometry.functional import cka
from grokscope_geometry.ntk import centred_kernel, jacobian_ntk, kernel_distance, mlp_ntk


def brute_force(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    """One gradient per example and output, by the plainest autograd, in float64."""
    jacobians = []
    for x in inputs:
        logits = network.trace(network.encode(x[None]))["logits"][0]
        gradients = [torch.autograd.grad(z, list(network.parameters()), retain_graph=True) for z in logits]
        jacobians.append(torch.stack([torch.cat([g.flatten() for g in row]) for row in gradients]))
    stacked = torch.stack(jacobians).flatten(1)
    return stacked @ stacked.T


def network_of(kind: str, **options) -> tuple[Network, torch.Tensor]:
    probe = example_probe(kind, **options)
    return probe.model.double(), probe.inputs("train")[:6]


@pytest.mark.parametrize("task", ["modadd", "images"])
@pytest.mark.parametrize("last_bias", [True, False])
def test_closed_form_of_an_mlp(task: str, last_bias: bool) -> None:
    network, inputs = network_of("mlp", task=task)
    if task == "images":
        inputs = inputs.double()
    if not last_bias:
        network.layers[-1].bias = None
    expected = brute_force(network, inputs)
    layers = [(layer.weight, layer.bias) for layer in network.requires_grad_(False).layers]
    found = mlp_ntk(layers, network.encode(inputs))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "vectorised"), [("transformer", True), ("transformer", False), ("mlp", False), ("lstm", False)]
)
def test_general_form_on_every_kind_of_network(kind: str, vectorised: bool) -> None:
    network, inputs = network_of(kind)

    def logits_of(weights, x):
        return torch.func.functional_call(network, dict(weights), (x,))

    found = jacobian_ntk(logits_of, dict(network.named_parameters()), inputs, vectorised=vectorised)
    torch.testing.assert_close(found, brute_force(network, inputs), rtol=1e-10, atol=1e-10)
    assert all(weight.grad is None for weight in network.parameters())


def test_distance_of_itself_of_a_multiple_and_of_an_orthogonal_kernel() -> None:
    k = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = k @ k.T
    assert kernel_distance(k, k) == pytest.approx(0, abs=1e-15)
    assert kernel_distance(7 * k, k) == pytest.approx(0, abs=1e-15)
    assert kernel_distance(torch.diag(torch.tensor([1.0, 0])), torch.diag(torch.tensor([0, 2.0]))) == 1
    assert math.isnan(kernel_distance(k, torch.zeros(5, 5)))


def test_centred_distance_is_one_minus_the_alignment_of_the_features() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(20, d, generator=generator, dtype=torch.float64) for d in (4, 6))
    found = kernel_distance(centred_kernel(x @ x.T), centred_kernel(y @ y.T))
    assert found == pytest.approx(1 - cka(x, y), rel=1e-9)
    centred = centred_kernel(x @ x.T)
    assert centred.sum(dim=0).abs().max() < 1e-12
    assert centred.sum(dim=1).abs().max() < 1e-12
