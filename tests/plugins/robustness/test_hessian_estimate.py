"""The estimated trace against brute force, and its standard error against its spread."""

import itertools
import math
import random
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from grokscope.testing import example_probe
from grokscope_robustness import gauss_newton, hessian_estimate


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def one_hot(labels, outputs):
    return (F.one_hot(labels, outputs) if outputs > 1 else labels[:, None]).double()


@pytest.fixture(scope="module")
def attention(risk, hessian_trace):
    """Return, for a loss, a small float64 transformer's arguments and its brute-force Hessian trace."""
    from grokscope.models.transformer import Transformer

    torch.manual_seed(0)
    network = Transformer(vocabulary=7, length=2, outputs=7, d_model=8, heads=2, d_head=4, d_mlp=8).double()
    inputs = torch.cartesian_prod(torch.arange(7), torch.arange(7))[::2]
    labels = inputs.sum(dim=1) % 7
    logits = network.logits_at

    @cache
    def setting(loss):
        weights = {name: 1.4 * tensor.detach() for name, tensor in network.named_parameters()}
        names = list(weights)

        def whole(*tensors):
            return risk(logits(dict(zip(names, tensors, strict=True)), inputs), labels, loss)

        exact = hessian_trace(whole, *weights.values())
        return (logits, weights, inputs, one_hot(labels, 7), loss), exact

    return setting


@pytest.fixture
def sampled(monkeypatch):
    """Make small networks be sampled although all their directions could be enumerated."""
    monkeypatch.setattr(hessian_estimate, "BATCH", 8)
    monkeypatch.setattr(hessian_estimate, "SPREAD", 0)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_error_is_as_large_as_it_says(attention, sampled, loss):
    arguments, exact = attention(loss)
    estimates = [
        hessian_estimate.hessian_trace(*arguments, generator=seeded(seed), accuracy=0.1) for seed in range(16)
    ]
    scores = [(estimate.value - exact) / estimate.stderr for estimate in estimates]
    assert all(0 < estimate.stderr <= 0.1 * estimate.value for estimate in estimates)
    assert abs(math.fsum(scores)) < 3 * math.sqrt(16)
    assert 0.3 < math.fsum(score**2 for score in scores) / 16 < 2.5


