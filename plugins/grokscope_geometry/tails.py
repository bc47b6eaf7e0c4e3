"""Formulas of heavy tails: the power law that a spectrum ends in, and the edge that randomness leaves."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from grokscope_geometry.functional import as_matrix, singular_values

FEWEST = 10  # values in which a tail may be looked for
ROUNDING = 1e-11  # of the largest eigenvalue: thousands of times what a product is off by
TRACY_WIDOM_99 = 2.0234  # 99 % quantile of the Tracy-Widom law of real matrices (Johnstone 2001)


class PowerLaw(NamedTuple):
    """`p(x) ~ x^-alpha` from `xmin` on: fitted to `tail` values, `ks` away from them, alpha +- `stderr`."""

    alpha: float
    stderr: float
    xmin: float
    ks: float
    tail: int


def power_law(values: torch.Tensor) -> PowerLaw | None:
    """Fit the tail of positive values by a continuous power law; None with fewer than ten of them.

    Clauset, Shalizi & Newman 2009: for each value as xmin, alpha = 1 + n / sum_i log(x_i / xmin) over the n
    values from it on (their equation 3.1), and of these xmin the one with the least Kolmogorov-Smirnov
    distance max_i abs(F(x_i) - (i - 1)/n), F(x) = 1 - (x / xmin)^(1 - alpha), as their code takes it.
    Unchanged by scale but for xmin.

    >>> law = power_law(torch.arange(1, 1001, dtype=torch.float64).div(1001).pow(-0.5))
    >>> round(law.alpha, 1)
    3.0
    """
    rising = values.double().sort().values
    if len(rising) < FEWEST:
        return None
    places = torch.cat([torch.tensor([0]), 1 + rising.diff().nonzero()[:, 0].cpu()])[:-1]
    if not len(places):
        return None
    logs, index = rising.log(), torch.arange(len(rising), device=rising.device)
    inside = index >= places.to(rising.device)[:, None]
    over = (logs - logs[places, None]).where(inside, 0.0)  # log(x_i / xmin), a row for each xmin
    n = inside.sum(dim=1, keepdim=True)
    alpha = 1 + n / over.sum(dim=1, keepdim=True)
    below = (index - places.to(index)[:, None]) / n.double()
    distance = (1 - (over * (1 - alpha)).exp() - below).where(inside, 0.0).abs().amax(dim=1)
    best = int(distance.argmin())
    exponent, tail = alpha[best].item(), int(n[best])
    xmin, ks = rising[places[best]].item(), distance[best].item()
    return PowerLaw(exponent, (exponent - 1) / math.sqrt(tail), xmin, ks, tail)


def spectrum(matrix: torch.Tensor) -> torch.Tensor:
    """Return the eigenvalues of W^T W / m in rising order, m the longer side, without zeros of rounding."""
    m, singular = max(as_matrix(matrix).shape), singular_values(matrix)
    kept = singular > m * torch.finfo(torch.float64).eps * singular.max()
    return (singular[kept].square() / m).sort().values


def random_edge(matrix: torch.Tensor) -> float:
    """Return what the largest eigenvalue of W^T W / m stays below in 99 of 100 matrices of such entries.

    For independent entries of variance s^2, m x n: the Marchenko-Pastur edge s^2 (1 + sqrt(n/m))^2 and the
    99 % quantile of the Tracy-Widom law around it, in units of s^2 (sqrt m + sqrt n) (1 / sqrt m + 1 / sqrt
    n)^(1/3) / m (Johnstone 2001, theorem 1.1).
    """
    n, m = sorted(matrix.shape)
    variance = matrix.double().var(correction=0).item()
    sides = math.sqrt(m) + math.sqrt(n)
    fluctuation = sides * (1 / math.sqrt(m) + 1 / math.sqrt(n)) ** (1 / 3) / m
    return variance * (sides**2 / m + TRACY_WIDOM_99 * fluctuation)


def traps(matrix: torch.Tensor, generator: torch.Generator) -> int:
    """Count the eigenvalues of the matrix with its entries shuffled that are above the `random_edge`."""
    order = torch.randperm(matrix.numel(), generator=generator).to(matrix.device)
    shuffled = matrix.double().flatten()[order].view(matrix.shape)
    return above(shuffled, random_edge(matrix))


def above(matrix: torch.Tensor, edge: float) -> int:
    """Count the eigenvalues of W^T W / m that are above an edge.

    By the eigenvalues of that product, which take half the time of singular values; where one of them is
    nearer to the edge than what the product's rounding may have moved it by, by these.
    """
    wide = matrix.shape[0] < matrix.shape[1]
    squares = (matrix @ matrix.T if wide else matrix.T @ matrix) / max(matrix.shape)
    found = torch.linalg.eigvalsh(squares)
    if ((found - edge).abs() <= ROUNDING * found[-1].abs()).any():
        found = spectrum(matrix)
    return int((found > edge).sum())
