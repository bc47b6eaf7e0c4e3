"""Local complexity: how many of a ReLU network's hyperplanes cut a small neighbourhood of each example."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Layers = Sequence[tuple[torch.Tensor, torch.Tensor | None]]
CHUNK_VALUES = 1 << 19  # hidden values held at once: 2 MB, which stays in a core's cache


def random_directions(count: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """Return orthonormal random directions, (count, width) float32, uniformly distributed."""
    normal = torch.randn(width, count, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(normal)
    return (q * r.diagonal().sign()).T.float()


def local_complexity(
    layers: Layers, inputs: torch.Tensor, directions: torch.Tensor, radius: float
) -> torch.Tensor:
    """Return how many units of each hidden layer change sign on the hull of each example, (n, hidden layers).

    Humayun et al. 2024, section 3: the hull's vertices are `x + r u` and `x - r u` for every direction u; a
    unit counts when its pre-activation does not have one and the same sign at all vertices. The first layer
    needs no vertices: there the extremes are `W x + b -+ r max_u |W u|`.

    Args:
        layers: weight (out, in) and bias of each Linear, the last (which makes the logits) included.
        inputs: (n, d).
        directions: (P, d), of norm 1.
        radius: r.
    """
    hulls = (
        [2 * len(directions) * len(weight) for weight, _ in layers[:-1]]
        if len(layers) > 2
        else [len(layers[0][0])]
    )
    size = max(1, CHUNK_VALUES // max(hulls))
    counts = [_counts(layers[:-1], chunk, directions, radius) for chunk in inputs.split(size)]
    return torch.cat(counts)


def _counts(hidden: Layers, x: torch.Tensor, directions: torch.Tensor, radius: float) -> torch.Tensor:
    weight, bias = hidden[0]
    centre = torch.nn.functional.linear(x, weight, bias)
    reach = radius * (directions @ weight.T)
    widest = reach.abs().max(dim=0).values
    counts = [_crossed(centre - widest, centre + widest)]
    if len(hidden) > 1:
        values = torch.stack([centre[:, None] + reach, centre[:, None] - reach], dim=1).flatten(1, 2)
        for weight, bias in hidden[1:]:
            values = torch.nn.functional.linear(values.relu_(), weight, bias)
            counts.append(_crossed(values.amin(dim=1), values.amax(dim=1)))
    return torch.stack(counts, dim=1)


def _crossed(lowest: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
    return (lowest.sign() != highest.sign()).sum(dim=1)
