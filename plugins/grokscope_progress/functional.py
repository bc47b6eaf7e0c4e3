"""Formulas of Golechha's progress measures and of dropout robustness: tensors in, numbers out, in float64."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import torch

Weights = Mapping[str, torch.Tensor]
EVERY = ""  # the key that stands for all weight matrices pruned at once


def sparsity(activations: torch.Tensor, tau: float) -> float:
    """Return the share of `activations` whose absolute value is strictly below `tau`.

    Golechha 2024, activation sparsity: (1/N) sum_i [a_i < tau] over all N examples x units, of activations
    that are not negative; of others the absolute value is what is small.

    >>> sparsity(torch.tensor([[0.0, 0.5], [2.0, -1.0]]), 0.5)
    0.25
    """
    return torch.count_nonzero(activations.abs() < tau).item() / activations.numel()


def entropy_and_mass(weight: torch.Tensor) -> tuple[float, float]:
    """Return H = -sum |w| log |w| with 0 log 0 = 0, in nats, and the mass S = sum |w|.

    Golechha 2024, absolute weight entropy H. Both are sums over weights: those of several matrices together
    are the sums of theirs. For N weights drawn uniformly from (-a, a), E[H] = N (a/4 - a/2 log a).

    >>> entropy_and_mass(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    (0.0, 2.0)
    """
    size = weight.detach().abs().double()
    return torch.special.entr(size).sum().item(), size.sum().item()


def normalised_entropy(entropy: float, mass: float) -> float:
    """Return the Shannon entropy of |w| / S from H and S: log S + H / S, in nats; NaN when S = 0.

    Between 0 (one weight is all there is) and log N (all N are equally large); unchanged when every weight is
    multiplied by the same factor, as H is not.
    """
    return max(0.0, math.log(mass) + entropy / mass) if mass > 0 else math.nan


def divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return KL(p || q) of each row, in nats, from log probabilities: (n, K), (n, K) -> (n,).

    In log space, so that logits of any size give a finite number. Gibbs' inequality says that it is never
    negative, so what rounding leaves below 0 is 0.
    """
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).clamp(min=0)


def pruned_indices(name: str, size: int, repeat: int, fraction: float, seed: int) -> torch.Tensor:
    """Return which of a matrix's `size` weights are zeroed: round(fraction * size) distinct flat indices.

    The draw is seeded by `seed`, `name` and `repeat` alone, so a matrix's mask depends neither on the other
    matrices nor on how many masks are drawn, and a smaller fraction zeroes a part of what a larger one does.
    """
    digest = hashlib.sha256(f"{seed}\0{name}\0{repeat}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(size, generator=generator)[: round(fraction * size)]


def circuit_complexity(
    forward: Callable[[Weights], torch.Tensor],
    weights: Weights,
    *,
    fraction: float,
    repeats: int,
    per_matrix: bool,
    rng: torch.Generator,
) -> dict[str, list[float]]:
    """Return sum_x KL(softmax f_W(x) || softmax f_W'(x)), one per random mask.

    Golechha 2024, approximate local circuit complexity; W' is W with `fraction` of the weights zeroed.

    Args:
        forward: logits (n, K) of the network with these weights replaced; `forward({})` replaces none.
        weights: the weight matrices by name; they are not changed.
        fraction: share of each matrix zeroed, rounded to a whole number of weights.
        repeats: number of masks.
        per_matrix: whether to prune each matrix alone, too.
        rng: the masks depend on it, on the names and on the sizes, and never on the weights' values.

    Returns:
        `repeats` sums in nats: under EVERY for all matrices pruned at once and, by name, for each matrix
        pruned alone by the same masks.
    """
    seed = int(torch.randint(2**62, (), generator=rng))
    log_p = _log_probabilities(forward({}))
    sums: dict[str, list[float]] = {key: [] for key in (EVERY, *(weights if per_matrix else ()))}
    for repeat in range(repeats):
        pruned = {
            name: _without(weight, pruned_indices(name, weight.numel(), repeat, fraction, seed))
            for name, weight in weights.items()
        }
        for key, total in sums.items():
            replaced = pruned if key == EVERY else {key: pruned[key]}
            total.append(divergence(log_p, _log_probabilities(forward(replaced))).sum().item())
    return sums


def _log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.double().log_softmax(dim=1)


def _without(weight: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    flat = weight.detach().flatten().clone()
    flat[indices.to(flat.device)] = 0
    return flat.view(weight.shape)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error s / sqrt(r); the error of a single value is NaN.

    >>> mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    repeats = len(values)
    mean = math.fsum(values) / repeats
    if repeats == 1:
        return mean, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (repeats - 1)
    return mean, math.sqrt(variance / repeats)


def kept(order: torch.Tensor, rate: float) -> torch.Tensor:
    """Return the factor of each unit, (d,) float32: 0 for the first round(rate d) of `order`, else d / kept.

    One unit at least is kept.

    >>> kept(torch.tensor([2, 0, 1, 3]), 0.5)
    tensor([0., 2., 0., 2.])
    """
    d = len(order)
    dropped = min(round(rate * d), d - 1)
    factors = torch.full((d,), d / (d - dropped))
    factors[order[:dropped]] = 0
    return factors


def first_below_half(curve: torch.Tensor, apart: float) -> float:
    """Return where a curve (k,) from 0 on, its points `apart`, first is half its start; NaN where never.

    Between two points it is a straight line.

    >>> first_below_half(torch.tensor([1.0, 0.75, 0.25]), 0.1)
    0.15000000000000002
    """
    half = curve[0].item() / 2
    below = (curve <= half).nonzero()[:, 0]
    if not half > 0 or not len(below):
        return math.nan
    after = int(below[0])
    left, right = curve[after - 1].item(), curve[after].item()
    return apart * (after - 1 + (left - half) / (left - right))
