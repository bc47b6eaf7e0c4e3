"""Mirror images of pairs, and the distance between a network's outputs on the two."""

from __future__ import annotations

import torch

ROWS = 256  # taken to float64 at once: they stay in a core's cache


def mirror(pairs: torch.Tensor) -> torch.Tensor:
    """Return for each pair (a, b) the index of (b, a), or -1 where `pairs` lacks it: (N, 2) -> (N,) int64.

    Pairs (a, a) are their own mirror image. Pairs must be distinct and non-negative.

    >>> mirror(torch.tensor([[0, 1], [2, 2], [1, 0], [0, 2]])).tolist()
    [2, 1, 0, -1]
    """
    if len(pairs) == 0:
        return torch.empty(0, dtype=torch.int64, device=pairs.device)
    first, second = pairs.long().unbind(dim=1)
    base = int(pairs.max()) + 1
    keys, order = (first * base + second).sort()
    wanted = second * base + first
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, order[place], -1)


def squared_distance(logits: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return sum_k (logits_k - other_k)^2 of each row: (n, K), (n, K) -> (n,) float64."""
    return (logits.double() - other.double()).square().sum(dim=1)


def mirrored_distance(logits: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of each row to that of its mirror image, (n,) float64; 0 where it has none.

    It is the same for both.
    """
    found = logits.new_zeros(len(logits), dtype=torch.float64)
    firsts = (image > torch.arange(len(image), device=image.device)).nonzero()[:, 0]
    seconds = image[firsts]
    for own, other in zip(firsts.split(ROWS), seconds.split(ROWS), strict=True):
        found[own] = squared_distance(logits.index_select(0, own), logits.index_select(0, other))
    found[seconds] = found[firsts]
    return found
