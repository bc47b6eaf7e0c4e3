"""Which units count, which go together, and what each cluster's one variable is."""

from __future__ import annotations

import torch

from grokscope_oinfo.functional import gram, is_constant

DROPPED = -1


def ward_clusters(values: torch.Tensor, clusters: int) -> torch.Tensor:
    """Cluster the columns of a matrix by Ward's criterion on Euclidean distance (Ward 1963).

    Agglomerative, as Clauw et al. 2024 do it with scikit-learn: the partition is scikit-learn's,
    sooner, because the distances come from one Gram matrix, in float64 lest the differences cancel. A
    partition into exactly `clusters`, also where merges tie in height.

    Args:
        values: (n, units).
        clusters: how many; with no more units than that each is its own cluster.

    Returns:
        (units,) int64 labels, numbered by each cluster's first unit.
    """
    units = values.shape[1]
    if units <= clusters:
        return torch.arange(units)
    import numpy
    from scipy.cluster.hierarchy import fcluster, linkage

    merges = linkage(_distances(values).numpy(), "ward")
    merges[:, 2] = numpy.arange(1, units)  # merge numbers, not heights: a cut at one leaves no tie open
    return _by_first_unit(torch.from_numpy(fcluster(merges, units - clusters, "distance")))


def _distances(values: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distances between columns, (units (units - 1) / 2,): scipy's condensed order."""
    products = gram(values)
    squares = products.diagonal()
    i, j = torch.triu_indices(len(products), len(products), offset=1)
    return (squares[i] + squares[j] - 2 * products[i, j]).clamp(min=0).sqrt()


def _by_first_unit(labels: torch.Tensor) -> torch.Tensor:
    seen: dict[int, int] = {}
    return torch.tensor([seen.setdefault(label, len(seen)) for label in labels.tolist()])


def cluster_units(values: torch.Tensor, clusters: int) -> torch.Tensor:
    """Return each unit's Ward cluster, `DROPPED` (-1) for units that are constant over all examples.

    Args:
        values: (n, units).

    Returns:
        (units,) int64.
    """
    live = ~is_constant(values)
    labels = torch.full((values.shape[1],), DROPPED)
    labels[live] = ward_clusters(values[:, live], clusters)
    return labels


def cluster_means(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean of each cluster's columns, (n, clusters) float64.

    Every example's sum runs over the units in the same order, so that equal examples stay exact ties.
    """
    rows = values.T.to(torch.float64).contiguous()
    sizes = torch.bincount(labels)
    sums = rows.new_zeros(len(sizes), rows.shape[1]).index_add_(0, labels, rows)
    return (sums / sizes[:, None]).T
