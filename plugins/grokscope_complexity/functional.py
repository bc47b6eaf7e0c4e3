"""Formulas of lossy compression: rounded weights, truncated ranks, and how coarse they may be."""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

WIDTHS = (1, 2, 4, 8)  # bytes of a whole number


class Exact(NamedTuple):
    """A tensor in float64, and the root mean square of its entries."""

    values: torch.Tensor
    size: float

    def rounded(self, relative: float) -> tuple[torch.Tensor, float]:
        """Return the whole numbers k (float64) and the step s such that k s is the tensor in steps of s.

        The step is `relative` times the root mean square of the entries, so that k does not depend on their
        scale; 0 for a tensor of zeros.

        >>> whole, step = exact(torch.tensor([1.0, -1.0, 0.2])).rounded(0.5)
        >>> whole.tolist()
        [2.0, -2.0, 0.0]
        """
        step = relative * self.size
        return (self.values / step).round_() if step else torch.zeros_like(self.values), step


def exact(weight: torch.Tensor) -> Exact:
    """Return a tensor in float64 with its size."""
    values = weight.double()
    return Exact(values, values.square().mean().sqrt().item())


def packed(whole: Iterable[torch.Tensor]) -> bytes:
    """Return whole numbers as bytes, each tensor little-endian in the narrowest of 1, 2, 4 or 8 bytes."""
    return b"".join(map(_narrow, whole))


def _narrow(whole: torch.Tensor) -> bytes:
    largest = int(whole.abs().max()) if whole.numel() else 0
    width = next(width for width in WIDTHS if largest < 1 << (8 * width - 1))
    content: bytes = whole.cpu().numpy().astype(f"<i{width}").tobytes()
    return content


def bzipped(content: bytes) -> int:
    """Return the length of the content after bzip2 at level 9, in bytes.

    >>> bzipped(bytes(100_000)) < 100
    True
    """
    return len(bz2.compress(content, 9))


def coarsest(enough: Callable[[int], bool], low: int, high: int, start: int | None = None) -> int | None:
    """Return a k from low to high that is `enough` while k + 1 is not; None where low is not.

    The largest k of all that are enough, where all below it are too. From `start` on, or else from the
    middle, it is closed in on by steps that double, and then halved.

    >>> coarsest(lambda k: k <= 5, 0, 100), coarsest(lambda k: k <= 5, 0, 100, start=7)
    (5, 5)
    """
    fits, fails = low - 1, high + 1
    at, step = (low + high) // 2 if start is None else start, 1 if start is not None else high - low
    while fails - fits > 1:
        if enough(at):
            fits = at
        else:
            fails = at
        if fails > high and fits >= low:
            at = min(fits + step, high)
        elif fits < low and fails <= high:
            at = max(fails - step, low)
        else:
            at = (fits + fails) // 2
        step *= 2
    return fits if fits >= low else None


def factors(weight: torch.Tensor, share: float) -> tuple[torch.Tensor, ...]:
    """Return a matrix without its singular values below `share` of the largest: (A, B) of A B, or (matrix,).

    The two factors, (m, r) and (r, n), each with the roots of the singular values, where they have fewer
    entries than the matrix; of more dimensions than two the first against all others.
    """
    u, singular, v = torch.linalg.svd(weight.double().flatten(1), full_matrices=False)
    kept = singular >= share * singular.max()
    roots = singular[kept].sqrt()
    left, right = u[:, kept] * roots, roots[:, None] * v[kept]
    if left.numel() + right.numel() < weight.numel():
        return left, right
    return ((left @ right).view(weight.shape),)


def product(parts: tuple[torch.Tensor, ...], like: torch.Tensor) -> torch.Tensor:
    """Return what `factors` are factors of, in the shape and type of the weight."""
    whole = parts[0] if len(parts) == 1 else parts[0] @ parts[1]
    return whole.view(like.shape).to(like)
