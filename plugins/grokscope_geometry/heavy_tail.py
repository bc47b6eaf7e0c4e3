"""The geometry family's measure of the tail that each weight matrix's spectrum has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from grokscope import Column, NotApplicable, measure, numbers

if TYPE_CHECKING:
    import torch

FEW = "with fewer than ten eigenvalues above rounding, or all of them equal"


@measure(
    columns=[
        Column("alpha", "exponent of the power law of the largest eigenvalues", "", "down", 1, missing=FEW),
        Column("stderr", "standard error of alpha, (alpha - 1) / sqrt(tail)", min=0, missing=FEW),
        Column("xmin", "eigenvalue from which on the power law is fitted", min=0, missing=FEW),
        Column("ks", "Kolmogorov-Smirnov distance of fit and tail", min=0, max=1, missing=FEW),
        Column("tail", "how many eigenvalues are in the tail", min=0),
        Column("traps", "eigenvalues of the shuffled matrix that randomness does not explain", min=0),
    ],
    per=["layer"],
    source="Martin & Mahoney 2021, section 3; Clauset, Shalizi & Newman 2009",
)
def heavy_tail(weights: Mapping[str, torch.Tensor], rng: torch.Generator) -> Iterator[dict[str, Any]]:
    """How heavy the tail of each weight matrix's spectrum is: the exponent of its power law.

    Of the eigenvalues x of W^T W / m, W (m, n) with m >= n, those from `xmin` on are fitted by p(x) ~
    x^-alpha: alpha = 1 + k / sum_i log(x_i / xmin) over the k = `tail` eigenvalues, with the xmin that brings
    fit and data closest (`ks`). `traps` counts eigenvalues of W with its entries shuffled that are above the
    edge of random matrices with entries of this variance.

    Shapes and units:
        One row per parameter of two or more dimensions, taken as a matrix as in `effective_rank`. xmin is in
        squared weights, alpha has no unit.

    How it is computed:
        Eigenvalues in float64; those below (max(m, n) 2^-52)^2 of the largest are rounding and left out.
        Every eigenvalue but the largest is tried as xmin. The edge of `traps` is that of Marchenko & Pastur
        and, above it, the Tracy-Widom fluctuation that one random matrix in a hundred exceeds. The shuffle is
        the same at every checkpoint.

    Cost:
        Two singular value decompositions per matrix, and n fits at once; 10 ms for 250 x 194.

    Traps:
        Any spectrum has a best alpha: a random 250 x 194 Gaussian matrix has 5.7, of a `tail` of 30. Read
        `ks` and `stderr` with it, and step 0. xmin may jump from one checkpoint to the next, and alpha with
        it. An offset common to all entries survives the shuffle and counts as one trap.

    Source:
        Martin & Mahoney 2021, "Implicit self-regularization in deep neural networks", section 3; the fit is
        Clauset, Shalizi & Newman 2009, "Power-law distributions in empirical data". Of grokking: Prakash &
        Martin 2025 (2506.04434), where alpha falls to 2 as networks generalise and traps come with
        over-training.

    Raises:
        MeasureError: a weight that is not finite.
        NotApplicable: the network has no parameter with two or more dimensions.
    """
    from grokscope_geometry.functional import as_matrix
    from grokscope_geometry.tails import power_law, spectrum, traps

    matrices = {name: as_matrix(weight) for name, weight in weights.items() if weight.ndim >= 2}
    if not matrices:
        raise NotApplicable("the network has no parameter with two or more dimensions")
    for name, matrix in matrices.items():
        numbers.require_finite(f"heavy_tail: {name}", matrix)
        law = power_law(spectrum(weights[name]))
        fitted = dict.fromkeys(("alpha", "stderr", "xmin", "ks"), math.nan) | {"tail": 0}
        yield {
            "layer": name,
            **(fitted if law is None else law._asdict()),
            "traps": traps(matrix, rng),
        }
