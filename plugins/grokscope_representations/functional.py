"""Formulas on activations: ridge regression on labels, neural collapse, the rank of features, attention."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch


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
        scores = (values.double() - self.centre) / self.scale @ self.weight + self.offset
        return scores.argmax(dim=1)


def ridge_readout(
    values: torch.Tensor, labels: torch.Tensor, classes: int, penalty: float = 1e-3
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

    >>> readout = ridge_readout(torch.tensor([[0.0], [1.0], [5.0], [6.0]]), torch.tensor([0, 0, 1, 1]), 2)
    >>> readout.predictions(torch.tensor([[2.0], [4.0]])).tolist()
    [0, 1]
    """
    values = values.double()
    n = len(values)
    centre = values.mean(dim=0)
    centred = values - centre
    deviation = centred.square().mean(dim=0).sqrt()
    constant = values.amax(dim=0) == values.amin(dim=0)
    scale = torch.where(constant, torch.inf, deviation)
    x = centred / scale
    y = torch.nn.functional.one_hot(labels, classes).double()
    offset = y.mean(dim=0)
    normal = x.T @ x
    normal.diagonal().add_(penalty * n)
    weight = torch.cholesky_solve(x.T @ (y - offset), torch.linalg.cholesky(normal))
    return LinearReadout(centre, scale, weight, offset)


def class_means(
    values: torch.Tensor, labels: torch.Tensor, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of each class that has examples, (K', d) float64, and these classes, (K',)."""
    counts = torch.bincount(labels, minlength=classes)
    sums = torch.zeros(classes, values.shape[1], dtype=torch.float64, device=values.device)
    sums.index_add_(0, labels, values.double())
    there = torch.nonzero(counts)[:, 0]
    return sums[there] / counts[there, None], there


def within_over_between(values: torch.Tensor, labels: torch.Tensor, classes: int) -> float:
    """Compute NC1 of Papyan, Han & Donoho 2020: tr(Sigma_W Sigma_B^+) / K.

    Sigma_W is the mean over examples of (h - mu_c)(h - mu_c)^T, Sigma_B the mean over classes of
    (mu_c - mu)(mu_c - mu)^T, mu the mean of all examples, + the pseudo-inverse: what lies within classes in
    units of what lies between them, in the directions in which there is anything between them. 0 where every
    example is at its class's mean; unchanged by scale and rotation.

    Args:
        values: (n, d).
        labels: (n,) int64.

    Returns:
        a number >= 0; NaN with fewer than two classes, or with all class means equal.
    """
    values = values.double()
    means, there = class_means(values, labels, classes)
    if len(there) < 2:
        return math.nan
    centred = (means - values.mean(dim=0)) / math.sqrt(len(there))
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    tolerance = max(centred.shape) * torch.finfo(torch.float64).eps * lengths[0]
    kept = lengths > tolerance
    if not kept.any():
        return math.nan
    place = torch.zeros(classes, dtype=torch.int64, device=values.device)
    place[there] = torch.arange(len(there), device=values.device)
    spread = (values - means[place[labels]]) @ directions[kept].T
    return (spread.square().mean(dim=0) / lengths[kept].square()).sum().item() / len(there)


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
    return (means.square().sum(dim=1) - 2 * values.double() @ means.T).argmin(dim=1)


def feature_rank(values: torch.Tensor, share: float = 1e-3) -> tuple[int, float]:
    """Return how many singular values of the centred activations are large, and exp of their entropy.

    Large is above `share` of the largest.

    Fan et al. 2024 (arXiv 2405.19454) count features so. Singular values come from the d x d Gram matrix in
    float64, which resolves them down to 1e-8 of the largest.

    Args:
        values: (n, d).

    Returns:
        (rank, effective rank); (0, NaN) where no column varies.

    >>> feature_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    (2, 2.0)
    """
    centred = values.double() - values.double().mean(dim=0)
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    found = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    varies = (values.amax(dim=0) != values.amin(dim=0)).any()
    if not varies or found[-1] == 0:
        return 0, math.nan
    shares = found / found.sum()
    return int((found > share * found[-1]).sum()), torch.special.entr(shares).sum().exp().item()


def mean_entropy(attention: torch.Tensor) -> torch.Tensor:
    """Return the mean entropy of each head's weights (n, heads, readers, positions), (heads,) float64 nats.

    >>> mean_entropy(torch.full((3, 1, 2, 4), 1 / 4)).exp()
    tensor([4.], dtype=torch.float64)
    """
    return torch.special.entr(attention.double()).sum(dim=-1).mean(dim=(0, 2))
