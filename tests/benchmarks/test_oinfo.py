"""What O-information costs at the size of the default recipe, beside the plain way to the same numbers.

    pytest tests/benchmarks/test_oinfo.py

Compare medians within a group: the plain way is scikit-learn's clustering, or one determinant and one inverse
for every multiplet.
"""

import numpy as np
import pytest
import torch

from grokscope_oinfo.clusters import cluster_means, ward_clusters
from grokscope_oinfo.functional import (
    copula_correlation,
    o_information_of_subsets,
    o_information_of_unions,
)

pytest.importorskip("pytest_benchmark")

N, UNITS, CLUSTERS = 3763, 250, 10


@pytest.fixture(scope="module")
def layer():
    """Return post-ReLU activations of the shape that `train modadd` makes, and their clusters."""
    draw = np.random.RandomState(0)
    mixed = draw.standard_normal((N, 40)) @ draw.standard_normal((40, UNITS))
    drawn = torch.from_numpy(np.maximum(mixed + 3 * draw.standard_normal((N, UNITS)), 0.0))
    values = drawn.float().double()  # a network computes in float32, and measures in float64
    return values, ward_clusters(values, CLUSTERS)


def plain_omega(correlation, labels):
    """Omega of every union of clusters, each by its own determinant and inverse."""
    omega = np.full(2**CLUSTERS, np.nan)
    matrix = correlation.numpy()
    for mask in range(1, 2**CLUSTERS):
        chosen = np.flatnonzero([mask >> label & 1 for label in labels.tolist()])
        if len(chosen) > 1:
            block = matrix[np.ix_(chosen, chosen)]
            omega[mask] = -np.linalg.slogdet(block)[1] - np.log(np.diagonal(np.linalg.inv(block))).sum() / 2
    return torch.from_numpy(omega)


@pytest.mark.benchmark(group="ward clusters of 250 units")
@pytest.mark.parametrize("way", ["grokscope", "scikit-learn"])
def test_clusters(benchmark, layer, way):
    values, labels = layer
    if way == "grokscope":
        found = benchmark(ward_clusters, values, CLUSTERS)
    else:
        cluster = pytest.importorskip("sklearn.cluster")
        array = values.numpy()
        found = torch.from_numpy(benchmark(lambda: cluster.FeatureAgglomeration(CLUSTERS).fit(array).labels_))
    assert len(set(zip(found.tolist(), labels.tolist(), strict=True))) == CLUSTERS


@pytest.mark.benchmark(group="Omega of all multiplets of 10 cluster means, from their correlation")
@pytest.mark.parametrize("way", ["grokscope", "plain"])
def test_omega_of_means(benchmark, layer, way):
    matrix = copula_correlation(cluster_means(*layer))
    labels = torch.arange(CLUSTERS)
    if way == "grokscope":
        found = benchmark(o_information_of_subsets, matrix)
    else:
        found = benchmark(plain_omega, matrix, labels)
    torch.testing.assert_close(found, plain_omega(matrix, labels), rtol=0, atol=1e-10, equal_nan=True)


@pytest.mark.benchmark(group="Omega of all unions of the units of 10 clusters, from their correlation")
@pytest.mark.parametrize("way", ["grokscope", "plain"])
def test_omega_of_units(benchmark, layer, way):
    values, labels = layer
    matrix = copula_correlation(values)
    found = benchmark(o_information_of_unions if way == "grokscope" else plain_omega, matrix, labels)
    torch.testing.assert_close(found, plain_omega(matrix, labels), rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.benchmark(group="a whole checkpoint: 3763 x 250 activations")
@pytest.mark.parametrize("variables", ["mean", "units"])
def test_a_checkpoint(benchmark, layer, variables):
    def whole():
        values, _ = layer
        labels = ward_clusters(values, CLUSTERS)
        if variables == "units":
            return o_information_of_unions(copula_correlation(values), labels)
        return o_information_of_subsets(copula_correlation(cluster_means(values, labels)))

    assert benchmark(whole)[3:].isfinite().any()
