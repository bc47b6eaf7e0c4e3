"""Which units count, which go together, and what each cluster's one variable is."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import torch

from grokscope_oinfo.functional import correlation, gram, is_constant

DROPPED = -1
ROWS_AT_ONCE = 256  # examples summed up together: 250 units of them stay in a core's cache


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
    return _merged(_distances(values), "ward", values.shape[1], clusters)


def correlation_clusters(values: torch.Tensor, clusters: int) -> torch.Tensor:
    """Cluster the columns of a matrix by average linkage on 1 - abs(r), r their Pearson correlation.

    How large a unit's values are does not count, as it does for Ward's: nor does it for O-information, which
    reads ranks. A unit and its mirror image, r = -1, go together.

    Args:
        values: (n, units), none constant.
        clusters: how many; with no more units than that each is its own cluster.

    Returns:
        (units,) int64 labels, numbered by each cluster's first unit.
    """
    apart = 1 - correlation(values).abs()
    return _merged(_condensed(apart).clamp_(min=0), "average", len(apart), clusters)


def spectral_clusters(values: torch.Tensor, clusters: int) -> torch.Tensor:
    """Cluster the columns of a matrix by the normalised cut of the graph whose edges weigh abs(r).

    The first eigenvectors of the normalised Laplacian (Ng, Jordan & Weiss 2001), each unit's row divided by
    the root of its degree, and labels by a pivoted QR factorisation in place of k-means (Damle, Minden & Ying
    2019): nothing is drawn at random, and which basis of the eigenspace is found makes no difference.

    Args:
        values: (n, units), none constant.
        clusters: how many at most; with no more units than that each is its own cluster.

    Returns:
        (units,) int64 labels, numbered by each cluster's first unit.
    """
    units = values.shape[1]
    if units <= clusters:
        return torch.arange(units)
    from scipy.linalg import eigh, qr, svd

    weights = correlation(values).abs().fill_diagonal_(0)
    root = weights.sum(dim=1).sqrt()
    root = root.where(root > 0, 1.0)  # a unit without a neighbour
    cut = (weights / root[:, None] / root).numpy()
    _, vectors = eigh(cut, subset_by_index=(units - clusters, units - 1))
    rows = vectors / root.numpy()[:, None]
    _, pivots = qr(rows.T, pivoting=True, mode="r")
    left, _, right = svd(rows[pivots[:clusters]].T)
    return _by_first_unit(torch.from_numpy(abs(rows @ (left @ right)).argmax(axis=1)))


def _merged(distances: torch.Tensor, linkage_name: str, units: int, clusters: int) -> torch.Tensor:
    """Return the labels after merging by scipy's linkage until `clusters` are left."""
    if units <= clusters:
        return torch.arange(units)
    from scipy.cluster.hierarchy import fcluster, linkage

    merges = linkage(distances.numpy(), linkage_name)
    merges[:, 2] = numpy.arange(1, units)  # merge numbers, not heights: a cut at one leaves no tie open
    return _by_first_unit(torch.from_numpy(fcluster(merges, units - clusters, "distance")))


def _distances(values: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean distances between columns, (units (units - 1) / 2,): scipy's condensed order."""
    products = gram(values)
    squares = products.diagonal()
    apart = (squares[:, None] + squares).sub_(products, alpha=2)
    return _condensed(apart).clamp_(min=0).sqrt_()


def _condensed(square: torch.Tensor) -> torch.Tensor:
    from scipy.spatial.distance import squareform

    return torch.from_numpy(squareform(square.numpy(), checks=False))


def _by_first_unit(labels: torch.Tensor) -> torch.Tensor:
    seen: dict[int, int] = {}
    numbers = [seen.setdefault(label, len(seen)) for label in labels.tolist()]
    return torch.tensor(numbers, dtype=torch.int64)


GROUPINGS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "ward": ward_clusters,
    "spectral": spectral_clusters,
    "correlation": correlation_clusters,
}


def cluster_units(values: torch.Tensor, clusters: int, grouping: str = "ward") -> torch.Tensor:
    """Return each unit's cluster, `DROPPED` (-1) for units that are constant over all examples.

    Args:
        values: (n, units).
        clusters: how many.
        grouping: a name in `GROUPINGS`.

    Returns:
        (units,) int64.
    """
    live = ~is_constant(values)
    labels = torch.full((values.shape[1],), DROPPED)
    labels[live] = GROUPINGS[grouping](chosen_units(values, live), clusters)
    return labels


def chosen_units(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return the columns chosen by a (units,) bool; where those are all, nothing is copied."""
    return values if chosen.all() else values[:, chosen]


def head_units(values: torch.Tensor, heads: int) -> torch.Tensor:
    """Return the head of each unit, where equally wide heads lie in a row, and `DROPPED` for constant units.

    Args:
        values: (n, units), units a multiple of `heads`.

    Returns:
        (units,) int64; heads of constant units alone are not counted.
    """
    head = torch.arange(heads).repeat_interleave(values.shape[1] // heads)
    live = ~is_constant(values)
    labels = torch.full_like(head, DROPPED)
    labels[live] = _by_first_unit(head[live])
    return labels


def cluster_means(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean of each cluster's columns, (n, clusters) float64.

    Every example's sum runs over the units in the same order, so that equal examples stay exact ties; where
    sums are exact, their order is all one, and a product of matrices is the quickest.
    """
    order, sizes = labels.argsort(stable=True).numpy(), torch.bincount(labels)
    starts, largest = (sizes.cumsum(dim=0) - sizes).numpy(), int(sizes.max())
    member = torch.nn.functional.one_hot(labels).double()
    sums = member.new_empty(len(values), len(sizes))
    for rows, into in zip(values.split(ROWS_AT_ONCE), sums.split(ROWS_AT_ONCE), strict=True):
        if _sums_are_exact(rows.numpy(), largest):
            torch.mm(rows.double(), member, out=into)
        else:
            units = rows.numpy().T[order].astype(numpy.float64)
            numpy.add.reduceat(units, starts, axis=0, out=into.numpy().T)
    return sums / sizes


def _sums_are_exact(rows: numpy.ndarray, count: int) -> bool:
    """Return whether sums of `count` of the values are exact in float64, whatever their order.

    So they are where no value is negative and the largest is below 2^29 / count times the least that is not
    zero: the bits of a float32 are multiples of 2^-23 of the least, and 2^53 such multiples are exact.
    """
    if rows.dtype != numpy.float32:
        return False
    least = rows.max() * numpy.float32(count * 2.0**-29)
    return numpy.count_nonzero(rows < least) == numpy.count_nonzero(rows == 0)
