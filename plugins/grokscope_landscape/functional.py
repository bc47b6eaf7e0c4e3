"""Formulas of the loss around a checkpoint and of the network around an input: vectors and functions in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

Layer = tuple[torch.Tensor, torch.Tensor | None]  # weight and bias
JACOBIAN_VALUES = 1 << 18  # numbers of Jacobians at once: they stay in a core's cache
Field = Callable[[torch.Tensor], torch.Tensor]  # a vector at each point, or what a matrix makes of a vector
ROUNDING = 1e-6  # of the norm of float32 gradients
LEAST_RANGE = 1e-12  # of eigenvalues, where all are equal: a density has some width
BREAKS_DOWN = 1e-12  # of the largest entry so far: the matrix makes nothing new of the vectors so far


def commutator_defect(theta: torch.Tensor, grad_a: Field, grad_b: Field, eta: float) -> float:
    """Return `|theta_AB - theta_BA| / (|eta g_A| |eta g_B|)` of two gradient steps in either order.

    Xu 2026 (2602.16746): theta_AB is theta after a step on batch A and then one on batch B, g_A and g_B the
    gradients at theta. As eta falls it tends to `|H_A g_B - H_B g_A| / (|g_A| |g_B|)`, which it is at every
    eta for quadratic losses. Computed from the gradients' changes, which would be lost in theta's digits. NaN
    where a gradient is zero.

    >>> commutator_defect(torch.ones(2), lambda w: w, lambda w: w, 0.1)
    0.0
    """
    g_a, g_b = grad_a(theta), grad_b(theta)
    size = (g_a.norm() * g_b.norm()).item()
    if size == 0:
        return math.nan
    apart = (grad_a(theta - eta * g_b) - g_a) - (grad_b(theta - eta * g_a) - g_b)
    return (apart.norm() / (eta * size)).item()


def median_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the median of the finite values and its standard error, sqrt(pi / 2) s / sqrt(k); NaN for none.

    s is the standard deviation: the error of a median of normal values.

    >>> median_and_error([1.0, 1.0, 1.0])
    (1.0, 0.0)
    """
    known = torch.tensor([value for value in values if math.isfinite(value)], dtype=torch.float64)
    if not len(known):
        return math.nan, math.nan
    error = math.sqrt(math.pi / 2 / len(known)) * known.std().item() if len(known) > 1 else math.nan
    return known.quantile(0.5).item(), error


def largest_share(gram: torch.Tensor, offset: float) -> float:
    """Return the largest eigenvalue of a Gram matrix over its trace; NaN where that is rounding.

    `offset` is what the squares of the rows have beside the trace: those of their mean.
    """
    total = gram.trace()
    if total <= ROUNDING**2 * (total + offset):
        return math.nan
    return (torch.linalg.eigvalsh(gram)[-1] / total).item()


def chain_rows(layers: Sequence[Layer], inputs: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the rows of the Jacobians of a chain of Linear and ReLU at inputs (n, d), and whose they are.

    `W_L D_(L-1) ... D_1 W_1`, D_l the 0 and 1 of the ReLUs that are active: (m, d), and (m,) the input of
    each, as many at a time as stay in a core's cache.
    """
    widest = max(len(weight.T) for weight, _ in layers)
    outputs = layers[-1][0].split(max(1, JACOBIAN_VALUES // widest))
    for start in range(0, len(inputs), size := max(1, JACOBIAN_VALUES // (len(outputs[0]) * widest))):
        rows, active = inputs[start : start + size], []
        values = rows
        for weight, bias in layers[:-1]:
            values = torch.nn.functional.linear(values, weight, bias).relu()
            active.append(values > 0)
        owners = torch.arange(start, start + len(rows), device=inputs.device)
        for last in outputs:
            found = last.expand(len(rows), *last.shape)
            for (weight, _), there in zip(reversed(layers[:-1]), reversed(active), strict=True):
                found = (found * there[:, None]) @ weight
            yield found.flatten(0, 1), owners.repeat_interleave(len(last))


def scatter_of_two_layers(layers: Sequence[Layer], inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the Jacobians J = W_2 D W_1 of a chain of two layers come to, in float64.

    The sum of J^T J over inputs (n, d), which is W_1^T ((W_2^T W_2) o (A^T A)) W_1, A (n, h) the 0 and 1 of
    the ReLUs that are active, (d, d); and the sum of each Jacobian's rows, (n, d).
    """
    (first, bias), (last, _) = layers
    active = (torch.nn.functional.linear(inputs, first, bias) > 0).double()
    first, last = first.double(), last.double()
    both = (last.T @ last) * (active.T @ active)
    return first.T @ both @ first, (active * last.sum(dim=0)) @ first


def cosines(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the cosine of each pair of rows (n, d), (n,) float64; NaN where either is zero."""
    left, right = left.double(), right.double()
    return ((left * right).sum(dim=1) / (left.norm(dim=1) * right.norm(dim=1))).clamp(-1, 1)


class Quadrature(NamedTuple):
    """What Lanczos' iteration sees of a symmetric matrix from one start vector.

    `nodes` are the Ritz values (m,) in rising order, `mass` (m,) how much of the start vector they stand for,
    summing to 1, `bounds` (m,) how far each is from an eigenvalue at most.
    """

    nodes: torch.Tensor
    mass: torch.Tensor
    bounds: torch.Tensor


def lanczos(product: Field, start: torch.Tensor, steps: int) -> Quadrature:
    """Run Lanczos' iteration with full reorthogonalisation: Gauss quadrature of the spectrum.

    Golub & Meurant 2010, chapters 4 and 6: sum_j mass_j f(nodes_j) = v^T f(A) v for every polynomial f of
    degree below 2m, v the start vector scaled to 1; the largest and smallest node tend to the extreme
    eigenvalues, and are exact with as many steps as A has eigenvalues seen by v.

    Args:
        product: A v for a vector (d,), A symmetric.
        start: (d,) float64, not zero.
    """
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(steps, len(start))):
        found = product(basis[-1])
        diagonal.append((basis[-1] @ found).item())
        stacked = torch.stack(basis)
        for _ in range(2):  # twice is enough
            found = found - stacked.T @ (stacked @ found)
        beside.append(found.norm().item())
        if beside[-1] <= BREAKS_DOWN * max(map(abs, [*diagonal, *beside[:-1]])):
            break
        basis.append(found / beside[-1])
    off = torch.tensor(beside[:-1], dtype=torch.float64)
    lower_half = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, -1)
    nodes, vectors = torch.linalg.eigh(lower_half, UPLO="L")
    return Quadrature(nodes, vectors[0].square(), beside[-1] * vectors[-1].abs())


def smoothed(nodes: torch.Tensor, mass: torch.Tensor, grid: torch.Tensor, width: float) -> torch.Tensor:
    """Return the density of nodes of these masses on a grid (g,), each a Gaussian of that width, (g,)."""
    apart = (grid[:, None] - nodes) / width
    return (mass * (-apart.square() / 2).exp()).sum(dim=1) / (width * math.sqrt(2 * math.pi))
