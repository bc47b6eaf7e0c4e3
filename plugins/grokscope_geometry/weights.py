"""The geometry family's measures of weights alone: spectra, sparseness, and the way from the baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from grokscope import Column, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

ZERO = "when the matrix is zero"


@measure(
    columns=[Column("effective_rank", "exp of the entropy of the singular values", min=0, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Roy & Vetterli 2007, definition 1",
)
def effective_rank(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by the entropy of its singular values.

    `exp(-sum_i p_i log p_i)`, `p_i = s_i / sum_j s_j`, over the min(m, n) singular values s. 1 for a matrix
    of rank one, min(m, n) when all singular values are equal.

    Shapes and units:
        One row per parameter of two or more dimensions, embeddings and positions included. Attention's
        (heads, d_head, d_model) is taken as (heads d_head, d_model), all heads together. Directions.

    How it is computed:
        From the singular values, in float64.

    Cost:
        One singular value decomposition per matrix and measure, 3 ms for 250 x 194.

    Traps:
        Every small singular value counts. A random 250 x 194 Gaussian matrix has 169 already; compare with
        step 0 and not with min(m, n). `stable_rank` and `participation_ratio` weigh the large ones more.

    Source:
        Roy & Vetterli 2007, "The effective rank", definition 1.
    """
    from grokscope_geometry.functional import effective_rank as formula

    yield from _per_matrix("effective_rank", weights, formula)


