"""Curvature and Jacobians against the authors' code, curvlinops, dense matrices and closed forms."""

import math

import numpy as np
import pytest
import torch

from grokscope.probe import generator_for
from grokscope.testing import example_probe
from grokscope_landscape.functional import (
    chain_jacobians,
    commutator_defect,
    cosines,
    first_component,
    lanczos,
    median_and_error,
    scatter_of_two_layers,
    smoothed,
)
from grokscope_landscape.inputs import jacobian_alignment
from grokscope_landscape.weights import _flat, _gradient, _hessian_product, hessian_spectrum
from grokscope_landscape.weights import commutator_defect as defect_measure


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def symmetric(n, seed=0):
    matrix = drawn(n, n, seed=seed)
    return matrix + matrix.T


def measured(measure, probe, *rest, **parameters):
    (row,) = measure.collect(measure(probe, *rest, **parameters))
    return row


@pytest.fixture(scope="module")
def probe():
    return example_probe("mlp")


# `commutator_defect` of grokking-integrability (grok_commutator_analysis.py, commit 828fd0d), float64, on the
# first and the second thirty training examples of `example_probe("mlp")`.
AUTHORS = {1e-3: 12.64989333899289, 1e-1: 16.774501353331438}


@pytest.mark.parametrize("eta", AUTHORS)
def test_the_defect_is_that_of_the_authors_code(probe, eta):
    exact = probe.doubled()
    grad_a, grad_b = (_gradient(exact, torch.arange(start, start + 30)) for start in (0, 30))
    found = commutator_defect(_flat(exact), grad_a, grad_b, eta)
    assert found == pytest.approx(AUTHORS[eta], rel=1e-6)


@pytest.mark.parametrize("eta", [1e-4, 0.3])
def test_the_defect_of_quadratic_losses_is_the_bracket_of_their_gradients(eta):
    (h_a, h_b), theta, shift = (symmetric(9, 1), symmetric(9, 2)), drawn(9), drawn(9, seed=5)
    g_a, g_b = h_a @ theta, h_b @ (theta - shift)
    wanted = (h_a @ g_b - h_b @ g_a).norm() / (g_a.norm() * g_b.norm())
    found = commutator_defect(theta, lambda w: h_a @ w, lambda w: h_b @ (w - shift), eta)
    assert found == pytest.approx(wanted.item(), rel=1e-9)
    commuting = commutator_defect(theta, lambda w: h_a @ w, lambda w: h_a @ h_a @ w, eta)
    assert commuting == pytest.approx(0, abs=1e-12 / eta)
    assert math.isnan(commutator_defect(theta, torch.zeros_like, lambda w: w, eta))


def test_the_median_is_found_within_its_error_and_batches_are_the_same_at_every_checkpoint(probe):
    found = [
        measured(defect_measure, probe, generator_for(str(seed)), pairs=9, batch_size=20).values
        for seed in range(6)
    ]
    many = measured(defect_measure, probe, generator_for("many"), pairs=120, batch_size=20).values
    off = [(each["defect"] - many["defect"]) / each["stderr"] for each in found]
    assert np.mean(np.abs(off) < 2) >= 0.8
    assert many["stderr"] < min(each["stderr"] for each in found)
    again = measured(defect_measure, probe, generator_for("0"), pairs=9, batch_size=20).values
    assert again == found[0]
    assert measured(defect_measure, probe, generator_for("0"), pairs=1).values["batch_examples"] == 33


def test_the_median_s_error_is_that_of_normal_values():
    draws = drawn(2000, 25)
    medians = draws.median(dim=1).values
    errors = [median_and_error(row.tolist())[1] for row in draws[:200]]
    assert np.mean(errors) == pytest.approx(medians.std().item(), rel=0.1)
    assert all(map(math.isnan, median_and_error([math.nan])))


def test_lanczos_sees_the_spectrum_of_a_dense_matrix():
    matrix, start = symmetric(12), drawn(12, seed=3)
    values, vectors = torch.linalg.eigh(matrix)
    whole = lanczos(lambda v: matrix @ v, start, 40)
    assert whole.nodes.tolist() == pytest.approx(values.tolist(), rel=1e-9)
    assert whole.mass.tolist() == pytest.approx(
        (vectors.T @ (start / start.norm())).square().tolist(), rel=1e-7
    )
    few = lanczos(lambda v: matrix @ v, start, 4)
    for power in range(8):  # Gauss quadrature: exact up to degree 2m - 1
        unit = start / start.norm()
        wanted = (unit @ torch.linalg.matrix_power(matrix, power) @ unit).item()
        assert (few.mass @ few.nodes**power).item() == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    for node, bound in zip(few.nodes, few.bounds, strict=True):
        assert (values - node).abs().min() <= bound + 1e-12


def test_lanczos_ends_where_the_matrix_makes_nothing_new():
    found = lanczos(lambda v: 2 * v, drawn(6), 5)
    assert found.nodes.tolist() == pytest.approx([2.0])
    assert lanczos(torch.zeros_like, drawn(6), 5).nodes.tolist() == [0.0]