def test_the_time_is_foretold_before_most_of_it_is_spent(monkeypatch):
    """By a clock on which every probe takes a second, over draws."""
    ticks, draw = itertools.count(), random.Random(0)
    monkeypatch.setattr(hessian_estimate, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    foretold, spent = [], []
    for _ in range(10):
        samples = [hessian_estimate.Sample(lambda size=size: [draw.gauss(10, size)]) for size in (1, 4, 8)]
        hessian_estimate.draw_until(samples, 5.0, 0.02, 4000, foretold.append)
        spent.append(sum(sample.probes for sample in samples) - 3 * hessian_estimate.FIRST)
    assert min(spent) > 100
    assert sum(foretold) == pytest.approx(sum(spent), rel=0.25)


def test_no_more_time_is_foretold_than_the_probes_that_may_be_made():
    sample = hessian_estimate.Sample(itertools.cycle([[1.0], [3.0]]).__next__)
    sample.seconds = 2.0 * sample.probes
    variance = sample.variance
    assert hessian_estimate.seconds_left([sample], (variance / 2) ** 0.5, 1000) == pytest.approx(16.0)
    assert hessian_estimate.seconds_left([sample], (variance / 100) ** 0.5, sample.probes + 3) == 6.0
    assert hessian_estimate.seconds_left([sample], 1.01 * variance**0.5, 1000) == 0.0


@pytest.mark.parametrize("examples", [25, 8])
def test_it_converges_to_the_brute_force_trace(attention, sampled, monkeypatch, examples):
    monkeypatch.setattr(hessian_estimate, "EXAMPLES", examples)
    arguments, exact = attention("mse")
    estimate = hessian_estimate.hessian_trace(*arguments, generator=seeded(0), accuracy=0.03, max_probes=2000)
    assert estimate.stderr <= 0.03 * estimate.value
    assert estimate.value == pytest.approx(exact, abs=3 * estimate.stderr)


def test_rows_of_one_example_share_a_gradient(risk, hessian_trace, sampled):
    """Three rows an example, each of which sees those before it; every fourth row does not count."""
    draw = seeded(0)
    weights = {name: torch.randn(5, 5, generator=draw, dtype=torch.float64) for name in "ab"}
    inputs = torch.randn(16, 3, 5, generator=draw, dtype=torch.float64)
    counted, labels = torch.arange(48) % 4 > 0, torch.arange(36) % 5

    def logits(w, x):
        return (torch.tanh(x @ w["a"]).cumsum(dim=1) @ w["b"]).flatten(0, 1)

    exact = hessian_trace(
        lambda *ts: risk(logits(dict(zip("ab", ts, strict=True)), inputs)[counted], labels, "cross_entropy"),
        *weights.values(),
    )
    estimate = hessian_estimate.hessian_trace(
        logits,
        weights,
        inputs,
        one_hot(labels, 5),
        "cross_entropy",
        counted=counted,
        generator=seeded(0),
        accuracy=0.04,
        max_probes=2000,
    )
    assert 0 < estimate.stderr <= 0.04 * estimate.value
    assert estimate.value == pytest.approx(exact, abs=3 * estimate.stderr)


def test_a_network_that_cannot_be_vectorised_gives_the_same_number(attention):
    (logits, *rest), _ = attention("mse")

    def looking(weights, inputs):
        assert int(inputs.sum()) >= 0  # a look at values, which vmap refuses
        return logits(weights, inputs)

    together, single = (
        hessian_estimate.hessian_trace(network, *rest, generator=seeded(0), accuracy=0.2)
        for network in (logits, looking)
    )
    assert together._replace(value=0, stderr=0) == single._replace(value=0, stderr=0)
    assert together.value == pytest.approx(single.value, rel=1e-9)


def test_the_remainder_is_part_of_it(attention):
    """With the Gauss-Newton part enumerated, what is left is the remainder, and it is not nothing."""
    (logits, weights, inputs, targets, loss), exact = attention("mse")
    estimate = hessian_estimate.hessian_trace(
        logits, weights, inputs, targets, loss, generator=seeded(0), accuracy=0.02, max_probes=500
    )
    at_solution = hessian_estimate.hessian_trace(
        logits, weights, inputs, logits(weights, inputs).detach(), loss, generator=seeded(0)
    )
    assert at_solution.stderr == 0
    assert abs(exact - at_solution.value) > 8 * estimate.stderr
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.stderr)


@pytest.mark.parametrize("short", ["mse", "ce"])
def test_tanh_has_a_remainder_that_gauss_newton_alone_misses(reference, short):
    data = reference("hessian_tanh_12_9_7_4")
    weights = {name: torch.tensor(data[name]) for name in ("W0", "b0", "W1", "b1", "W2", "b2")}

    def logits(w, x):
        hidden = torch.tanh(torch.tanh(x @ w["W0"].t() + w["b0"]) @ w["W1"].t() + w["b1"])
        return hidden @ w["W2"].t() + w["b2"]

    loss, factor = ("mse", 2) if short == "mse" else ("cross_entropy", 1)
    inputs, targets = torch.tensor(data["X"]), one_hot(torch.tensor(data["y"]), 4)
    estimate = hessian_estimate.hessian_trace(
        logits, weights, inputs, targets, loss, generator=seeded(0), accuracy=0.02
    )
    exact, curved = (factor * data[f"{short}_trace_{name}"] for name in ("bruteforce", "backpack_GGN"))
    assert estimate.stderr <= 0.02 * estimate.value
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.stderr)
    assert curved - estimate.value > 20 * estimate.stderr


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_on_a_relu_mlp_it_is_the_exact_trace_without_error(make_layers, loss):
    layers = make_layers(6, 5, 4, 3)
    weights = {
        f"{i}{kind}": tensor
        for i, layer in enumerate(layers)
        for kind, tensor in zip("wb", layer, strict=True)
    }

    def logits(w, x):
        return gauss_newton.forward([(w[f"{i}w"], w[f"{i}b"]) for i in range(3)], x)

    inputs, targets = torch.randn(15, 6).double(), one_hot(torch.arange(15) % 3, 3)
    estimate = hessian_estimate.hessian_trace(logits, weights, inputs, targets, loss, generator=seeded(0))
    exact = gauss_newton.hessian_trace(layers, inputs, loss)
    assert estimate.value == pytest.approx(exact, rel=1e-10)
    assert estimate.stderr == pytest.approx(0, abs=1e-12 * exact)


