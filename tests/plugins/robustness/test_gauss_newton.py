"""The exact trace and Jacobian norms against autograd, finite differences and independent packages."""

import pytest
import torch
from torch.func import functional_call, jacrev, vmap

from grokscope_robustness import gauss_newton
from grokscope_robustness.output_root import output_root

LOSSES = ("mse", "cross_entropy")


def flat(layers):
    return [tensor for layer in layers for tensor in layer if tensor is not None]


def rebuilt(layers, tensors):
    rest = iter(tensors)
    return [(next(rest), None if bias is None else next(rest)) for _, bias in layers]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "widths", [(6, 4), (6, 5, 3), (6, 5, 4, 3), (6, 5, 4, 4, 3), (6, 5, 1), (6, 5, 4, 1)]
)
@pytest.mark.parametrize("last_bias", [True, False])
def test_trace_is_the_brute_force_hessians(make_layers, risk, hessian_trace, widths, loss, last_bias):
    layers = make_layers(*widths, last_bias=last_bias)
    inputs = torch.randn(11, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(11) % max(2, widths[-1])
    brute = hessian_trace(
        lambda *ts: risk(gauss_newton.forward(rebuilt(layers, ts), inputs), labels, loss), *flat(layers)
    )
    assert gauss_newton.hessian_trace(layers, inputs, loss) == pytest.approx(brute, rel=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_trace_is_that_of_independent_packages(reference, loss):
    data = reference("hessian_relu_12_9_7_4")
    layers = [(torch.tensor(data[f"W{i}"]), torch.tensor(data[f"b{i}"])) for i in range(3)]
    got = gauss_newton.hessian_trace(layers, torch.tensor(data["X"]), loss)
    short, factor = ("mse", 4 / 2) if loss == "mse" else ("ce", 1)
    for package in ("bruteforce", "backpack_diagH", "backpack_GGN"):
        assert got == pytest.approx(factor * data[f"{short}_trace_{package}"], rel=1e-8)
    error = 4 * factor * data[f"{short}_trace_pyhessian_stderr"]
    assert got == pytest.approx(factor * data[f"{short}_trace_pyhessian_mean"], abs=error)


@pytest.mark.parametrize("short", ["mse", "ce"])
def test_for_tanh_the_gauss_newton_trace_is_another_number(reference, short):
    data = reference("hessian_tanh_12_9_7_4")
    assert data[f"{short}_trace_backpack_GGN"] > 1.5 * data[f"{short}_trace_bruteforce"]


@pytest.mark.parametrize("loss", LOSSES)
def test_permuting_hidden_units_and_examples_changes_nothing(make_layers, loss):
    layers = make_layers(6, 5, 4, 3)
    inputs = torch.randn(30, 6, dtype=torch.float64)
    (w0, b0), (w1, b1), last = layers
    order = torch.randperm(5)
    permuted = [(w0[order], b0[order]), (w1[:, order], b1), last]
    want = gauss_newton.hessian_trace(layers, inputs, loss)
    got = gauss_newton.hessian_trace(permuted, inputs[torch.randperm(30)], loss)
    assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("widths", [(6, 5, 3), (6, 5, 4, 3)])
def test_chunks_change_nothing(make_layers, monkeypatch, widths):
    layers = make_layers(*widths)
    inputs = torch.randn(31, 6, dtype=torch.float64)
    whole = gauss_newton.jacobian_norms(layers, inputs)
    monkeypatch.setattr(gauss_newton, "CHUNK_VALUES", 6 * 7)
    assert gauss_newton.jacobian_norms(layers, inputs) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("widths", [(6, 3), (6, 5, 3), (6, 5, 4, 3), (6, 5, 4, 4, 1)])
def test_jacobian_norms_are_those_of_autograd(make_layers, widths):
    layers = make_layers(*widths)
    inputs = torch.randn(9, 6, dtype=torch.float64)
    of_inputs = vmap(jacrev(lambda x: gauss_newton.forward(layers, x[None])[0]))(inputs)
    of_weights = [
        vmap(jacrev(lambda ts, x: gauss_newton.forward(rebuilt(layers, ts), x[None])[0]), (None, 0))(
            flat(layers), inputs
        )
    ][0]
    got = gauss_newton.jacobian_norms(layers, inputs)
    assert got.inputs == pytest.approx(of_inputs.square().sum().item() / 9, rel=1e-10)
    assert got.parameters == pytest.approx(sum(j.square().sum().item() for j in of_weights) / 9, rel=1e-10)


def test_input_jacobian_is_that_of_finite_differences(make_layers):
    layers = make_layers(6, 5, 4, 3)
    inputs = torch.randn(9, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    h = 1e-6 * torch.eye(6, dtype=torch.float64)
    run = gauss_newton.forward
    total = sum((run(layers, inputs + step) - run(layers, inputs - step)).square().sum() for step in h)
    assert gauss_newton.jacobian_norms(layers, inputs).inputs == pytest.approx(
        total.item() / 9 / 2e-6**2, rel=1e-6
    )


@pytest.mark.parametrize("widths", [(6, 5, 3), (6, 5, 4, 3)])
def test_float32_weights_give_the_float64_value(make_layers, widths):
    layers = [(w.float(), b.float()) for w, b in make_layers(*widths)]
    inputs = torch.randn(20, 6)
    exact = [(w.double(), b.double()) for w, b in layers]
    for loss in LOSSES:
        want = gauss_newton.hessian_trace(exact, inputs.double(), loss)
        assert gauss_newton.hessian_trace(layers, inputs, loss) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("power", [-12, 12])
def test_what_float32_cannot_hold_is_held(make_layers, loss, power):
    """Slopes of 10^(2 power), whose squares are beyond float32's range."""
    (w0, b0), (w1, b1), (w2, b2) = make_layers(6, 5, 4, 3)
    scale = 10.0**power
    layers = [(w0, b0), (scale * w1, scale * b1), (scale * w2, scale**2 * b2)]
    single = [(w.float(), b.float()) for w, b in layers]
    inputs = torch.randn(20, 6, dtype=torch.float64)
    exact = [(w.double(), b.double()) for w, b in single]
    want = gauss_newton.hessian_trace(exact, inputs.float(), loss)
    assert gauss_newton.hessian_trace(single, inputs.float(), loss) == pytest.approx(want, rel=1e-6)


def test_a_saturated_softmax_keeps_its_digits():
    """With p = (1 - e, e) and one weight per class, Tr H = 2 e (1 - e) (x^2 + 1); 1 - p is 0 in float64."""
    weight = torch.zeros(2, 1, dtype=torch.float64)
    bias = torch.tensor([50.0, 0.0], dtype=torch.float64)
    epsilon = torch.tensor(-50.0, dtype=torch.float64).exp().item()
    got = gauss_newton.hessian_trace([(weight, bias)], torch.full((1, 1), 3.0), "cross_entropy")
    assert got == pytest.approx(2 * epsilon * (1 - epsilon) * 10, rel=1e-12)


def test_a_saturated_hidden_layer_keeps_its_digits():
    """One hidden unit a = 2 x, classes (25 a, 0): at x = 1 the logit gap is 50, the terms closed forms."""
    layers = [
        (torch.tensor([[2.0]], dtype=torch.float64), None),
        (torch.tensor([[25.0], [0.0]], dtype=torch.float64), None),
    ]
    epsilon = torch.tensor(-50.0, dtype=torch.float64).exp().item()
    variance = epsilon * (1 - epsilon)
    got = gauss_newton.hessian_trace(layers, torch.ones(1, 1), "cross_entropy")
    assert got == pytest.approx(variance * (2 * 2**2 + 25**2), rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("loss", LOSSES)
def test_output_root_is_a_root_of_the_losss_hessian(risk, loss, outputs):
    logits = 3 * torch.randn(1, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hessian = torch.autograd.functional.hessian(
        lambda f: risk(f[None], torch.zeros(1).long(), loss), logits[0]
    )
    root = output_root(logits, loss)
    columns = root.columns(torch.zeros(outputs, dtype=torch.int64), torch.arange(outputs)).t()
    torch.testing.assert_close(columns @ columns.t(), hessian, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(root.column_energy()[0], columns.square().sum(dim=0), rtol=1e-10, atol=1e-14)


def test_forward_is_a_relu_mlp(make_layers):
    layers = make_layers(4, 6, 3)
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3)).double()
    weights = dict(zip(["0.weight", "0.bias", "2.weight", "2.bias"], flat(layers), strict=True))
    inputs = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(
        gauss_newton.forward(layers, inputs), functional_call(network, weights, (inputs,))
    )
