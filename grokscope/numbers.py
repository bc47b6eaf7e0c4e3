"""What measures of several families ask of numbers: that they are finite, and how unequal they are."""

from __future__ import annotations

import cmath
import math
from typing import TYPE_CHECKING

from grokscope.errors import MeasureError

if TYPE_CHECKING:
    import torch

ROWS = 2048  # taken to float64 at once
VALUES = 1 << 22  # of columns taken to float64 at once

__all__ = ["all_finite", "gini", "gram", "moments", "products", "require_finite"]


def require_finite(what: str, *numbers: torch.Tensor | float) -> None:
    """Raise MeasureError with the sentence that `what` must be finite, unless all numbers are.

    >>> require_finite("mine: the logits", 1.0, float("nan"))
    Traceback (most recent call last):
    grokscope.errors.MeasureError: mine: the logits must be finite, got NaN or infinity
    """
    for values in numbers:
        if not (math.isfinite(values) if isinstance(values, float) else all_finite(values)):
            raise MeasureError(f"{what} must be finite, got NaN or infinity")


def all_finite(values: torch.Tensor) -> bool:
    """Return whether every value is a finite number.

    A sum is finite only if all its terms are, and takes a thirtieth of the time of looking at each; where it
    is not, as where it overflows, each is looked at.
    """
    return cmath.isfinite(values.sum().item()) or bool(values.isfinite().all())


def moments(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean (d,) and the scatter matrix (d, d) of values (n, d), float64, by parts of the rows.

    The scatter matrix is the sum over rows of (v - mean)(v - mean)^T.

    >>> import torch
    >>> moments(torch.tensor([[1.0], [3.0]]))
    (tensor([2.], dtype=torch.float64), tensor([[2.]], dtype=torch.float64))
    """
    import torch

    mean = values.mean(dim=0, dtype=torch.float64)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=values.device)
    for rows in values.split(ROWS):
        scatter += products(rows - mean)
    return mean, scatter


def gram(values: torch.Tensor) -> torch.Tensor:
    """Return the products of all pairs of rows of values (n, d), less their mean, (n, n) float64.

    By parts of the columns. Its eigenvalues are those of the scatter matrix, which is larger where d > n.

    >>> import torch
    >>> gram(torch.tensor([[1.0], [3.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]], dtype=torch.float64)
    """
    import torch

    found = torch.zeros(len(values), len(values), dtype=torch.float64, device=values.device)
    for columns in values.split(max(1, VALUES // max(1, len(values))), dim=1):
        exact = columns.double()
        found += products((exact - exact.mean(dim=0)).T)
    return found


def products(matrix: torch.Tensor) -> torch.Tensor:
    """Return M^T M, the products of all pairs of columns (d, d) of a matrix (n, d).

    By numpy, which sees that a matrix meets its own transpose and computes one half: torch computes both.

    >>> import torch
    >>> products(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.],
            [2., 4.]])
    """
    import torch

    if matrix.device.type != "cpu":
        return matrix.T @ matrix
    array = matrix.numpy()
    return torch.from_numpy(array.T @ array)


def gini(values: torch.Tensor) -> float:
    """Return the Gini coefficient of the magnitudes of all entries; NaN when all are zero.

    Hurley & Rickard 2009, table I: `1 - 2 sum_i (c_i / |c|_1) (N - i + 1/2) / N`, c the magnitudes in rising
    order, i = 1 .. N. 0 when all are equal, 1 - 1/N when one alone is not zero; unchanged by scale.

    >>> import torch
    >>> gini(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    0.75
    """
    import numpy
    import torch

    magnitudes = values.detach().double().abs().flatten().cpu().numpy()
    rising = torch.from_numpy(numpy.sort(magnitudes)).to(values.device)  # in an eighth of torch's time
    n = len(rising)
    ranks = torch.arange(1, n + 1, dtype=torch.float64, device=rising.device)
    return (1 - 2 * (rising * (n - ranks + 0.5)).sum() / (n * rising.sum())).item()
