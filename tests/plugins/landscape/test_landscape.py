"""Curvature and Jacobians against the authors' code, curvlinops, dense matrices and closed forms."""

import math

import numpy as np
import pytest
import torch

from grokscope import NotApplicable, Task
from grokscope.models.plain import Plain
from grokscope.probe import generator_for
from grokscope.testing import example_probe, probe_of
from grokscope_landscape import jacobians
from grokscope_landscape.functional import (
    chain_rows,
    commutator_defect,
    cosines,
    lanczos,
    median_and_error,
    scatter_of_two_layers,
    smoothed,
)
from grokscope_landscape.inputs import jacobian_alignment
from grokscope_landscape.jacobians import spread
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
    rows, owners = map(torch.cat, zip(*chain_rows(layers, inputs), strict=True))
    scatter, sums = scatter_of_two_layers(layers, inputs)
    wanted = torch.zeros(30, 5, dtype=torch.float64).index_add(0, owners, rows)
    assert scatter.flatten().tolist() == pytest.approx((rows.T @ rows).flatten().tolist(), rel=1e-12)
    assert sums.flatten().tolist() == pytest.approx(wanted.flatten().tolist(), rel=1e-12, abs=1e-12)


def spread_of(rows, inputs=3):
    """What rows that come in three parts have along their first component, and their sums by input."""
    owners = torch.arange(len(rows)) % inputs
    parts = list(zip(rows.chunk(3), owners.chunk(3), strict=True))
    return spread(lambda: iter(parts), len(rows), torch.zeros(inputs, rows.shape[1], dtype=rows.dtype))


@pytest.mark.parametrize("shape", [(30, 7), (7, 30)])
def test_components_are_numpys_and_ignore_scale_offset_and_rotation(shape, monkeypatch):
    n, d = shape
    rows = drawn(n, d) @ torch.diag(torch.linspace(1, 8, d, dtype=torch.float64))
    singular = np.linalg.svd((rows - rows.mean(0)).numpy(), compute_uv=False)
    share, sums = spread_of(rows)
    assert share == pytest.approx(singular[0] ** 2 / (singular**2).sum())
    assert torch.allclose(sums, torch.stack([rows[of::3].sum(dim=0) for of in range(3)]))
    turned = 3 * rows @ torch.linalg.qr(drawn(d, d)).Q + 1e3 * drawn(d)
    assert spread_of(turned)[0] == pytest.approx(share)
    monkeypatch.setattr(jacobians, "HELD_VALUES", 40)  # a few columns at a time
    monkeypatch.setattr(jacobians, "ROWS", 2)
    again, sums_again = spread_of(rows)
    assert again == pytest.approx(share, rel=1e-12)
    assert torch.allclose(sums_again, sums)
    assert math.isnan(spread_of(torch.ones(5, 3))[0])


def brute_force(probe, chosen, places):
    """The share of numpy's singular values of all rows, and the mean cosine, from every row held at once."""
    inputs, counted = probe.inputs("train")[chosen], probe.counted("train")
    encoded = probe.encoded_some("train", chosen)

    def logits(one, raw):
        return probe.model.trace_from(one[None], raw[None])["logits"]

    every = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x, raw=raw: logits(x, raw), one).flatten(2)
            for one, raw in zip(encoded, inputs, strict=True)
        ]
    )
    kept = torch.ones(every.shape[:2], dtype=torch.bool)
    if counted is not None:
        kept = counted.view(-1, every.shape[1])[chosen].clone()
    kept &= torch.isin(torch.arange(every.shape[1]), torch.tensor(places))
    rows = every[kept].flatten(0, 1).double().numpy()
    singular = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
    sums = (every.double() * kept[:, :, None, None]).sum(dim=(1, 2))
    return singular[0] ** 2 / (singular**2).sum(), cosines(sums, encoded.flatten(1)).nanmean().item()


def language(vocabulary=9, length=6, width=4, examples=20):
    """A small causal language model of somebody's own; its last position has no label."""
    tokens = torch.from_numpy(np.random.RandomState(0).randint(0, vocabulary, (examples, length)))
    labels = tokens.roll(-1, 1)
    labels[:, -1] = -100
    task = Task(
        "language",
        "own",
        inputs=tokens,
        labels=labels,
        classes=vocabulary,
        train=torch.arange(examples - 4),
        test=torch.arange(examples - 4, examples),
    )
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Embedding(vocabulary, width), torch.nn.Linear(width, 8), torch.nn.GELU()
    )
    module.append(Summed()).append(torch.nn.Linear(8, vocabulary))
    return probe_of(Plain(module, tokens, labels), task)


class Summed(torch.nn.Module):
    """What was read so far."""

    def forward(self, values):
        return values.tanh().cumsum(dim=1)


@pytest.mark.parametrize(
    ("small", "places", "apart"),
    [(True, range(5), 1), (False, range(5), 1), (False, [0, 2, 4], 1), (False, [2], 2)],
)
def test_all_positions_are_looked_at_or_as_many_as_the_operations_are_for(small, places, apart, monkeypatch):
    monkeypatch.setattr(jacobians, "SMALL_VALUES", small << 20)
    monkeypatch.setattr(jacobians, "A_PASS", 0)
    probe, chosen = language(), torch.arange(16)
    whole = jacobians.Differentiated(probe, chosen, math.inf)
    most = whole._operations(len(places), 16 // apart, 9 * len(places) * 16 // apart)
    found = measured(jacobian_alignment, probe, operations=most / 1e9).values
    share, cosine = brute_force(probe, chosen[::apart], list(places))
    assert found["first_component"] == pytest.approx(share, rel=1e-5)
    assert found["centroid_cosine"] == pytest.approx(cosine, rel=1e-5)
    assert found["samples"] == 16 // apart


def test_rows_are_not_held_together(largest, monkeypatch):
    """Of 27840 rows of 64 numbers; a pass has 30720 logits."""
    probe = language(vocabulary=120, length=16, examples=20)
    monkeypatch.setattr(jacobians, "ROWS", 100)
    with largest:
        measured(jacobian_alignment, probe)
    assert largest.numbers <= 16 * 16 * 120


def test_examples_apart_have_the_same_jacobians(monkeypatch):
    monkeypatch.setattr(jacobians, "SMALL_VALUES", 0)
    whole = measured(jacobian_alignment, language()).values
    monkeypatch.setattr(jacobians, "GRAPH_VALUES", 1)  # one at a time
    assert measured(jacobian_alignment, language()).values == pytest.approx(whole, rel=1e-6)


def test_what_takes_too_long_or_spans_too_much_says_what_to_set(monkeypatch):
    monkeypatch.setattr(jacobians, "SMALL_VALUES", 0)
    monkeypatch.setattr(jacobians, "A_PASS", 0)
    probe = language()
    with pytest.raises(
        NotApplicable, match="derivatives of 9 logits by 24 inputs take more than 1e-06 x 10"
    ) as said:
        measured(jacobian_alignment, probe, operations=1e-6)
    assert said.value.settings == {"operations": 1}
    assert measured(jacobian_alignment, probe, **said.value.settings)
    monkeypatch.setattr(jacobians, "SIDE", 19)
    for network, samples in (
        (probe, 2),
        (example_probe("mlp", task="images"), 3),
        (example_probe("mlp"), None),
    ):
        with pytest.raises(NotApplicable) as said:
            measured(jacobian_alignment, network)
        assert said.value.settings.get("samples") == samples
        assert not samples or measured(jacobian_alignment, network, **said.value.settings)


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
