"""The Hessian's trace: BackPACK, PyHessian, curvlinops, and one gradient of the loss as the yardstick."""

import warnings

import gpt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope_robustness import gauss_newton, hessian_estimate

N = 1000


def mnist_sized(dtype=torch.float32):
    """Return the network of Tan & Huang 2023 as a module, its layers, and examples."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
    ).to(dtype)
    layers = [(part.weight.detach(), part.bias.detach()) for part in network if isinstance(part, nn.Linear)]
    return network, layers, torch.rand(N, 784).to(dtype), torch.arange(N) % 10


def gradient(network, inputs, labels):
    return torch.autograd.grad(F.cross_entropy(network(inputs), labels), list(network.parameters()))


def by_backpack(extended, inputs, labels):
    network, loss = extended
    backpack = pytest.importorskip("backpack")
    from backpack.extensions import DiagGGNExact

    with backpack.backpack(DiagGGNExact()):
        loss(network(inputs), labels).backward()
    return sum(parameter.diag_ggn_exact.sum() for parameter in network.parameters())


def extended(network):
    backpack = pytest.importorskip("backpack")
    return backpack.extend(network), backpack.extend(nn.CrossEntropyLoss())


def test_exact_trace(race):
    """PyHessian's and curvlinops' estimates are of 30 products, some per cent off: only their time counts."""
    hessian = pytest.importorskip("pyhessian").hessian
    curvlinops = pytest.importorskip("curvlinops")
    network, layers, inputs, labels = mnist_sized()
    single, double = extended(mnist_sized()[0]), extended(mnist_sized(torch.float64)[0])
    operator = curvlinops.HessianLinearOperator(
        network,
        nn.CrossEntropyLoss(),
        list(network.parameters()),
        [(inputs, labels)],
        check_deterministic=False,
    )

    def by_pyhessian():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = hessian(network, nn.CrossEntropyLoss(), data=(inputs, labels), cuda=False)
            return sum(found.trace(maxIter=30, tol=0)) / 30

    race(
        "exact sharpness, MLP 784-200-200-10, n = 1000, cross-entropy",
        lambda: gauss_newton.hessian_trace(layers, inputs, "cross_entropy"),
        {
            "backpack-for-pytorch": lambda: by_backpack(single, inputs, labels),
            "backpack-for-pytorch in float64": lambda: by_backpack(double, inputs.double(), labels),
            "one gradient of the loss": lambda: gradient(network, inputs, labels),
            "PyHessian": by_pyhessian,
            "curvlinops-for-pytorch": lambda: curvlinops.hutchpp_trace(operator, 30),
        },
        within={
            "backpack-for-pytorch": 1e-5,
            "backpack-for-pytorch in float64": 1e-6,
            "PyHessian": 0.5,
            "curvlinops-for-pytorch": 0.5,
        },
        targets={"backpack-for-pytorch": 2, "one gradient of the loss": 0.5},
    )


def test_estimated_trace(race):
    """At equal standard error: ours ends at 0.8 % here, Hutch++ is there with 18 products at the earliest.

    With 12 it was 1.2 % off, by the spread of three seeds (949, 943, 966); its error falls at best as their
    number grows.
    """
    curvlinops = pytest.importorskip("curvlinops")
    network, (inputs, labels) = gpt.trained(), gpt.sequences()
    weights = dict(network.named_parameters())
    chunks = [(part, of.flatten()) for part, of in zip(inputs.split(500), labels.split(500), strict=True)]
    operator = curvlinops.HessianLinearOperator(
        network, nn.CrossEntropyLoss(), list(network.parameters()), chunks, check_deterministic=False
    )

    def estimated():
        return hessian_estimate.hessian_trace(
            lambda given, x: torch.func.functional_call(network, dict(given), (x,)),
            weights,
            inputs,
            F.one_hot(labels.flatten(), gpt.VOCABULARY).double(),
            "cross_entropy",
            generator=torch.Generator().manual_seed(0),
        ).value

    torch.func.vmap(torch.func.grad(torch.sum))(torch.ones(1, 1))  # what is loaded once is not its price
    race(
        "sharpness estimated to 0.8 %, GPT of two layers, 64 wide, 2000 sequences of 25 tokens",
        estimated,
        {"curvlinops-for-pytorch": lambda: curvlinops.hutchpp_trace(operator, 18)},
        within=0.1,
        targets={"curvlinops-for-pytorch": 5},
    )