def test_sampling_alone_finds_a_relu_mlps_trace(make_layers, sampled):
    layers = make_layers(6, 5, 4, 3)

    def logits(w, x):
        return gauss_newton.forward([(w[f"{i}w"], w[f"{i}b"]) for i in range(3)], x)

    weights = {f"{i}{kind}": t for i, layer in enumerate(layers) for kind, t in zip("wb", layer, strict=True)}
    inputs, targets = torch.randn(60, 6).double(), one_hot(torch.arange(60) % 3, 3)
    estimate = hessian_estimate.hessian_trace(
        logits, weights, inputs, targets, "cross_entropy", generator=seeded(0), accuracy=0.03
    )
    exact = gauss_newton.hessian_trace(layers, inputs, "cross_entropy")
    assert 0 < estimate.stderr <= 0.03 * estimate.value
    assert estimate.value == pytest.approx(exact, abs=3 * estimate.stderr)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_single_logit_lstm(risk, hessian_trace, loss):
    from grokscope.models.lstm import LSTM

    network = LSTM(vocabulary=6, outputs=1, d_embedding=3, d_state=3, layers=2).double()
    weights = {name: 2 * tensor.detach() for name, tensor in network.named_parameters()}
    inputs, labels = torch.randint(0, 6, (12, 4)), torch.arange(12) % 2
    logits, names = network.logits_at, list(weights)
    exact = hessian_trace(
        lambda *ts: risk(logits(dict(zip(names, ts, strict=True)), inputs), labels, loss), *weights.values()
    )
    estimate = hessian_estimate.hessian_trace(
        logits, weights, inputs, one_hot(labels, 1), loss, generator=seeded(0), accuracy=0.07
    )
    assert 0 < estimate.stderr <= 0.07 * estimate.value
    assert estimate.value == pytest.approx(exact, abs=3.5 * estimate.stderr)


def test_chunks_of_examples_change_nothing(attention, monkeypatch):
    arguments, _ = attention("mse")
    whole = hessian_estimate.hessian_trace(*arguments, generator=seeded(0), accuracy=0.1)
    monkeypatch.setattr(hessian_estimate, "CHUNK_TOKENS", 2 * 4)
    parts = hessian_estimate.hessian_trace(*arguments, generator=seeded(0), accuracy=0.1)
    assert parts.value == pytest.approx(whole.value, rel=1e-10)


def test_equal_seeds_give_equal_numbers_and_max_probes_is_kept(attention, sampled):
    arguments, _ = attention("mse")
    first, again, other = (
        hessian_estimate.hessian_trace(*arguments, generator=seeded(seed), accuracy=1e-6, max_probes=20)
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert first.gradients // 8 + first.products == 20


def test_it_leaves_the_network_alone():
    probe = example_probe("transformer")
    before = {name: tensor.clone() for name, tensor in probe.model.named_parameters()}
    wants = [tensor.requires_grad for tensor in probe.model.parameters()]
    inputs, labels = probe.inputs("train")[:5], probe.labels("train")[:5]
    hessian_estimate.hessian_trace(
        probe.model.logits_at,
        probe.weights,
        inputs,
        one_hot(labels, 13),
        "mse",
        generator=seeded(0),
        accuracy=0.5,
    )
    assert [tensor.requires_grad for tensor in probe.model.parameters()] == wants
    assert all(torch.equal(before[name], tensor) for name, tensor in probe.model.named_parameters())
    assert all(tensor.grad is None for tensor in probe.model.parameters())
