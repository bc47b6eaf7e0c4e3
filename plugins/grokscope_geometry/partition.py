"""Local complexity: how many of a ReLU network's hyperplanes cut a small neighbourhood of each example."""

from __future__ import annotations

from collections.abc import Sequence

import torch

Layers = Sequence[tuple[torch.Tensor, torch.Tensor | None]]
CHUNK_VALUES = 1 << 19  # hidden values held at once: 2 MB, which stays in a core's cache
EXAMPLES = 128  # looked at together where no vertex is needed: pairs of what is undecided grow by its square
MANY = 0.05  # share of undecided units from which on all are computed at every vertex
ROUNDING = 1e-5  # of a sum of float32 products, in units of the sum of their magnitudes


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
    widest = max(len(weight) for weight, _ in layers[:-1])
    size = CHUNK_VALUES // (2 * len(directions) * widest) if len(layers) > 3 else EXAMPLES
    counts = [_counts(layers[:-1], chunk, directions, radius) for chunk in inputs.split(max(1, size))]
    return torch.cat(counts)


def _counts(hidden: Layers, x: torch.Tensor, directions: torch.Tensor, radius: float) -> torch.Tensor:
    weight, bias = hidden[0]
    centre = torch.nn.functional.linear(x, weight, bias)
    reach = radius * (directions @ weight.T)
    widest = reach.abs().max(dim=0).values
    counts = [_crossed(centre - widest, centre + widest)]
    if len(hidden) == 2:
        counts.append(_second(*hidden[1], centre, reach))
    elif len(hidden) > 2:
        counts += _at_vertices(hidden[1:], centre, reach)
    return torch.stack(counts, dim=1)


def _at_vertices(layers: Layers, centre: torch.Tensor, reach: torch.Tensor) -> list[torch.Tensor]:
    """Return the count of each further layer, (n,), from its values at every vertex."""
    counts = []
    values = torch.stack([centre[:, None] + reach, centre[:, None] - reach], dim=1).flatten(1, 2)
    for weight, bias in layers:
        values = torch.nn.functional.linear(values.relu_(), weight, bias)
        counts.append(_crossed(values.amin(dim=1), values.amax(dim=1)))
    return counts


def _second(
    weight: torch.Tensor, bias: torch.Tensor | None, centre: torch.Tensor, reach: torch.Tensor
) -> torch.Tensor:
    """Return the count of the second layer, (n,), from `centre` (n, h) and `reach` (P, h) of the first.

    A unit cannot cross where it is further from zero at the example than all changes of the first layer can
    move it: most are. For the rest, a unit of the first layer that does not cross moves it by its own slope,
    on or off; those that cross add what the kink takes away.
    """
    post, widest = centre.relu(), reach.abs().amax(dim=0)
    value = torch.nn.functional.linear(post, weight, bias)
    moved = (widest * (centre > -widest)) @ weight.abs().T
    doubt = ROUNDING * (post.amax(dim=1, keepdim=True) * weight.abs().sum(dim=1) + value.abs())
    undecided = value.abs() <= moved + doubt
    if undecided.double().mean() > MANY:
        chunks = centre.split(max(1, CHUNK_VALUES // (2 * reach.numel())))
        return torch.cat([_at_vertices([(weight, bias)], chunk, reach)[0] for chunk in chunks])
    example, unit = undecided.nonzero(as_tuple=True)
    slope = (weight[unit] * (centre > 0)[example]) @ reach.T
    at, crossing = (centre.abs() < widest).nonzero(as_tuple=True)
    own, way = centre[at, crossing][:, None], reach[:, crossing].T
    share = weight[unit][:, crossing] * (example[:, None] == at)
    ends = [
        value[example, unit][:, None] + sign * slope + share @ _kink(own, sign * way) for sign in (1.0, -1.0)
    ]
    ends_together = torch.cat(ends, dim=1)
    crossed = ends_together.amin(dim=1).sign() != ends_together.amax(dim=1).sign()
    return torch.bincount(example[crossed], minlength=len(centre))


def _kink(centre: torch.Tensor, way: torch.Tensor) -> torch.Tensor:
    """Return how far ReLU is, a way from a centre, from the line that it is at the centre."""
    return (centre + way).relu() - centre.relu() - way * (centre > 0)


def _crossed(lowest: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
    return (lowest.sign() != highest.sign()).sum(dim=1)