# Extremes by `HessianLinearOperator` of curvlinops in float64 and scipy's eigsh on it; the mean of the
# eigenvalues of its dense matrix.
EXTREMES = -0.7196813444403471, 73.66019189941686
MEAN = 0.3676854644224257


def test_the_spectrum_is_that_of_curvlinops(probe):
    row = measured(hessian_spectrum, probe, generator_for("spectrum"), steps=60, starts=4)
    values, arrays = row.values, row.arrays
    assert values["largest"] == pytest.approx(EXTREMES[1], rel=1e-9)
    assert EXTREMES[0] - 1e-9 <= values["smallest"] <= EXTREMES[0] + 0.02
    assert abs(values["mean"] - MEAN) < 3 * values["stderr"]
    width = arrays["density_at"][1] - arrays["density_at"][0]
    assert arrays["density"].sum() * width == pytest.approx(1, abs=0.02)
    assert arrays["ritz_mass"].sum(axis=1).tolist() == pytest.approx([1] * 4)


@pytest.mark.parametrize("kind", ["transformer", "lstm", "plain"])
def test_products_are_those_of_finite_differences_of_gradients(kind):
    exact = example_probe(kind).doubled()
    product, size = _hessian_product(exact)
    gradient = _gradient(exact, torch.arange(len(exact.inputs("train"))))
    theta, v = _flat(exact), drawn(size)
    v = v / v.norm()
    wanted = (gradient(theta + 1e-5 * v) - gradient(theta - 1e-5 * v)) / 2e-5
    assert (product(v) - wanted).norm() <= 1e-5 * wanted.norm()


def test_a_density_is_the_smoothed_histogram_of_all_eigenvalues():
    """With the start vectors of a whole basis the quadrature is the spectrum itself."""
    matrix = symmetric(8)
    values = torch.linalg.eigvalsh(matrix)
    grid = torch.linspace(values[0].item() - 1, values[-1].item() + 1, 50, dtype=torch.float64)
    seen = [lanczos(lambda v: matrix @ v, start, 8) for start in torch.eye(8, dtype=torch.float64)]
    ours = torch.stack([smoothed(each.nodes, each.mass, grid, 0.3) for each in seen]).mean(dim=0)
    normal = torch.distributions.Normal(values, 0.3)
    assert ours.tolist() == pytest.approx(normal.log_prob(grid[:, None]).exp().mean(dim=1).tolist(), rel=1e-9)


# `PC1` and the cosine of `Centroids` (GrokAlign's utils.py, commit 09aecdf) on all training examples of
# `example_probe("mlp")` in float64.
PC1, CENTROID = 0.21636102149559228, -0.367883666007475


def test_alignment_is_that_of_the_authors_code(probe):
    found = measured(jacobian_alignment, probe, samples=1000).values
    assert found["first_component"] == pytest.approx(PC1, rel=1e-9)
    assert found["centroid_cosine"] == pytest.approx(CENTROID, rel=1e-7)
    assert found["samples"] == 67


def test_what_jacobians_of_two_layers_come_to_is_what_all_of_them_do():
    layers = [(drawn(9, 5), drawn(9)), (drawn(4, 9), None)]
    inputs = drawn(30, 5)
    every = torch.cat(list(chain_jacobians(layers, inputs)))
    scatter, sums = scatter_of_two_layers(layers, inputs)
    rows = every.flatten(0, 1)
    assert scatter.flatten().tolist() == pytest.approx((rows.T @ rows).flatten().tolist(), rel=1e-12)
    assert sums.flatten().tolist() == pytest.approx(every.sum(dim=1).flatten().tolist(), rel=1e-12, abs=1e-12)


def test_components_are_numpys_and_ignore_scale_offset_and_rotation():
    rows = drawn(30, 7) @ torch.diag(torch.arange(1.0, 8.0, dtype=torch.float64))
    singular = np.linalg.svd((rows - rows.mean(0)).numpy(), compute_uv=False)
    wanted = singular[0] ** 2 / (singular**2).sum()
    turned = 3 * rows @ torch.linalg.qr(drawn(7, 7)).Q + drawn(7)
    assert first_component(rows) == pytest.approx(wanted)
    assert first_component(turned) == pytest.approx(wanted)
    assert first_component(rows[:4]) == pytest.approx(first_component(turned[:4]))
    assert math.isnan(first_component(torch.ones(5, 3)))


def test_a_network_that_reads_its_input_along_one_line_is_aligned():
    """Every row of the Jacobian is a multiple of one vector where the first weight has rank one."""
    probe = example_probe("mlp", task="images")
    line = drawn(20).float()
    with torch.no_grad():
        probe.model.layers[0].weight.copy_(torch.outer(torch.arange(1.0, 25.0), line))
    found = measured(jacobian_alignment, probe).values
    assert found["first_component"] == pytest.approx(1, abs=1e-6)
    inputs = probe.inputs("train")
    ours = cosines(inputs, line.expand_as(inputs))
    assert abs(found["centroid_cosine"]) <= ours.abs().max() + 1e-6
