"""Speed of the Hessian trace as a ratio to plain ways: autograd by entries or probes, and single precision.

Run with `pytest tests/benchmarks/test_robustness.py --benchmark-group-by=group`; compare within a group only.
"""

import pytest
import torch
from torch.nn import functional as F

from grokscope_robustness import gauss_newton, hessian_estimate


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mnist_sized():
    torch.manual_seed(0)
    widths = [(784, 200), (200, 200), (200, 10)]
    layers = [(torch.randn(m, n) / n**0.5, torch.zeros(m)) for n, m in widths]
    return layers, torch.rand(1000, 784), torch.arange(1000) % 10


def gradient(layers, inputs, labels):
    leaves = [(w.detach().requires_grad_(), b.detach().requires_grad_()) for w, b in layers]
    loss = F.cross_entropy(gauss_newton.forward(leaves, inputs), labels)
    return torch.autograd.grad(loss, [tensor for layer in leaves for tensor in layer])


def hutchinson(layers, inputs, labels, probes):
    """The trace by `probes` Hessian-vector products over all parameters: some per cent of error."""
    leaves = [(w.detach().requires_grad_(), b.detach().requires_grad_()) for w, b in layers]
    tensors = [tensor for layer in leaves for tensor in layer]
    loss = F.cross_entropy(gauss_newton.forward(leaves, inputs), labels)
    slopes = torch.autograd.grad(loss, tensors, create_graph=True)
    total = 0.0
    for _ in range(probes):
        signs = [torch.randint(0, 2, tensor.shape) * 2.0 - 1 for tensor in tensors]
        products = torch.autograd.grad(slopes, tensors, signs, retain_graph=True)
        total += sum((sign * product).sum().item() for sign, product in zip(signs, products, strict=True))
    return total / probes


@pytest.mark.benchmark(group="trace of 784-200-200-10, n = 1000")
def test_one_gradient_of_the_loss(benchmark, mnist_sized):
    benchmark(gradient, *mnist_sized)


@pytest.mark.benchmark(group="trace of 784-200-200-10, n = 1000")
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_exact_trace(benchmark, mnist_sized, loss):
    layers, inputs, _ = mnist_sized
    benchmark(gauss_newton.hessian_trace, layers, inputs, loss)


@pytest.mark.benchmark(group="trace of 784-200-200-10, n = 1000")
def test_thirty_hutchinson_probes(benchmark, mnist_sized):
    benchmark.pedantic(hutchinson, (*mnist_sized, 30), rounds=3)


@pytest.fixture(scope="module")
def transformer():
    from grokscope.models.transformer import Transformer

    torch.manual_seed(0)
    network = Transformer(vocabulary=31, length=2, outputs=31, d_model=64, heads=4, d_head=16, d_mlp=256)
    inputs = torch.cartesian_prod(torch.arange(31), torch.arange(31))[::2]
    return network, inputs, inputs.sum(dim=1) % 31


def plain_estimate(network, inputs, labels, accuracy):
    """The same standard error by Hutchinson probes over all parameters."""
    tensors = list(network.parameters())
    loss = F.cross_entropy(network(inputs), labels)
    slopes = torch.autograd.grad(loss, tensors, create_graph=True)
    values = torch.zeros(0, dtype=torch.float64)
    while len(values) < 8 or values.std() / len(values) ** 0.5 > accuracy * values.mean().abs():
        signs = [torch.randint(0, 2, tensor.shape) * 2.0 - 1 for tensor in tensors]
        products = torch.autograd.grad(slopes, tensors, signs, retain_graph=True)
        value = sum((sign * product).sum().double() for sign, product in zip(signs, products, strict=True))
        values = torch.cat([values, value.detach()[None]])
    return values.mean().item()


@pytest.mark.benchmark(group="trace of a transformer to 2 %")
def test_estimate(benchmark, transformer):
    network, inputs, labels = transformer
    targets = F.one_hot(labels, 31).double()
    weights = dict(network.named_parameters())

    def estimate():
        generator = torch.Generator().manual_seed(0)
        return hessian_estimate.hessian_trace(
            network.logits_at,
            weights,
            inputs,
            targets,
            "cross_entropy",
            generator=generator,
            accuracy=0.02,
        )

    benchmark.pedantic(estimate, rounds=3)


@pytest.mark.benchmark(group="trace of a transformer to 2 %")
def test_plain_hutchinson(benchmark, transformer):
    benchmark.pedantic(plain_estimate, (*transformer, 0.02), rounds=3)
