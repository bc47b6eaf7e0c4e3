"""Formulas on activations: ridge regression on labels, neural collapse, the rank of features, attention."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

EXAMPLES = 2048  # taken to float64 at once


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
        weight = self.weight / self.scale[:, None]
        offset = self.offset - self.centre @ weight
        parts = values.split(EXAMPLES)
        return torch.cat([torch.addmm(offset, rows.double(), weight).max(dim=1).indices for rows in parts])


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

    solved by W = (X^T X + penalty n I)^-1 X^T Y, through the d x d Cholesky factor. Its predictions are those
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
    n, (centre, scatter, varies) = len(values), known or moments(values)
    scale = torch.where(varies, (scatter.diagonal() / n).sqrt(), torch.inf)
    normal = scatter / scale / scale[:, None]
    normal.diagonal().add_(penalty * n)
    means, there, counts = known_means or class_means(values, labels, classes)
    targets = torch.zeros(len(centre), classes, dtype=torch.float64, device=values.device)
    targets[:, there] = ((means - centre) * counts[:, None] / scale).T
    weight = torch.cholesky_solve(targets, torch.linalg.cholesky(normal))
    offset = torch.zeros(classes, dtype=torch.float64, device=values.device)
    return LinearReadout(centre, scale, weight, offset.index_copy(0, there, counts.double() / n))


def class_means(values: torch.Tensor, labels: torch.Tensor, classes: int) -> ClassMeans:
    """Return the means of values (n, d) whose labels (n,) are 0 to `classes` - 1."""
    counts = torch.bincount(labels, minlength=classes)
    sums = torch.zeros(classes, values.shape[1], dtype=torch.float64, device=values.device)
    for rows, own in zip(values.split(EXAMPLES), labels.split(EXAMPLES), strict=True):
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
    place = torch.zeros(int(there[-1]) + 1, dtype=torch.int64, device=values.device)
    place[there] = torch.arange(len(there), device=values.device)
    along = directions[kept].T
    centres = means @ along
    within = torch.zeros(len(along.T), dtype=torch.float64, device=values.device)
    for rows, own in zip(values.split(EXAMPLES), labels.split(EXAMPLES), strict=True):
        within += (rows.double() @ along - centres[place[own]]).square().sum(dim=0)
    return (within / len(values) / lengths[kept].square()).sum().item() / len(there)


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
    means = means.double()
    squares, parts = means.square().sum(dim=1), values.split(EXAMPLES)
    apart = (torch.addmm(squares, rows.double(), means.T, alpha=-2) for rows in parts)
    return torch.cat([each.min(dim=1).indices for each in apart])


def feature_rank(
    values: torch.Tensor, share: float = 1e-3, known: Moments | None = None
) -> tuple[int, float]:
    """Return how many singular values of the centred activations are large, and exp of their entropy.

    Large is above `share` of the largest.

    Fan et al. 2024 (arXiv 2405.19454) count features so. Singular values come from the d x d Gram matrix in
    float64, which resolves them down to 1e-8 of the largest.

    Args:
        values: (n, d).
        known: the moments of `values`, where they are known.

    Returns:
        (rank, effective rank); (0, NaN) where no column varies.

    >>> feature_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    (2, 2.0)
    """
    if known is None and values.shape[1] > len(values):
        centred = values.double() - values.double().mean(dim=0)
        gram, varies = centred @ centred.T, varying(values)
    else:
        _, gram, varies = known or moments(values)
    found = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    if not varies.any() or found[-1] == 0:
        return 0, math.nan
    shares = found / found.sum()
    return int((found > share * found[-1]).sum()), torch.special.entr(shares).sum().exp().item()


def mean_entropy(attention: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of each head's weights (n, heads, readers, positions), (heads,) float64 nats.

    >>> mean_entropy(torch.full((3, 1, 2, 4), 1 / 4)).exp()
    tensor([4.], dtype=torch.float64)
    """
    return torch.special.entr(attention.double()).sum(dim=-1).mean(dim=(0, 2))
