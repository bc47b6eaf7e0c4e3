"""Formulas on activations: ridge regression on labels, neural collapse, the rank of features, attention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

EXAMPLES = 2048  # scored at once, unless they are wide
VALUES = 1 << 22  # taken to float64 at once: 34 MB
ROUNDING = 2.0**-22  # four times what one operation in float32 is off by


class Moments(NamedTuple):
    """Mean (d,) and scatter matrix (d, d) of values (n, d), float64, and which columns vary, (d,) bool.

    The scatter matrix is the sum over rows of (v - mean)(v - mean)^T.
    """

    mean: torch.Tensor
    scatter: torch.Tensor
    varying: torch.Tensor


def varying(values: torch.Tensor) -> torch.Tensor:
    """Return which columns of (n, d) are not constant, (d,) bool."""
    return values.amax(dim=0) != values.amin(dim=0)


def moments(values: torch.Tensor) -> Moments:
    """Return the moments of values (n, d)."""
    exact = values.double()
    mean = exact.mean(dim=0)
    centred = exact - mean
    return Moments(mean, centred.T @ centred, varying(values))


class ClassMeans(NamedTuple):
    """Of each class that has examples: the mean, (K', d) float64, which it is, (K',), and how many it has."""

    means: torch.Tensor
    there: torch.Tensor
    counts: torch.Tensor

    def centred(self) -> torch.Tensor:
        """Return the means less that of all examples, (K', d)."""
        return self.means - (self.counts[:, None] * self.means).sum(dim=0) / self.counts.sum()

    def places(self, classes: torch.Tensor) -> torch.Tensor:
        """Return which of the means is of each of these classes (n,), (n,) int64; -1 for none."""
        found = torch.searchsorted(self.there, classes).clamp(max=len(self.there) - 1)
        return torch.where(self.there[found] == classes, found, -1)


class LinearReadout(NamedTuple):
    """A fitted map from activations to class scores: `scores = (values - centre) / scale @ weight + offset`.

    `centre` and `scale` (d,), `weight` (d, K), `offset` (K,), all float64; a column that was constant when it
    was fitted has a weight of 0.
    """

    centre: torch.Tensor
    scale: torch.Tensor
    weight: torch.Tensor
    offset: torch.Tensor

    def predictions(self, values: torch.Tensor) -> torch.Tensor:
        """Return the class of the highest score of each row, (n, d) -> (n,) int64."""
        return _highest(values, *self._of_raw())

    def predicts(self, values: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return for which rows of (n, d) the `predictions` are these `classes` (n,), (n,) bool."""
        return _are_highest(values, *self._of_raw(), classes)

    def _of_raw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight and offset of values that are neither centred nor scaled."""
        weight = self.weight / self.scale[:, None]
        return weight, self.offset - self.centre @ weight


def _examples(values: torch.Tensor) -> int:
    """Return how many rows of (n, d) are taken at once."""
    return max(1, min(EXAMPLES, VALUES // max(1, values.shape[1])))


def _highest(values: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Return where the scores `values @ weight + offset` of each row are highest, (n,) int64, in float64."""
    parts = values.split(_examples(values))
    return torch.cat([torch.addmm(offset, rows.double(), weight).max(dim=1).indices for rows in parts])


def _are_highest(
    values: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, places: torch.Tensor
) -> torch.Tensor:
    """Return whether `_highest` of each row is at its one of `places` (n,), (n,) bool.

    Scores in float32 say so of all rows but those whose score there and the highest other are nearer to each
    other than rounding.
    """
    if values.dtype != torch.float32:
        return _highest(values, weight, offset) == places
    found, close = torch.empty_like(places, dtype=torch.bool), torch.empty_like(places, dtype=torch.bool)
    cut = (each.split(_examples(values)) for each in (values, places, found, close))
    single, shift = weight.float(), offset.float()
    sizes = single.norm(dim=0).amax(), shift.abs().amax()
    for rows, own, is_highest, is_close in zip(*cut, strict=True):
        scores = torch.addmm(shift, rows, single)
        ahead = scores.gather(1, own[:, None])[:, 0]
        ahead -= scores.scatter_(1, own[:, None], -math.inf).amax(dim=1)
        rounding = (len(weight) + 4) * ROUNDING * (rows.norm(dim=1) * sizes[0] + sizes[1])
        torch.gt(ahead, 0, out=is_highest)
        torch.logical_not(ahead.abs() > rounding, out=is_close)  # NaN is, too
    asked = close.nonzero()[:, 0]
    found[asked] = _highest(values[asked], weight, offset) == places[asked]
    return found


def ridge_readout(
    values: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    penalty: float = 1e-3,
    known: Moments | None = None,
    known_means: ClassMeans | None = None,
) -> LinearReadout:
    """Fit a linear classifier on activations by ridge regression to one-hot labels, in closed form.

    Alain & Bengio 2016 ("Understanding intermediate layers using linear classifier probes") fit theirs by
    gradient descent on cross-entropy; least squares have no learning rate and one answer:

        min_W sum_i ||y_i - mean(y) - x_i W||^2 + penalty n ||W||_F^2,   x the columns of `values`, centred
        and divided by their standard deviation

    solved by W = (X^T X + penalty n I)^-1 X^T Y, through the d x d Cholesky factor or, with more units than
    examples, by the same W = X^T (X X^T + penalty n I)^-1 Y, through the n x n one. Its predictions are those
    of scikit-learn's RidgeClassifier with alpha = penalty n on the same standardised columns.

    Args:
        values: (n, d).
        labels: (n,) int64, 0 to `classes` - 1.
        penalty: > 0, in units of n.
        known, known_means: the moments of `values` and the means of its classes, where they are known.

    >>> readout = ridge_readout(torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([0, 0, 1, 1]), 2)
    >>> readout.predictions(torch.tensor([[2.0], [4.0]])).tolist()
    [0, 1]
    """
    n, means_of = len(values), known_means or class_means(values, labels, classes)
    offset = torch.zeros(classes, dtype=torch.float64, device=values.device)
    offset[means_of.there] = means_of.counts.double() / n
    if known is None and values.shape[1] > n:
        return _dual_readout(values, labels, offset, penalty)
    centre, scatter, varies = known or moments(values)
    scale = torch.where(varies, (scatter.diagonal() / n).sqrt(), torch.inf)
    normal = scatter / scale / scale[:, None]
    normal.diagonal().add_(penalty * n)
    means, there, counts = means_of
    targets = torch.zeros(len(centre), classes, dtype=torch.float64, device=values.device)
    targets[:, there] = ((means - centre) * counts[:, None] / scale).T
    weight = torch.cholesky_solve(targets, torch.linalg.cholesky(normal))
    return LinearReadout(centre, scale, weight, offset)


def _dual_readout(
    values: torch.Tensor, labels: torch.Tensor, offset: torch.Tensor, penalty: float
) -> LinearReadout:
    """Return the readout by the n x n products of the examples, by parts of the columns."""
    n = len(values)
    centre = values.mean(dim=0, dtype=torch.float64)
    parts = values.split(max(1, VALUES // n), dim=1)
    squares = torch.cat([(part - own).square().mean(dim=0) for part, own in _with(parts, centre)])
    scale = torch.where(varying(values), squares.sqrt(), torch.inf)
    normal = torch.zeros(n, n, dtype=torch.float64, device=values.device)
    normal.diagonal().add_(penalty * n)
    for part, own, size in _with(parts, centre, scale):
        standard = (part - own) / size
        normal += standard @ standard.T
    targets = torch.nn.functional.one_hot(labels, len(offset)).double() - offset
    solved = torch.cholesky_solve(targets, torch.linalg.cholesky(normal))
    weight = [((part - own) / size).T @ solved for part, own, size in _with(parts, centre, scale)]
    return LinearReadout(centre, scale, torch.cat(weight), offset)


def _with(parts: Sequence[torch.Tensor], *of_columns: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield each part of the columns with its part of vectors (d,)."""
    sizes = [part.shape[1] for part in parts]
    return zip(parts, *(each.split(sizes) for each in of_columns), strict=True)


def class_means(values: torch.Tensor, labels: torch.Tensor, classes: int) -> ClassMeans:
    """Return the means of values (n, d) whose labels (n,) are 0 to `classes` - 1."""
    counts = torch.bincount(labels, minlength=classes)
    sums = torch.zeros(classes, values.shape[1], dtype=torch.float64, device=values.device)
    size = _examples(values)
    for rows, own in zip(values.split(size), labels.split(size), strict=True):
        sums.index_add_(0, own, rows.double())
    there = torch.nonzero(counts)[:, 0]
    return ClassMeans(sums[there] / counts[there, None], there, counts[there])


def within_over_between(values: torch.Tensor, labels: torch.Tensor, classes: ClassMeans) -> float:
    """Compute NC1 of Papyan, Han & Donoho 2020: tr(Sigma_W Sigma_B^+) / K.

    Sigma_W is the mean over examples of (h - mu_c)(h - mu_c)^T, Sigma_B the mean over classes of
    (mu_c - mu)(mu_c - mu)^T, mu the mean of all examples, + the pseudo-inverse: what lies within classes in
    units of what lies between them, in the directions in which there is anything between them. 0 where every
    example is at its class's mean; unchanged by scale and rotation.

    Args:
        values: (n, d).
        labels: (n,) int64.
        classes: their means.

    Returns:
        a number >= 0; NaN with fewer than two classes, or with all class means equal.
    """
    means, there, _ = classes
    if len(there) < 2:
        return math.nan
    centred = classes.centred() / math.sqrt(len(there))
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    tolerance = max(centred.shape) * torch.finfo(torch.float64).eps * lengths[0]
    kept = lengths > tolerance
    if not kept.any():
        return math.nan
    along = directions[kept].T / lengths[kept]
    centres, within, size = means @ along, 0.0, _examples(values)
    for rows, own in zip(values.split(size), classes.places(labels).split(size), strict=True):
        apart = torch.addmm(centres[own], rows.double(), along, beta=-1).flatten()
        within += torch.dot(apart, apart).item()
    return within / len(values) / len(there)


def equal_norms(centred: torch.Tensor) -> float:
    """Return std / mean of the norms of the centred class means, (K, d): NC2's first half, 0 when equal."""
    norms = centred.double().norm(dim=1)
    return (norms.std(correction=0) / norms.mean()).item()


def equal_angles(centred: torch.Tensor) -> float:
    """Return the mean over pairs of classes of |cos + 1 / (K - 1)| of the centred class means, (K, d).

    NC2's second half (Papyan, Han & Donoho 2020): 0 where the means are the corners of a simplex, K of them.

    >>> corners = torch.eye(3, dtype=torch.float64) - 1 / 3
    >>> round(equal_angles(corners), 12)
    0.0
    """
    k = len(centred)
    unit = torch.nn.functional.normalize(centred.double(), dim=1, eps=0)
    cosines = unit @ unit.T
    i, j = torch.triu_indices(k, k, offset=1)
    return (cosines[i, j] + 1 / (k - 1)).abs().mean().item()


def self_duality(weight: torch.Tensor, centred: torch.Tensor) -> float:
    """Return || W / ||W||_F - M / ||M||_F ||_F^2 of the last weight and the centred class means, (K, d) both.

    NC3 (Papyan, Han & Donoho 2020): 0 where the classifier is the means up to scale, 2 where they are
    orthogonal, 4 where it is their opposite.
    """
    weight, centred = weight.double(), centred.double()
    return (weight / weight.norm() - centred / centred.norm()).square().sum().item()


def nearest_mean(values: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
    """Return the row of the nearest of `means` (K, d) to each of `values` (n, d), (n,) int64."""
    return _highest(values, *_nearness(means))


def is_nearest_mean(values: torch.Tensor, means: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return for which rows of (n, d) `nearest_mean` is at its one of `places` (n,), (n,) bool."""
    return _are_highest(values, *_nearness(means), places)


def _nearness(means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and offset of scores that fall with the distance to each mean."""
    means = means.double()
    return means.T, -means.square().sum(dim=1) / 2


def feature_rank(
    values: torch.Tensor, share: float = 1e-3, products: torch.Tensor | None = None
) -> tuple[int, float]:
    """Return how many singular values of the centred activations are large, and exp of their entropy.

    Large is above `share` of the largest.

    Fan et al. 2024 (arXiv 2405.19454) count features so. Singular values come from the products
    of all pairs of rows or of columns, whichever are fewer, in float64, which resolves them down to 1e-8 of
    the largest.

    Args:
        values: (n, d).
        products: these of the centred values, where they are known.

    Returns:
        (rank, effective rank); (0, NaN) where no column varies.

    >>> feature_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    (2, 2.0)
    """
    if products is None:
        centred = values.double() - values.double().mean(dim=0)
        products = centred @ centred.T if values.shape[1] > len(values) else centred.T @ centred
    found = torch.linalg.eigvalsh(products).clamp(min=0).sqrt()
    if not varying(values).any() or found[-1] == 0:
        return 0, math.nan
    shares = found / found.sum()
    return int((found > share * found[-1]).sum()), torch.special.entr(shares).sum().exp().item()


def mean_entropy(attention: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of each head's weights (n, heads, readers, positions), (heads,) float64 nats.

    >>> mean_entropy(torch.full((3, 1, 2, 4), 1 / 4)).exp()
    tensor([4.], dtype=torch.float64)
    """
    return torch.special.entr(attention.double()).sum(dim=-1).mean(dim=(0, 2))