@measure(
    columns=[Column("stable_rank", "squared Frobenius norm over squared spectral norm", min=0, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Rudelson & Vershynin 2007, section 1",
)
def stable_rank(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by its norm in units of its largest singular value.

    `sum_i s_i^2 / max_i s_i^2`, between 1 and the rank.

    Shapes and units:
        Rows as in `effective_rank`; directions.

    How it is computed:
        From the singular values s, in float64.

    Cost:
        As `effective_rank`.

    Traps:
        One large singular value, such as a common offset of all rows, brings it near 1 whatever the rest
        does.

    Source:
        Rudelson & Vershynin 2007, "Sampling from large matrices", section 1.
    """
    from grokscope_geometry.functional import stable_rank as formula

    yield from _per_matrix("stable_rank", weights, formula)


@measure(
    columns=[
        Column("participation_ratio", "how many directions share the squared norm", min=0, missing=ZERO)
    ],
    per=["layer"],
    version=2,
    source="Gao et al. 2017, equation 4",
)
def participation_ratio(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by how evenly they share its squared norm.

    `(sum_i s_i^2)^2 / sum_i s_i^4`, between 1 and the rank.

    Shapes and units:
        Rows as in `effective_rank`; directions.

    How it is computed:
        From the eigenvalues s_i^2 of W^T W (not centred: weights have no samples), in float64.

    Cost:
        As `effective_rank`.

    Traps:
        Small singular values hardly count, by their fourth power: a matrix of full rank may have a ratio near
        1.

    Source:
        Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement", equation 4.
    """
    from grokscope_geometry.functional import participation_ratio as formula

    yield from _per_matrix("participation_ratio", weights, formula)


@measure(
    columns=[
        Column(
            "condition_number",
            "largest over smallest singular value",
            min=0,
            missing="NaN when the matrix is zero, infinite when it is singular up to rounding",
        )
    ],
    per=["layer"],
    version=2,
    source="Golub & Van Loan 2013, section 2.6.2",
)
def condition_number(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How much more each weight matrix stretches its strongest direction than its weakest.

    `max_i s_i / min_i s_i` over the min(m, n) singular values. Infinite when the smallest is at most max(m,
    n) 2^-52 of the largest, as it is when a unit has died to zero.

    Shapes and units:
        Rows as in `effective_rank`; a ratio, at least 1.

    How it is computed:
        From the singular values, in float64.

    Cost:
        As `effective_rank`.

    Traps:
        Weights are stored in float32, so that beyond some 1e6 the smallest singular value is their rounding.

    Source:
        Golub & Van Loan 2013, "Matrix computations", section 2.6.2.
    """
    from grokscope_geometry.functional import condition_number as formula

    yield from _per_matrix("condition_number", weights, formula)


@measure(
    columns=[Column("gini", "Gini coefficient of the entries' magnitudes", min=0, max=1, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Hurley & Rickard 2009, table I",
)
def gini(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How unequal the magnitudes of each weight matrix's entries are.

    `1 - 2 sum_i (c_i / |c|_1) (N - i + 1/2) / N`, c the N magnitudes in rising order: 0 when all are equal, 1
    - 1/N when one alone is not zero.

    Shapes and units:
        Rows as in `effective_rank`; a number from 0 to 1.

    How it is computed:
        From the sorted magnitudes of all entries, in float64.

    Cost:
        A sort per matrix.

    Traps:
        Independent Gaussian entries have sqrt(2) - 1 = 0.414, uniform ones 1/3: not sparse, and not 0.

    Source:
        Hurley & Rickard 2009, "Comparing measures of sparsity", table I.
    """
    yield from _per_matrix("gini", weights, numbers.gini)


@measure(
    columns=[
        Column(
            "hoyer",
            "Hoyer's sparseness of the entries",
            min=-1e-9,  # 0 up to rounding
            max=1 + 1e-9,
            missing="when the matrix is zero or has one entry",
        )
    ],
    per=["layer"],
    version=2,
    source="Hoyer 2004, section 3.1",
)
def hoyer(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How sparse each weight matrix is, by the ratio of its two norms.

    `(sqrt(N) - |w|_1 / |w|_2) / (sqrt(N) - 1)` over all N entries: 0 when all magnitudes are equal, 1 when
    one entry alone is not zero.

    Shapes and units:
        Rows as in `effective_rank`; a number from 0 to 1.

    How it is computed:
        From the l1 and the l2 norm, in float64.

    Cost:
        One pass over the weights.

    Traps:
        Large Gaussian matrices have 1 - sqrt(2/pi) = 0.202, and are not sparse.

    Source:
        Hoyer 2004, "Non-negative matrix factorization with sparseness constraints", section 3.1.
    """
    from grokscope_geometry.functional import hoyer as formula

    yield from _per_matrix("hoyer", weights, formula)


@measure(
    columns=[
        Column("l2", "norm of the difference to the baseline's weights", min=0),
        Column("relative", "l2 over the norm of the baseline's", min=0, missing="when the baseline is zero"),
        Column(
            "cosine",
            "cosine of the angle to the baseline's weights",
            min=-1,
            max=1,
            missing="when either is zero",
        ),
    ],
    per=["layer"],
    version=2,
    source="Euclidean geometry of the parameter vector",
)
def weight_distance(weights: Mapping[str, torch.Tensor], baseline: Probe) -> Iterator[dict[str, Any]]:
    """How far the weights have moved from the baseline's: over all parameters, and per parameter tensor.

    `l2` = |w - w0|, `relative` = |w - w0| / |w0|, `cosine` = <w, w0> / (|w| |w0|).

    Shapes and units:
        The row without a layer takes all parameters, biases included, as one vector. `l2` is in the unit of
        the weights, the others have none.

    How it is computed:
        In float64. The baseline is the first checkpoint unless `--baseline` says else; `--baseline previous`
        gives the length of the step between checkpoints.

    Cost:
        One pass over the parameters of both checkpoints; no network is built.

    Traps:
        A ReLU layer may shrink while the next grows: the weights move and the function stays the same. With
        `--baseline previous` checkpoints at uneven steps give uneven lengths.

    Source:
        Euclidean geometry of the parameter vector.
    """
    from grokscope_geometry.functional import flat
    from grokscope_geometry.functional import weight_distance as formula

    for name, weight in weights.items():
        numbers.require_finite(f"weight_distance: {name}", weight, baseline.weights[name])
    yield formula(flat(weights), flat({name: baseline.weights[name] for name in weights}))
    for name, weight in weights.items():
        yield {"layer": name, **formula(weight, baseline.weights[name])}


def _per_matrix(
    column: str, weights: Mapping[str, torch.Tensor], formula: Callable[[torch.Tensor], float]
) -> Iterator[dict[str, Any]]:
    for name, weight in weights.items():
        if weight.ndim >= 2:
            numbers.require_finite(f"{column}: {name}", weight)
            yield {"layer": name, column: formula(weight)}
