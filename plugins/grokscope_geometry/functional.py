"""Formulas on single tensors: spectra and sparsity of matrices, likeness of layers and weights, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """Return a parameter of two or more dimensions as a float64 matrix: (outputs, inputs).

    Three dimensions are attention's (heads, d_head, d_model) and become (heads d_head, d_model), the map that
    all heads make together; of four or more, as in a convolution, the first stays and the rest is flattened.
    """
    matrix = weight.flatten(0, 1) if weight.ndim == 3 else weight.flatten(1)
    return matrix.double()


def singular_values(matrix: torch.Tensor) -> torch.Tensor:
    """Return the singular values in falling order, (min(m, n),) float64."""
    return torch.linalg.svdvals(matrix.double())


def effective_rank(matrix: torch.Tensor) -> float:
    """Return exp of the Shannon entropy of the singular values divided by their sum; NaN for a zero matrix.

    Roy & Vetterli 2007, definition 1. Between 1 (rank one) and min(m, n) (a multiple of an isometry);
    unchanged by scale and by rotations on either side.

    >>> round(effective_rank(torch.eye(3)), 12)
    3.0
    """
    values = singular_values(matrix)
    shares = values / values.sum()
    return torch.special.entr(shares).sum().exp().item()


def stable_rank(matrix: torch.Tensor) -> float:
    """Return `|A|_F^2 / |A|_2^2` = sum of squared singular values over the largest's; NaN for a zero matrix.

    Rudelson & Vershynin 2007, section 1. At most the rank, and stable under small changes.

    >>> stable_rank(torch.diag(torch.tensor([2.0, 1.0])))
    1.25
    """
    squares = singular_values(matrix) ** 2
    return (squares.sum() / squares[0]).item()


def participation_ratio(matrix: torch.Tensor) -> float:
    """Return `(sum s^2)^2 / sum s^4` of the singular values s; NaN for a zero matrix.

    Gao et al. 2017, equation 4, of the eigenvalues s^2 of `A^T A`: how many directions share the squared
    norm.

    >>> participation_ratio(torch.diag(torch.tensor([1.0, 1.0, 0.0])))
    2.0
    """
    values = singular_values(matrix)
    squares = (values / values[0]) ** 2  # scaled, so that no fourth power underflows
    return (squares.sum() ** 2 / (squares**2).sum()).item()


def condition_number(matrix: torch.Tensor) -> float:
    """Return the largest over the smallest of the min(m, n) singular values; NaN for a zero matrix.

    Infinite when the smallest is at most `max(m, n) eps` of the largest, eps = 2^-52: zero up to the rounding
    of the decomposition, the rule by which numpy and torch count ranks.

    >>> condition_number(torch.diag(torch.tensor([4.0, 1.0])))
    4.0
    """
    values = singular_values(matrix)
    largest, smallest = values[0].item(), values[-1].item()
    if largest == 0:
        return math.nan
    if smallest <= max(matrix.shape) * torch.finfo(torch.float64).eps * largest:
        return math.inf
    return largest / smallest


def hoyer(weight: torch.Tensor) -> float:
    """Return Hoyer's sparseness of all N entries; NaN when all are zero or N is 1.

    Hoyer 2004, section 3.1: `(sqrt(N) - |w|_1 / |w|_2) / (sqrt(N) - 1)`. 1 when one entry alone is not zero,
    0 when all magnitudes are equal; unchanged by scale.

    >>> hoyer(torch.tensor([0.0, 0.0, 0.0, 2.0]))
    1.0
    """
    entries = weight.double().flatten()
    root = math.sqrt(len(entries))
    if root == 1:
        return math.nan
    return ((root - entries.abs().sum() / entries.norm()) / (root - 1)).item()


def centred(features: torch.Tensor) -> torch.Tensor:
    """Return the features (n, d) in float64 with each column's mean taken out."""
    features = features.double()
    return features - features.mean(dim=0)


def cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the linear centred kernel alignment of features (n, d1) and (n, d2) of the same examples.

    Kornblith et al. 2019, section 3, in feature space: `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)` of centred X, Y.
    1 for features that are equal up to a rotation and a scale, 0 for uncorrelated ones; NaN when either is
    constant. The test compares it with HSIC of the n x n kernels.
    """
    x, y = centred(x), centred(y)
    cross, own_x, own_y = (y.T @ x).square().sum(), (x.T @ x).norm(), (y.T @ y).norm()
    if own_x == 0 or own_y == 0:
        return math.nan
    return min((cross / (own_x * own_y)).item(), 1.0)


def weight_distance(weight: torch.Tensor, start: torch.Tensor) -> dict[str, float]:
    """Return `l2` = |w - w0|, `relative` = |w - w0| / |w0| and `cosine` of the angle between w and w0.

    `relative` is NaN when w0 is zero, `cosine` when either is.

    >>> weight_distance(torch.tensor([0.0, 3.0]), torch.tensor([4.0, 0.0]))
    {'l2': 5.0, 'relative': 1.25, 'cosine': 0.0}
    """
    w, w0 = weight.double().flatten(), start.double().flatten()
    moved, norm, norm0 = (w - w0).norm().item(), w.norm().item(), w0.norm().item()
    cosine = (w @ w0).item() / (norm * norm0) if norm * norm0 > 0 else math.nan
    return {
        "l2": moved,
        "relative": moved / norm0 if norm0 > 0 else math.nan,
        "cosine": cosine if math.isnan(cosine) else max(-1.0, min(1.0, cosine)),
    }


def flat(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return all parameters in one float64 vector."""
    return torch.cat([weight.double().flatten() for weight in weights.values()])


def collapsed(logits: torch.Tensor) -> torch.Tensor:
    """Return where the float32 sum of `exp(z - max z)` over the classes is exactly 1, (n,) bool.

    Prieto et al. 2025, definition 3 and equation 2: every other class is absorbed by the largest, so that the
    cross-entropy of a rightly classified example, and the gradient of its own logit, are exactly zero.
    """
    z = logits.float()
    return (z - z.max(dim=1, keepdim=True).values).exp().sum(dim=1) == 1


def fewest_units(
    without: torch.Tensor,
    activations: torch.Tensor,
    outgoing: torch.Tensor,
    order: torch.Tensor,
    enough: Callable[[torch.Tensor], bool],
) -> int:
    """Return the least k >= 1 such that the first k units of `order` are `enough`, or the number of units.

    A linear search, since performance need not rise with k (Merrill et al. 2023, section 3, as their code
    does it before it falls back on bisection). Each step adds one unit's part of the next layer.

    Args:
        without: (n, m) the next layer's values with every unit at zero.
        activations: (n, h) the units' activations.
        outgoing: (m, h) the next layer's weights.
        order: (h,) unit indices, the first to keep first.
        enough: says of the next layer's values (n, m) whether the performance is reached.
    """
    values = without.clone()
    for kept, unit in enumerate(order.tolist(), start=1):
        values.addr_(activations[:, unit], outgoing[:, unit])
        if enough(values):
            return kept
    return len(order)
