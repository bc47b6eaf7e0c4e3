"""Matrix entropy and matrix mutual information of feature matrices, in float64, on the smaller side.

Notation, after Tan & Huang 2023, section 6: Z (n, d) holds rows of length one, R = Z Z^T is their Gram
matrix, with a diagonal of ones. The eigenvalues of R/n are non-negative and sum to one. Units are nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from grokscope_matrix_information.tridiagonal import von_neumann_entropies


def centred(logits: Tensor) -> Tensor:
    """Return the logits (n, K) in float64, each row less its mean.

    A row that is constant up to the rounding of its own type becomes exactly zero: what rounding leaves of it
    has no direction, and must not be given one.
    """
    values = logits.double()
    rest = values - values.mean(dim=1, keepdim=True)
    rounding = torch.finfo(logits.dtype).eps * values.norm(dim=1, keepdim=True)
    return torch.where(rest.norm(dim=1, keepdim=True) <= rounding, 0.0, rest)


def has_direction_centred(logits: Tensor) -> Tensor:
    """Return of which rows (n, K) of logits `centred` leaves anything, (n,) bool.

    Of float32 rows nearly all are seen by how far their largest and smallest values are apart.
    """
    if logits.dtype != torch.float32:
        return has_direction(centred(logits))
    least, most = logits.amin(dim=1), logits.amax(dim=1)
    largest = torch.maximum(most, -least)
    # The rest's norm is their distance over the root of 2 at least, and the rounding that of K such values.
    found = most - least > 2 * logits.shape[1] ** 0.5 * torch.finfo(torch.float32).eps * largest
    found[~found] = has_direction(centred(logits[~found]))
    return found


def has_direction(features: Tensor) -> Tensor:
    """Return which rows of (n, d) are not all zero, (n,) bool; most are seen by their first value."""
    found = (features[:, :1] != 0).any(dim=1)
    if not found.all():
        found[~found] = (features[~found] != 0).any(dim=1)
    return found


def unit_rows(features: Tensor) -> Tensor:
    """Return Z, the rows of (n, d) scaled to length one, in float64.

    Raises ValueError for a row of zeros: it has no direction and must be left out first.
    """
    values = features.double()
    lengths = values.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise ValueError("features: every row must have a direction, got a row of zeros; leave it out first")
    return values / lengths if values is features else values.div_(lengths)


class Grams(NamedTuple):
    """Products of rows Z of length one, (..., n, d): the `whole` Z Z^T, and the `smaller` of it and Z^T Z.

    The two have the same eigenvalues but for zeros.
    """

    whole: Tensor
    smaller: Tensor


def grams(units: Tensor) -> Grams:
    """Return the products of rows of length one, (..., n, d)."""
    whole = _product(units)
    return Grams(whole, _product(units.mT) if _is_narrow(units) else whole)


def _is_narrow(units: Tensor) -> bool:
    return units.shape[-1] < units.shape[-2]


def _product(units: Tensor) -> Tensor:
    """Return Z Z^T; by numpy, which sees that a matrix meets its own transpose and computes one half."""
    if units.device.type != "cpu":
        return units @ units.mT
    matrix = units.detach().numpy()
    return torch.from_numpy(matrix @ matrix.swapaxes(-1, -2))


def gram(features: Tensor) -> Tensor:
    """Return R = Z Z^T, (n, n) float64, of the rows of (n, d) scaled to length one."""
    return _product(unit_rows(features))


def matrix_entropy(features: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha(R), the matrix entropy of (n, d) features, a float64 scalar in nats.

    Tan & Huang 2023, section 6: H_alpha(R) = log tr((R/n)^alpha) / (1 - alpha), and its limit
    -tr(R/n log R/n) at alpha = 1. Between 0 (all rows parallel) and log min(n, d). Z^T Z and Z Z^T have the
    same non-zero eigenvalues, so for d < n the (d, d) matrix serves, whatever alpha is.

    Tests: equal to `gram_entropy` of the n x n matrix and to closed forms; unchanged by rotating the feature
    space, permuting rows and scaling them.

    >>> round(matrix_entropy(torch.eye(4)).exp().item(), 9)
    4.0
    """
    units = unit_rows(features)
    return gram_entropies(_product(units.mT if _is_narrow(units) else units)[None], alpha)[0]


