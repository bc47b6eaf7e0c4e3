"""O-information at the size of the default recipe: thoi, hoi, scikit-learn, a determinant per multiplet."""

import itertools
import logging
import math

import numpy as np
import pytest
import torch

from grokscope_oinfo.clusters import cluster_means, cluster_units, ward_clusters
from grokscope_oinfo.functional import (
    copula_correlation,
    o_information_of_subsets,
    o_information_of_unions,
)

UNITS, CLUSTERS = 250, 10
MULTIPLETS = [
    chosen for size in range(3, CLUSTERS + 1) for chosen in itertools.combinations(range(CLUSTERS), size)
]
MASKS = torch.tensor([sum(1 << variable for variable in chosen) for chosen in MULTIPLETS])


def activations(n):
    """Return post-ReLU activations of the shape that `train modadd` makes."""
    draw = np.random.RandomState(0)
    mixed = draw.standard_normal((n, 40)) @ draw.standard_normal((40, UNITS))
    return torch.from_numpy(np.maximum(mixed + 3 * draw.standard_normal((n, UNITS)), 0.0)).float()


def thoi_omega(values):
    """Return thoi's Omega of all multiplets of three or more, without the DataFrame that it makes of them."""
    gaussian_copula = pytest.importorskip("thoi.measures.gaussian_copula")
    logging.disable(logging.INFO)
    return gaussian_copula.multi_order_measures(
        values,
        batch_data_collector=lambda multiplets, result, _: result[:, 0, 2],
        batch_aggregation=torch.cat,
    )


def hoi_omega(values):
    """Return hoi's Omega, which is in bits and in float32."""
    metrics = pytest.importorskip("hoi.metrics")
    found = metrics.Oinfo(values.numpy(), verbose=False).fit(minsize=3, maxsize=CLUSTERS)
    return math.log(2) * found[:, 0].astype(float)


def omega(values):
    return o_information_of_subsets(copula_correlation(values))[MASKS]


@pytest.mark.parametrize("n", [3763, 9409])
def test_multiplets(race, n):
    """All multiplets of 10 variables: rivals count those of three or more, the 45 pairs have none."""
    values = cluster_means(activations(n), ward_clusters(activations(n), CLUSTERS))
    race(
        f"O-information of 1013 multiplets of 10 variables, from data, {n} rows",
        lambda: omega(values),
        {"thoi": lambda: thoi_omega(values), "hoi": lambda: hoi_omega(values)},
        within={"thoi": 1e-2, "hoi": 3e-2},
        targets={"thoi": 40, "hoi": 1000} if n == 3763 else {"thoi": 25, "hoi": 400},
    )


@pytest.mark.parametrize("n", [3763, 9409])
def test_a_checkpoint(race, n):
    """From activations to Omega, clustering included, by cluster means."""
    cluster = pytest.importorskip("sklearn.cluster")
    values = activations(n)

    def whole():
        return omega(cluster_means(values, cluster_units(values, CLUSTERS)))

    def rival():
        labels = cluster.FeatureAgglomeration(CLUSTERS).fit(values.numpy()).labels_
        means = np.stack(
            [values.numpy()[:, labels == label].mean(axis=1) for label in range(CLUSTERS)], axis=1
        )
        return thoi_omega(torch.from_numpy(means)).sort().values

    race(
        f"whole `oinfo` of cluster means, clustering included, {n} x {UNITS}",
        lambda: whole().sort().values,
        {"scikit-learn": rival},
        within=1e-2,
        targets={"scikit-learn": 15 if n == 3763 else 10},
    )


def plain_omega(correlation, labels):
    """Return Omega of every union of clusters, each by its own determinant and inverse."""
    found = np.full(2**CLUSTERS, np.nan)
    matrix = correlation.numpy()
    for mask in range(1, 2**CLUSTERS):
        chosen = np.flatnonzero([mask >> label & 1 for label in labels.tolist()])
        if len(chosen) > 1:
            block = matrix[np.ix_(chosen, chosen)]
            found[mask] = -np.linalg.slogdet(block)[1] - np.log(np.diagonal(np.linalg.inv(block))).sum() / 2
    return torch.from_numpy(found)


def test_unions(race):
    values = activations(3763)
    labels = ward_clusters(values, CLUSTERS)
    matrix = copula_correlation(values)
    race(
        f"O-information of all unions of {UNITS} units in 10 clusters, from their correlation",
        lambda: o_information_of_unions(matrix, labels).nan_to_num(),
        {
            "plain: NumPy, a determinant and an inverse per union": lambda: plain_omega(
                matrix, labels
            ).nan_to_num()
        },
        within=1e-9,
        targets={"plain: NumPy, a determinant and an inverse per union": 25},
    )


def test_a_checkpoint_by_units(race):
    values = activations(3763)

    def whole():
        labels = cluster_units(values, CLUSTERS)
        return o_information_of_unions(copula_correlation(values), labels).nan_to_num()

    race(f"whole `oinfo` of single units, clustering included, 3763 x {UNITS}", whole, {}, within={})
