"""Formulas of waves in float64: what of the logits and weights of modular addition lies in which frequencies.

Throughout, p is the modulus, `w_k = 2 pi k / p`, and the grid is all p^2 pairs (a, b). A function of the
pair's result s = a + b mod p alone is the same as the p values it takes, so the projection of the logits on
`cos(w_k(a+b))` and `sin(w_k(a+b))` is the mean over all pairs of one result (`fold`), projected along the
result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

PAIRS = 512  # taken to float64 at once: they stay in a core's cache
RANGE = 600.0  # of an exponent, in float64, of which a product with another is not yet nothing


def fourier_basis(p: int) -> torch.Tensor:
    """Return the orthonormal real Fourier basis of functions on 0 .. p-1, (p, p) float64, one vector per row.

    Row 0 is constant; rows 2k-1 and 2k are `cos(w_k x)` and `sin(w_k x)`, normalised, for k = 1 .. (p-1)/2;
    an even p has one more row, `(-1)^x`. The test checks `B B^T = I`.

    >>> basis = fourier_basis(5)
    >>> bool(torch.allclose(basis @ basis.T, torch.eye(5, dtype=torch.float64)))
    True
    """
    x = torch.arange(p, dtype=torch.float64)
    angles = 2 * math.pi / p * (x[1 : p // 2 + 1, None] * x % p)
    pairs = torch.stack([angles.cos(), angles.sin()], dim=1).flatten(0, 1)
    basis = torch.cat([torch.ones(1, p, dtype=torch.float64), pairs])[:p]  # an even p's last sine is zero
    return basis / basis.norm(dim=1, keepdim=True)


def rows_of(frequencies: Sequence[int], p: int) -> list[int]:
    """Return the rows of `fourier_basis(p)` that belong to the frequencies, 1 .. p // 2 each.

    >>> rows_of([1, 3], 6)
    [1, 2, 5]
    """
    return [row for k in frequencies for row in range(2 * k - 1, min(2 * k + 1, p))]


def fold(logits: torch.Tensor, results: torch.Tensor) -> torch.Tensor:
    """Return the mean logits of all pairs with the same result, (p, p) float64: row s, class c.

    Args:
        logits: (p^2, p) for all pairs, in any order.
        results: (p^2,) int64, the result of each pair; every result occurs p times.
    """
    p = logits.shape[1]
    sums = torch.zeros(p, p, dtype=torch.float64, device=logits.device)
    for rows, own in zip(logits.split(PAIRS), results.split(PAIRS), strict=True):
        sums.index_add_(0, own, rows.double())
    return sums / p


def project(folded: torch.Tensor, frequencies: Sequence[int]) -> torch.Tensor:
    """Return the part of the folded logits along `cos(w_k s)` and `sin(w_k s)`, (p, p): row s, class c.

    Gathered by each pair's result, it is the orthogonal projection of the logits on the grid: Nanda et al.
    2023, section 5.1, as their released code does it (two directions per frequency, no differences a - b, no
    constant).
    """
    p = folded.shape[0]
    waves = fourier_basis(p).to(folded.device)[rows_of(frequencies, p)]
    return waves.T @ (waves @ folded)


def excluded_logits(
    logits: torch.Tensor, results: torch.Tensor, folded: torch.Tensor, frequencies: Sequence[int]
) -> torch.Tensor:
    """Return the logits (n, p) float64 of some pairs without the frequencies; everything else is kept.

    Args:
        logits, results: of the pairs wanted, (n, p) and (n,).
        folded: `fold` of the logits of *all* pairs.
        frequencies: the key frequencies, 1 .. p // 2 each.
    """
    return logits.double() - project(folded, frequencies)[results]


def restricted_logits(
    results: torch.Tensor, folded: torch.Tensor, frequencies: Sequence[int]
) -> torch.Tensor:
    """Return the logits (n, p) float64 of pairs made of the frequencies and the mean over all pairs alone."""
    return project(folded, frequencies)[results] + folded.mean(dim=0)


def excluded_cross_entropies(
    logits: torch.Tensor, results: torch.Tensor, folded: torch.Tensor, sets: Sequence[Sequence[int]]
) -> list[float] | None:
    """Return the mean cross-entropy of `excluded_logits` for each of several sets of frequencies.

    What is taken out is the same for all pairs of one result, so with e = exp a sum over classes c of e(L_c -
    q_c) is one of e(L_c) e(-q_c): for all pairs of a result and all sets at once a matrix product. None where
    the part q varies by more than RANGE in any row, so that such a product might lose the largest term.

    Args:
        logits, results: of the pairs wanted, (n, p) and (n,).
        folded: `fold` of the logits of *all* pairs.
        sets: frequencies, 1 .. p // 2 each.
    """
    p = folded.shape[0]
    basis = fourier_basis(p).to(folded.device)
    along = basis @ folded
    chosen = torch.zeros(len(sets), p, dtype=torch.float64, device=folded.device)
    for at, frequencies in enumerate(sets):
        chosen[at, rows_of(frequencies, p)] = 1
    totals = torch.zeros(len(sets), dtype=torch.float64, device=folded.device)
    order = results.argsort(stable=True)
    counts = torch.bincount(results, minlength=p).tolist()
    for result, pairs in enumerate(order.split(counts)):
        if not len(pairs):
            continue
        parts = (chosen * basis[:, result]) @ along
        least = parts.amin(dim=1, keepdim=True)
        if (parts.amax(dim=1, keepdim=True) - least).amax() > RANGE:
            return None
        own = logits[pairs].double()
        highest = own.amax(dim=1, keepdim=True)
        sums = (own - highest).exp() @ (least - parts).exp().T
        totals += (sums.log() + highest - least.T).sum(dim=0)
        totals -= own[:, result].sum() - len(pairs) * parts[:, result]
    return (totals / len(results)).tolist()


def restricted_cross_entropies(folded: torch.Tensor, frequencies: Sequence[int]) -> torch.Tensor:
    """Return the cross-entropy of `restricted_logits` at each result, (p,): pairs of one result are alike."""
    results = torch.arange(len(folded), device=folded.device)
    kept = restricted_logits(results, folded, frequencies)
    return torch.nn.functional.cross_entropy(kept, results, reduction="none")


def frequency_power(folded: torch.Tensor) -> torch.Tensor:
    """Return the squared norm of the logits in `cos(w_k(a+b-c))` and `sin(w_k(a+b-c))`, (p // 2,).

    The norm is over the p^3 triples (a, b, c). Nanda et al. 2023, equation 1 and section 4.2.
    """
    p = folded.shape[0]
    s = torch.arange(p, device=folded.device)
    by_difference = folded.gather(1, (s[:, None] - s) % p).mean(dim=0)
    power = p**2 * (fourier_basis(p).to(folded.device) @ by_difference) ** 2
    return torch.nn.functional.pad(power[1:], (0, (p - 1) % 2)).unflatten(0, (-1, 2)).sum(dim=1)


def class_variation(logits: torch.Tensor) -> float:
    """Return the sum of squares of the logits about each example's mean, which a softmax does not see."""
    return math.fsum(map(_class_variation, logits.split(PAIRS)))


def _class_variation(logits: torch.Tensor) -> float:
    exact = logits.double()
    apart = (exact - exact.mean(dim=1, keepdim=True)).flatten()
    return torch.dot(apart, apart).item()


JUMP = 3.0  # by which the weakest key's norm is above the strongest other's, at least
OTHERS = 1 / 3  # of all frequencies, and two: what is below a jump must be enough to be a floor
LEFT = 1e-3  # share of the power of all frequencies that may lie below the first jump without a second look
VARIES = 1e-6  # of the largest norm: what varies by less is constant up to float32's rounding
ROUNDING = 1e-6  # of the largest norm: below it float32 logits say nothing


def above_the_gap(norms: torch.Tensor) -> tuple[list[int], float]:
    """Return the frequencies above the gap in the norms (p // 2,), in rising order, and how wide it is.

    The gap is the largest ratio of neighbours among the norms in falling order, if that is 3 or more and a
    third of the frequencies, two at least, lie below. Where these still hold more than a thousandth of the
    power of all, as after one strong key and a weak one, the largest such ratio below is taken instead, and
    so on. So the keys may be as unequal as they like, as long as the weakest stands out from the others.
    Without a gap no frequency is key: ([], the largest ratio).

    The test draws keys of strength 0.16 to 1 over floors of five shapes with maxima of 0.001 to 0.04.

    >>> above_the_gap(torch.tensor([0.01, 1.0, 0.02, 0.2, 0.01, 0.01]))
    ([2, 4], 10.0)
    >>> above_the_gap(torch.tensor([1.0, 0.9, 0.8, 0.7, 0.6, 0.5]))[0]
    []
    """
    falling, order = norms.double().sort(descending=True, stable=True)
    falling = falling.clamp(min=ROUNDING * falling[0].item())
    ratios = falling[:-1] / falling[1:]
    below = falling.square().flip(0).cumsum(0).flip(0)
    most = len(norms) - max(2, math.ceil(OTHERS * len(norms)))
    keys = 0
    while keys < most:
        widest = keys + int(ratios[keys:most].argmax())
        if ratios[widest] < JUMP:
            break
        keys = widest + 1
        if below[keys] <= LEFT * below[0]:
            break
    gap = ratios[keys - 1].item() if keys else max(ratios[: max(1, most)].tolist(), default=1.0)
    return sorted(int(k) + 1 for k in order[:keys]), round(gap, 6)


def key_frequencies(norms: torch.Tensor, threshold: float | None, count: int | None = None) -> list[int]:
    """Return the frequencies whose norms are large, in rising order.

    They have at least `threshold` of the largest norm, or are the `count` largest.

    >>> key_frequencies(torch.tensor([0.02, 0.5, 0.0, 0.3]), 0.1)
    [2, 4]
    >>> key_frequencies(torch.tensor([0.02, 0.5, 0.0, 0.3]), None, 3)
    [1, 2, 4]
    """
    if count is not None:
        chosen = norms.argsort(descending=True, stable=True)[:count]
    else:
        chosen = torch.nonzero(norms >= (threshold or 0.0) * norms.max()).flatten()
    return sorted(int(k) + 1 for k in chosen)


def fourier_norms(matrix: torch.Tensor) -> torch.Tensor:
    """Return the norm of each Fourier component of a matrix (m, p) along its columns, (p,)."""
    return (matrix.double() @ fourier_basis(matrix.shape[1]).to(matrix.device).T).norm(dim=0)


def showing_all(tokens: torch.Tensor) -> torch.Tensor:
    """Return rows of (n, places) that hold every token of every place at that place, (m,) int64.

    >>> showing_all(torch.tensor([[0, 5], [1, 5], [0, 5], [1, 6]])).tolist()
    [0, 1, 3]
    """
    places = tokens.unbind(dim=1)
    firsts = []
    for place in places:
        _, of = place.unique(return_inverse=True)
        first = torch.full((int(of.max()) + 1,), len(of), device=of.device)
        firsts.append(first.scatter_reduce(0, of, torch.arange(len(of), device=of.device), "amin"))
    return torch.cat(firsts).unique()


def operand_means(first: torch.Tensor, operands: torch.Tensor, p: int) -> list[torch.Tensor]:
    """Return the means of a layer (p^2, units) over all pairs with the same operand, (p, units) float64.

    For each of the k operands (p^2, k) of the pairs.

    Of a first layer that is a sum over operands, u(a) + v(b) + bias, these are its columns of this operand up
    to a constant of each unit.
    """
    sums = [torch.zeros(p, first.shape[1], dtype=torch.float64, device=first.device) for _ in operands[0]]
    for rows, own in zip(first.split(PAIRS), operands.split(PAIRS), strict=True):
        exact = rows.double()
        for total, operand in zip(sums, own.unbind(dim=1), strict=True):
            total.index_add_(0, operand, exact)
    return [total / p for total in sums]


def inverse_participation(table: torch.Tensor) -> torch.Tensor:
    """Return the inverse participation ratio of each unit's power over frequencies, (units varying,).

    Gromov 2023: sum_k q_k^2, q_k = the power of a unit's column (p, units) at frequency k = 1 .. p // 2, sine
    and cosine together, over its power at all of these; the constant has no part. 1 for a pure wave of any
    phase, 1 / (p // 2) for equal power at all frequencies, about 2 / (p // 2) for white noise. Units that
    vary by less than 1e-6 of the largest unit's norm are constant up to float32's rounding and left out.

    >>> x = torch.arange(5, dtype=torch.float64)[:, None]
    >>> [round(ratio, 12) for ratio in inverse_participation((2 * math.pi * 2 / 5 * x + 1).cos()).tolist()]
    [1.0]
    """
    p = len(table)
    power = (fourier_basis(p).to(table.device)[1:] @ table.double()).square()
    together = torch.nn.functional.pad(power, (0, 0, 0, (p - 1) % 2)).unflatten(0, (-1, 2)).sum(dim=1)
    total = together.sum(dim=0)
    varying = total > VARIES**2 * table.double().square().sum(dim=0).max()
    return (together[:, varying] / total[varying]).square().sum(dim=0)
