"""Clusters are scikit-learn's, ties and constants notwithstanding."""

import numpy as np
import pytest
import torch

from grokscope_oinfo.clusters import (
    DROPPED,
    cluster_means,
    cluster_units,
    correlation_clusters,
    head_units,
    spectral_clusters,
    ward_clusters,
)

HOSTILE = ["plain", "twice each", "few bits", "on and off", "equally far", "moved by one", "late, most dead"]
HOSTILE += ["of all sizes", "signed", "permuted"]


def partition(labels):
    return {frozenset(np.flatnonzero(np.asarray(labels) == label).tolist()) for label in np.unique(labels)}


def test_the_partition_and_means_are_the_stored_ones_of_scikit_learn(reference):
    stored = reference("ward_400x60")
    labels = cluster_units(stored["A"], 10)
    assert partition(labels) == partition(stored["labels"])
    theirs = [int(stored["labels"][labels == label][0]) for label in range(10)]
    torch.testing.assert_close(cluster_means(stored["A"], labels), stored["Z"][:, theirs].double())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clusters", [2, 7])
def test_the_partition_is_scikit_learns(relu_units, seed, clusters):
    cluster = pytest.importorskip("sklearn.cluster")
    values = relu_units(n=150, units=40, seed=seed)
    theirs = cluster.FeatureAgglomeration(clusters).fit(values.numpy()).labels_
    assert partition(ward_clusters(values, clusters)) == partition(theirs)


def plain_ward(values, clusters):
    """Labels from distances by one product of everything in float64, and merges cut at their number."""
    from scipy.cluster.hierarchy import fcluster, linkage

    matrix = values.double().numpy()
    products = torch.from_numpy(matrix.T @ matrix)
    i, j = torch.triu_indices(*products.shape, offset=1)
    squares = products.diagonal()
    apart = (squares[:, None] + squares - 2 * products)[i, j].clamp(min=0).sqrt()
    merges = linkage(apart.numpy(), "ward")
    merges[:, 2] = np.arange(1, len(products))
    return fcluster(merges, len(products) - clusters, "distance")


def hostile(name, relu_units):
    """Units in float32, more rows than are taken at once: ties, of units and of distances, and all sizes."""
    values = relu_units(n=1500, units=33).float()
    draw = np.random.RandomState(1)
    return {
        "plain": values,
        "twice each": torch.cat([values, values], dim=1)[:, torch.from_numpy(draw.permutation(66))],
        "few bits": (4 * values).round() / 4,
        "on and off": (values > 0).float(),
        "equally far": torch.eye(1500)[:, :33],
        "moved by one": values[:, :1] + torch.arange(33),
        "late, most dead": values * (torch.arange(33) % 3 == 0) + 1e-30 * values,
        "of all sizes": values * torch.logspace(-18, 18, 33),
        "signed": values - values.mean(dim=0),
        "permuted": torch.stack([values[torch.from_numpy(draw.permutation(1500)), 0] for _ in range(33)], 1),
    }[name]


@pytest.mark.parametrize("name", HOSTILE)
def test_quick_ways_give_the_plain_partition_and_the_plain_means(relu_units, name):
    values = hostile(name, relu_units)
    labels = ward_clusters(values, 10)
    assert partition(labels) == partition(plain_ward(values, 10))
    sizes = torch.bincount(labels)
    units, starts = values.T[labels.argsort(stable=True)].double(), (sizes.cumsum(dim=0) - sizes).numpy()
    sums = torch.from_numpy(np.add.reduceat(units.numpy(), starts, axis=0)).T
    assert torch.equal(cluster_means(values, labels), sums / sizes)


def test_clusters_are_numbered_by_their_first_unit(relu_units):
    labels = ward_clusters(relu_units(), 6).tolist()
    assert list(dict.fromkeys(labels)) == list(range(6))


def test_ties_in_height_still_give_the_number_asked_for():
    equal = torch.eye(8, dtype=torch.float64)  # all distances are equal
    for clusters in range(1, 9):
        assert len(ward_clusters(equal, clusters).unique()) == clusters


def test_few_units_are_their_own_clusters(relu_units):
    assert ward_clusters(relu_units(units=4), 10).tolist() == [0, 1, 2, 3]
    assert ward_clusters(relu_units(units=4)[:, :0], 10).tolist() == []


def test_constant_units_are_dropped_and_change_no_other(relu_units):
    values = relu_units(units=20)
    padded = torch.zeros(400, 23, dtype=torch.float64)
    padded[:, 22] = 0.4
    kept = [i for i in range(22) if i not in (3, 9)]
    padded[:, kept] = values
    labels = cluster_units(padded, 5)
    assert labels[[3, 9, 22]].tolist() == [DROPPED] * 3
    assert labels[kept].tolist() == cluster_units(values, 5).tolist()


def test_means_keep_equal_examples_equal(relu_units):
    values = relu_units(n=97, units=33)
    twice = torch.cat([values, values])
    means = cluster_means(twice, ward_clusters(values, 5))
    assert torch.equal(means[:97], means[97:])
    single = cluster_means(twice.float(), ward_clusters(values, 5))
    assert torch.equal(single[:97], single[97:])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clusters", [2, 7])
def test_the_other_groupings_are_scikit_learns(relu_units, seed, clusters):
    cluster = pytest.importorskip("sklearn.cluster")
    values = relu_units(n=150, units=40, seed=seed)
    near = np.abs(np.corrcoef(values.numpy().T))
    merged = cluster.AgglomerativeClustering(clusters, metric="precomputed", linkage="average").fit(1 - near)
    assert partition(correlation_clusters(values, clusters)) == partition(merged.labels_)
    cut = cluster.SpectralClustering(clusters, affinity="precomputed", assign_labels="cluster_qr").fit(near)
    assert partition(spectral_clusters(values, clusters)) == partition(cut.labels_)


@pytest.mark.parametrize("grouping", ["spectral", "correlation"])
def test_groupings_by_correlation_see_neither_size_nor_sign(relu_units, grouping):
    causes, noise = (relu_units(units=n, seed=n) for n in (3, 12))
    values = causes.repeat_interleave(4, dim=1) + 0.1 * noise
    values = values * torch.tensor([1.0, -1.0, 100.0, 0.01]).repeat(3)
    padded = torch.cat([torch.ones(400, 1), values], dim=1)
    assert cluster_units(padded, 3, grouping).tolist() == [DROPPED, *[0] * 4, *[1] * 4, *[2] * 4]
    assert cluster_units(padded[:, :3], 3, grouping).tolist() == [DROPPED, 0, 1]


def test_a_head_is_its_units_but_the_constant_ones(relu_units):
    values = relu_units(units=12)
    values[:, [0, 1, 2, 7]] = 0.5
    assert head_units(values, 4).tolist() == [-1, -1, -1, 0, 0, 0, 1, -1, 1, 2, 2, 2]
    assert head_units(torch.zeros(5, 4), 2).tolist() == [-1] * 4
