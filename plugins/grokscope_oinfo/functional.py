"""O-information of Gaussian copulas: normal scores, their correlation, and Omega of one or of all multiplets.

Everything is float64 and in nats. Many small steps are numpy's, a call of which takes a fourth of a call of
torch. A multiplet is a set of variables, or of groups of variables; as a number
it is a mask, whose bit j says that variable (or group) j is in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy
import torch

# A variable of which the others leave less of the variance unexplained than this is taken for a function of
# them. Rounding moves that share by about 1e-15, so Omega is still good to 1e-6 nats just above it.
SINGULAR = 1e-9
COLUMNS_AT_ONCE = 16  # variables ranked together: 4000 examples of them stay in a core's cache
MOST_TIES = 256  # of values above zero among these columns: float32 values meet by chance
SOME = 64  # examples of which most columns are seen to vary
BATCH_VALUES = 1 << 18  # float64 values per batch of unions: 2 MB; half and twice as much take longer


def normal_scores(values: torch.Tensor, ties: Literal["average", "argsort"] = "average") -> torch.Tensor:
    """Return the normal score of each value among its column: ndtri(rank / (n + 1)), ranks from 1 to n.

    Ties take the average of their ranks (`average`) or are broken by row order (`argsort`). The second makes
    ties look like agreement: two independent units that are 84 % zeros then correlate at 0.44 (at 0.37 with
    numpy's unstable argsort), with average ranks at 0.

    Args:
        values: (n, variables), finite.

    Returns:
        (n, variables) float64.

    >>> normal_scores(torch.tensor([[2.0], [0.0], [0.0]]))[:, 0].round(decimals=3)
    tensor([ 0.6740, -0.3190, -0.3190], dtype=torch.float64)
    """
    n, variables = values.shape
    table = torch.special.ndtri(torch.arange(2 * n + 1, dtype=torch.float64) / (2 * (n + 1))).numpy()
    scores = numpy.empty((variables, n))
    for first in range(0, variables, COLUMNS_AT_ONCE):
        columns = values[:, first : first + COLUMNS_AT_ONCE].T.contiguous().numpy()
        block = scores[first : first + COLUMNS_AT_ONCE]
        if ties == "average" and columns.dtype == numpy.float32 and _score_rectified(columns, table, block):
            continue
        for row, rising, order in zip(block, *_sorted(columns, stable=ties == "argsort"), strict=True):
            row[order] = _of_mean_ranks(rising, table) if ties == "average" else table[2::2]
    return torch.from_numpy(scores).T


def _score_rectified(columns: numpy.ndarray, table: numpy.ndarray, block: numpy.ndarray) -> bool:
    """Write the normal scores of float32 columns (variables, n) into the block; False where it is not done.

    It is done where no value is negative and few but zeros are equal: only what is above zero is sorted.
    """
    n, flat = columns.shape[1], numpy.flatnonzero(columns != 0)
    bits = columns.reshape(-1)[flat].view(numpy.int32)  # they rise with the value, if that is not negative
    if len(bits) and bits.min() < 0:
        return False
    keys = numpy.empty(len(flat), "<i8")
    places, rising = keys.view("<i4")[::2], keys.view("<i4")[1::2]
    places[:], rising[:] = flat, bits
    counts = numpy.count_nonzero(columns, axis=1)
    ends = counts.cumsum()
    for end, count in zip(ends, counts, strict=True):
        keys[end - count : end].sort()
    equal = numpy.flatnonzero(rising[1:] == rising[:-1])
    if len(equal) > MOST_TIES:
        return False
    rectified = numpy.concatenate([table[2::2][n - count :] for count in counts])
    for first, last in _runs(equal.tolist(), set((ends - 1).tolist())):
        end = ends[numpy.searchsorted(ends, first, side="right")]
        rectified[first : last + 1] = table[2 * (n - end + 1) + first + last]  # of the mean of their ranks
    block[:] = table[n - counts + 1][:, None]
    block.reshape(-1)[places.astype(numpy.intp)] = rectified
    return True


def _runs(equal: list[int], lasts: set[int]) -> list[tuple[int, int]]:
    """Return first and last place of each run of equal values: those of `equal` equal the next ones.

    At `lasts` a column ends: the next value is of another.
    """
    runs: list[tuple[int, int]] = []
    for at in equal:
        if at in lasts:
            continue
        first = runs.pop()[0] if runs and runs[-1][1] == at else at
        runs.append((first, at + 1))
    return runs


def _sorted(columns: numpy.ndarray, *, stable: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return (variables, n) in rising order, or whole numbers in the same order, and the indices that sort.

    Bits that rise with the value, and the index below them, are one integer, and numpy sorts integers several
    times as fast as it finds the order of numbers. A network's activations are float32, with room for both.
    """
    if columns.dtype != numpy.float32:
        return _sorted_doubles(columns.astype(numpy.float64), stable=stable)
    bits = (columns + numpy.float32(0)).view(numpy.int32)  # adding zero makes -0.0 the 0.0 that it equals
    keys = numpy.empty(columns.shape, "<i8")
    low, high = keys.view("<i4")[:, ::2], keys.view("<i4")[:, 1::2]
    numpy.bitwise_xor(bits, bits >> 31 & 0x7FFFFFFF, out=high)
    low[:] = numpy.arange(columns.shape[1])
    keys.sort(axis=1)
    return keys >> 32, keys & 0xFFFFFFFF


def _sorted_doubles(columns: numpy.ndarray, *, stable: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return what `_sorted` does, with the index in place of the last bits: few differ in these alone."""
    bits, last = (columns + 0.0).view(numpy.int64), (1 << (columns.shape[1] - 1).bit_length()) - 1
    keys = bits ^ (bits >> 63 & 0x7FFFFFFFFFFFFFFF)
    keys &= ~last
    keys |= numpy.arange(columns.shape[1])
    keys.sort(axis=1)
    order = keys & last
    rising = numpy.take_along_axis(columns, order, axis=1)
    if not (rising[:, 1:] >= rising[:, :-1]).all():
        order = numpy.argsort(columns, axis=1, kind="stable" if stable else None)
        rising = numpy.take_along_axis(columns, order, axis=1)
    return rising, order


def _of_mean_ranks(rising: numpy.ndarray, table: numpy.ndarray) -> numpy.ndarray:
    """Return what the table has for twice the mean rank of each of n rising values: equal ones share it."""
    n, equal, scores = len(rising), rising[1:] == rising[:-1], table[2::2]
    ties = numpy.count_nonzero(equal)
    if not ties:
        return scores
    first = int(equal.argmax())
    if equal[first : first + ties].all():  # one value alone is there several times, as a ReLU's zero is
        scores = scores.copy()
        scores[first : first + ties + 1] = table[2 * first + ties + 2]
        return scores
    edges = numpy.concatenate([[0], numpy.flatnonzero(~equal) + 1, [n]])
    return numpy.repeat(table[edges[:-1] + edges[1:] + 1], numpy.diff(edges))


def is_constant(values: torch.Tensor) -> torch.Tensor:
    """Return which columns of (n, variables) hold one value only, (variables,) bool."""
    constant = (values[:SOME] == values[:1]).all(dim=0)
    if constant.any():
        constant[constant.clone()] = (values[:, constant] == values[:1, constant]).all(dim=0)
    return constant


def gram(values: torch.Tensor) -> torch.Tensor:
    """Return the float64 products of all pairs of columns of (n, variables): symmetric to the last bit.

    By numpy, which sees that a matrix meets its own transpose and computes one half: torch computes both.
    """
    matrix = values.to(torch.float64).numpy()
    return torch.from_numpy(matrix.T @ matrix)


def correlation(scores: torch.Tensor) -> torch.Tensor:
    """Return the Pearson correlation matrix of (n, variables), with a diagonal of exactly 1.

    A constant column correlates with nothing, itself included: its row, column and diagonal entry are 0,
    which makes every multiplet that holds it singular, and so NaN.
    """
    return _correlation(scores, is_constant(scores))


def _correlation(scores: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
    scores = scores.to(torch.float64)
    matrix = gram(scores - scores.mean(dim=0))
    norms = torch.where(constant, torch.inf, matrix.diagonal().sqrt())
    matrix = matrix / norms[:, None] / norms
    matrix.diagonal().copy_((~constant).to(matrix.dtype))
    return matrix


def copula_correlation(values: torch.Tensor, ties: Literal["average", "argsort"] = "average") -> torch.Tensor:
    """Return the correlation of the normal scores of (n, variables): the Gaussian copula's parameter."""
    return _correlation(normal_scores(values, ties), is_constant(values))


def o_information(correlation: torch.Tensor) -> torch.Tensor:
    """Compute the O-information of Gaussian variables from their correlation matrix.

    Clauw et al. 2024 (after Rosas et al. 2019): Omega(Z) = (m - 2) H(Z) + sum_j [H(Z_j) - H(Z without j)].
    With H = 1/2 log det R, up to terms that cancel, and a unit diagonal that is 1/2 [-2 log det R - sum_j log
    (R^-1)_jj]. Positive: redundancy; negative: synergy; 0 for two variables, for independent ones, and for a
    variable that is independent of all others added to any set.

    Args:
        correlation: (..., m, m) with unit diagonal.

    Returns:
        (...) nats; NaN where the matrix is singular: where the others explain all but `SINGULAR` of a
        variable.

    >>> r = torch.full((3, 3), 0.5, dtype=torch.float64).fill_diagonal_(1.0)
    >>> round(o_information(r).item(), 6)  # 1/2 [-2 log(1/2) - 3 log(3/2)]
    0.08495
    """
    factor, failed = torch.linalg.cholesky_ex(correlation)
    eye = torch.eye(correlation.shape[-1], dtype=correlation.dtype)
    inverse = torch.linalg.solve_triangular(factor, eye, upper=False).square().sum(dim=-2)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    omega = -log_det - inverse.log().sum(dim=-1) / 2
    return omega.where((failed == 0) & (inverse <= 1 / SINGULAR).all(dim=-1), torch.nan)


def entropy_bias(largest: int, n: int) -> torch.Tensor:
    """Return what n examples add to the estimated entropy of 0 to `largest` Gaussian variables, in nats.

    gcmi's (Ince et al. 2017) correction of an entropy of m variables, up to terms that cancel in Omega:
    -1/2 sum_{i=1..m} psi((n - i) / 2), with its sign turned.

    Returns:
        (largest + 1,) float64; NaN from m = n on, as there is no estimate.
    """
    halves = (n - torch.arange(1, largest + 1, dtype=torch.float64)) / 2
    digamma = torch.special.digamma(halves).where(halves > 0, torch.nan)
    return torch.cat([digamma.new_zeros(1), digamma.cumsum(0)]) / 2


def bias(size: torch.Tensor, n: int) -> torch.Tensor:
    """Return what estimating from n examples adds to Omega of `size` Gaussian variables, in nats.

    `entropy_bias` put into Omega's definition: subtract the result from the estimate.

    Returns:
        the shape of `size`, float64; NaN where n <= size, as there is no estimate.
    """
    entropy = entropy_bias(int(size.max()), n)
    return (size - 2) * entropy[size] + size * (entropy[1] - entropy[size - 1])


def union_sizes(sizes: torch.Tensor) -> torch.Tensor:
    """Return the number of variables in every union of groups of these sizes, (2^k,) int64 by mask."""
    total = numpy.zeros(1, dtype=numpy.int64)
    for size in sizes.tolist():
        total = numpy.concatenate([total, total + size])
    return torch.from_numpy(total)


def log_minors(matrix: torch.Tensor) -> torch.Tensor:
    """Compute the log-determinants of all principal submatrices of a positive definite matrix.

    Variable by variable: each partial matrix gets two children, one without the variable, one with the
    logarithm of its pivot added and the Schur complement taken; all partial matrices of a level are one
    batch. 2^d values for about the price of one level's batch, d = 10 in a fraction of a millisecond.

    Args:
        matrix: (d, d) symmetric.

    Returns:
        (2^d,) by mask, 0 for the empty one; NaN where a pivot is not positive.
    """
    values, partial = numpy.zeros(1), matrix.numpy()[None]
    for _ in range(len(matrix)):
        pivot = partial[:, 0, 0]
        pivot = numpy.where(pivot > 0, pivot, numpy.nan)
        column, rest = partial[:, 1:, 0], partial[:, 1:, 1:]
        schur = rest - (column / pivot[:, None])[:, :, None] * column[:, None, :]
        values = numpy.concatenate([values, values + numpy.log(pivot)])
        partial = numpy.concatenate([rest, schur])
    return torch.from_numpy(values)


def o_information_of_subsets(correlation: torch.Tensor) -> torch.Tensor:
    """Compute Omega of every subset of variables: `o_information`, but all 2^d at once from `log_minors`.

    Returns:
        (2^d,) nats by mask; NaN for singular subsets and, having no Omega, for those of fewer than two
        variables. Exactly 0 for pairs.
    """
    half_log_det = log_minors(correlation) / 2
    most_explained = numpy.zeros(len(half_log_det))
    for without, with_j, worst in _by_member(half_log_det.numpy(), most_explained):
        numpy.maximum(worst, 2 * (without - with_j), out=worst)
    omega = o_information_of_entropies(half_log_det)
    return omega.where(torch.from_numpy(most_explained <= -math.log(SINGULAR)), torch.nan)


def o_information_of_entropies(entropy: torch.Tensor) -> torch.Tensor:
    """Compute Omega of every set of variables from the entropy of every set, whatever the variables are.

    Args:
        entropy: (2^k,) nats by mask, 0 for the empty one, NaN where there is none.

    Returns:
        (2^k,) nats by mask; NaN for sets of fewer than two variables, and where an entropy is missing.
        Exactly 0 for pairs.
    """
    size = union_sizes(torch.ones(len(entropy).bit_length() - 1, dtype=torch.int64))
    omega = (size - 2) * entropy
    values = entropy.numpy()
    for j, (without, _, sums) in enumerate(_by_member(values, omega.numpy())):
        sums += values[2**j] - without
    return omega.where(size >= 2, torch.nan)


def _by_member(
    values: numpy.ndarray, result: numpy.ndarray
) -> Iterator[tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]]:
    """Yield, for each j, `values` of the sets without it and of the same with it, and their `result`."""
    for j in range(len(values).bit_length() - 1):
        # seen as (higher bits, bit j, lower bits): sets with j stand beside the same sets without it
        seen = values.reshape(-1, 2, 2**j)
        yield seen[:, 0], seen[:, 1], result.reshape(-1, 2, 2**j)[:, 1]


def entropies_of_unions(correlation: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute the Gaussian entropy of every union of groups of variables, up to terms that cancel in Omega.

    H = 1/2 log det R, one factorisation for each union: it takes the time of 2^k of them.

    Args:
        correlation: (variables, variables) with unit diagonal.
        labels: (variables,) group of each, 0 to k - 1.

    Returns:
        (2^k,) nats by mask, 0 for the empty one; NaN where a variable of a union is singular.
    """
    entropy = correlation.new_zeros(2 ** (int(labels.max()) + 1))
    regular = False  # once all variables together are, all of their unions are
    for mask in range(len(entropy) - 1, 0, -1):
        chosen = torch.nonzero((mask >> labels) & 1)[:, 0]
        factor, failed = torch.linalg.cholesky_ex(correlation[chosen][:, chosen])
        if regular or (not failed and _is_regular(factor)):
            regular |= mask == len(entropy) - 1
            entropy[mask] = factor.diagonal().log().sum()
        else:
            entropy[mask] = torch.nan
    return entropy


def _is_regular(factor: torch.Tensor) -> bool:
    """Return whether no variable is explained by the others but for `SINGULAR` of its variance."""
    eye = torch.eye(len(factor), dtype=factor.dtype)
    inverse = torch.linalg.solve_triangular(factor, eye, upper=False).square().sum(dim=0)
    return bool((inverse <= 1 / SINGULAR).all())


class _Partial(NamedTuple):
    """A batch of unions on which the first groups are decided; variables are ordered by group.

    `masks` (N,): the groups taken. `schur` (N, r, r): covariance of the undecided variables given those
    taken. `weights` (N, i, r): regression weights of the undecided variables on the decided ones, 0 for those
    left out. `inverse` (N, i): diagonal of the inverse correlation matrix of those taken, 1 for those left
    out. `log_det` (N,).
    """

    masks: torch.Tensor
    schur: torch.Tensor
    weights: torch.Tensor
    inverse: torch.Tensor
    log_det: torch.Tensor

    @property
    def values(self) -> int:
        return self.schur.numel() + self.weights.numel()

    def omega(self) -> torch.Tensor:
        """Return Omega of unions on which all groups are decided, (N,); NaN where one is singular."""
        value = -self.log_det - self.inverse.log().sum(dim=1) / 2
        return value.where((self.inverse <= 1 / SINGULAR).all(dim=1), torch.nan)


def o_information_of_unions(correlation: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute Omega of the variables of every union of groups, its sums running over single variables.

    The recursion of `log_minors` by groups, carrying also the diagonal of the inverse that Omega needs:
    taking group g, with P its covariance given those already taken, W the weights on it and C its covariance
    with the undecided ones, adds diag(W P^-1 W^T) to the others' inverse diagonal, diag(P^-1) for its own,
    and log det P. Groups go from large to small, so that the large factorisations are the few ones. Small
    batches of unions grow by both children; large ones are followed into one child after the other, for
    moving numbers about costs more than computing them.

    Args:
        correlation: (variables, variables) with unit diagonal.
        labels: (variables,) group of each, 0 to k - 1, none empty.

    Returns:
        (2^k,) nats by mask of groups; NaN for singular unions and those of fewer than two variables.
        With groups of one variable each it is `o_information_of_subsets`.
    """
    sizes = torch.bincount(labels)
    groups = torch.argsort(sizes, descending=True).tolist()
    order = torch.cat([torch.nonzero(labels == group)[:, 0] for group in groups])
    omega = correlation.new_full((2 ** len(groups),), torch.nan)
    empty = correlation.new_zeros(1, 0)
    root = _Partial(
        torch.zeros(1, dtype=torch.int64),
        correlation[order][:, order][None],
        correlation.new_zeros(1, 0, len(order)),
        empty,
        empty.new_zeros(1),
    )
    for leaf in _leaves(root, [(group, int(sizes[group])) for group in groups]):
        omega[leaf.masks] = leaf.omega()
    return omega.where(union_sizes(sizes) >= 2, torch.nan)


def _leaves(partial: _Partial, groups: list[tuple[int, int]]) -> Iterator[_Partial]:
    """Decide the remaining (group, size) one by one; only small batches hold both children of a union."""
    if not groups:
        yield partial
        return
    (group, size), rest = groups[0], groups[1:]
    if 2 * partial.values <= BATCH_VALUES:
        pairs = zip(_with_empty_rows(_left(partial, size), size), _taken(partial, group, size), strict=True)
        yield from _leaves(_Partial(*(torch.cat(pair) for pair in pairs)), rest)
    else:
        yield from _leaves(_left(partial, size), rest)
        yield from _leaves(_taken(partial, group, size), rest)


def _left(partial: _Partial, size: int) -> _Partial:
    """Return each partial union without the next `size` variables, which are no longer among its rows."""
    masks, schur, weights, inverse, log_det = partial
    return _Partial(masks, schur[:, size:, size:], weights[:, :, size:], inverse, log_det)


def _with_empty_rows(left: _Partial, size: int) -> _Partial:
    """Return `left` with rows for the `size` variables that it left out, as those that took them have."""
    masks, schur, weights, inverse, log_det = left
    n, _, undecided = weights.shape
    weights = torch.cat([weights, weights.new_zeros(n, size, undecided)], dim=1)
    return _Partial(masks, schur, weights, torch.cat([inverse, inverse.new_ones(n, size)], dim=1), log_det)


def _taken(partial: _Partial, group: int, size: int) -> _Partial:
    """Return each partial union with the next `size` variables, those of `group`."""
    masks, schur, weights, inverse, log_det = partial
    block, cross, rest = schur[:, :size, :size], schur[:, :size, size:], schur[:, size:, size:]
    old, undecided = weights[:, :, :size], weights[:, :, size:]
    factor, failed = torch.linalg.cholesky_ex(block)
    root = torch.linalg.solve_triangular(factor, torch.eye(size, dtype=schur.dtype), upper=False)
    root = torch.where((failed == 0)[:, None, None], root, torch.nan)
    half, half_old = root @ cross, old @ root.mT
    added = torch.linalg.vector_norm(half_old, dim=2).square_()
    own = torch.linalg.vector_norm(root, dim=1).square_()
    return _Partial(
        masks + 2**group,
        torch.baddbmm(rest, half.mT, half, alpha=-1),
        torch.cat([torch.baddbmm(undecided, half_old, half, alpha=-1), root.mT @ half], dim=1),
        torch.cat([inverse + added, own], dim=1),
        log_det - 2 * root.diagonal(dim1=1, dim2=2).log().sum(dim=1),
    )