def gram_entropy(matrix: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha(R) of a positive semi-definite (n, n) matrix with a diagonal of ones, in nats."""
    return gram_entropies(matrix.double()[None], alpha)[0]


def label_entropy(labels: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha of the one-hot rows of labels (n,): the Rényi entropy of the labels themselves, in nats.

    >>> round(label_entropy(torch.tensor([3, 0, 0, 3])).exp().item(), 9)
    2.0
    """
    return renyi_entropy(labels.unique(return_counts=True)[1].double() / len(labels), alpha)


def label_joint_entropy(matrix: Tensor, labels: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha(R o L) in nats, of a Gram matrix R, and L that of the one-hot rows of labels (n,).

    Tests: equal to `joint_entropy` with the one-hot rows.
    """
    return label_joint_entropies(matrix.double()[None], labels[None], alpha)[0]


def label_joint_entropies(matrices: Tensor, labels: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha(R o L) of each float64 Gram matrix R (b, n, n) and its labels (b, n), (b,).

    L is 1 between rows of one label, and else 0: each label's block of R is decomposed by itself, together
    with all of its size.
    """
    n = labels.shape[1]
    order = labels.argsort(dim=1, stable=True)
    rising = labels.gather(1, order)
    begins = torch.cat([torch.ones_like(rising[:, :1], dtype=torch.bool), rising[:, 1:] != rising[:, :-1]], 1)
    batches, starts = begins.nonzero(as_tuple=True)
    places = batches * n + starts
    sizes = torch.cat([places[1:], places.new_tensor([labels.numel()])]) - places
    found: list[list[Tensor]] = [[] for _ in labels]
    for size in sizes.unique().tolist():
        at = batches[sizes == size]
        rows = order[at[:, None], starts[sizes == size][:, None] + torch.arange(size, device=order.device)]
        blocks = matrices[at[:, None, None], rows[:, :, None], rows[:, None, :]]
        values = blocks[:, 0] if size == 1 else torch.linalg.eigvalsh(blocks)
        counts = torch.bincount(at, minlength=len(labels)).tolist()
        for own, part in zip(found, values.split(counts), strict=True):
            own.append(part.flatten())
    return torch.stack([renyi_entropy(_above_rounding(torch.cat(own) / n), alpha) for own in found])


def joint_entropy(first: Tensor, second: Tensor, alpha: float = 1.0) -> Tensor:
    """Return H_alpha(R1 o R2), o the entrywise (Hadamard) product, of features (n, d1) and (n, d2), in nats.

    The product has rank up to d1 d2, so it is the n x n matrix that is decomposed.
    """
    return gram_entropy(gram(first) * gram(second), alpha)


def mutual_information(first: Tensor, second: Tensor, alpha: float = 1.0) -> Tensor:
    """Return I_alpha = H(R1) + H(R2) - H(R1 o R2) of features (n, d1) and (n, d2), in nats.

    Tan & Huang 2023, section 6. At most min(H(R1), H(R2)); never negative at alpha = 1, but for other alpha
    it can be, as Rényi entropies are not subadditive. One-hot rows give the discrete Shannon quantity.

    Tests: I_alpha(I; R) = H_alpha(R); symmetric; the Shannon information of two labellings at alpha = 1.
    """
    return matrix_entropy(first, alpha) + matrix_entropy(second, alpha) - joint_entropy(first, second, alpha)


def renyi_entropy(probabilities: Tensor, alpha: float) -> Tensor:
    """Return log(sum p^alpha) / (1 - alpha) of probabilities > 0 that sum to one; alpha = 1: -sum p log p."""
    order = alpha - 1
    if order == 0:
        return -(probabilities * probabilities.log()).sum()
    if abs(order) < 0.5:  # log(sum p^alpha) cancels to nothing as alpha nears 1; this form does not
        return -torch.log1p((probabilities * torch.expm1(order * probabilities.log())).sum()) / order
    return -(probabilities**alpha).sum().log() / order


def gram_entropies(matrices: Tensor, alpha: float = 1.0, others: Sequence[Tensor] = ()) -> Tensor:
    """Return H_alpha of symmetric float64 matrices (b, n, n), each divided by its trace, (b,).

    With `others`, of as many matrices each, it is that of their entrywise products with these. Only orders
    other than 1 and 2 need eigenvalues.
    """
    if alpha <= 0:
        raise ValueError(f"alpha must be > 0, got {alpha}")
    if alpha == 1:
        return von_neumann_entropies(matrices, *others)
    matrices = reduce(torch.mul, others, matrices)
    densities = matrices / matrices.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None]
    if alpha == 2:
        return -densities.square().sum(dim=(1, 2)).log().clamp(max=0.0)
    return torch.stack([renyi_entropy(_spectrum(each), alpha) for each in densities])


def _spectrum(density: Tensor) -> Tensor:
    """Return the eigenvalues above the rounding of the decomposition, scaled to sum to one.

    Rounding leaves the zeros of a singular matrix at up to about size * eps * the largest eigenvalue, of
    either sign. Negative ones have no power; positive ones of 1e-17 would weigh 3e-9 each at alpha = 0.5 and
    0.02 each at alpha = 0.1.
    """
    return _above_rounding(torch.linalg.eigvalsh(density))


def _above_rounding(eigenvalues: Tensor) -> Tensor:
    rounding = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues.max()
    kept = eigenvalues[eigenvalues > rounding]
    return kept / kept.sum()
