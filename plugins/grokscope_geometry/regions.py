"""The geometry family's measure of linear regions: how many folds of a ReLU network lie by an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe


@measure(
    columns=[
        Column("train", "units crossed per training example", "units", min=0, knows=[]),
        Column("test", "units crossed per test example", "units", min=0),
        Column("directions", "orthonormal directions of the hull", min=1, knows=[]),
    ],
    per=["layer"],
    version=2,
    source="Humayun et al. 2024, section 3",
    knows=["test"],
)
def local_complexity(
    probe: Probe,
    rng: torch.Generator,
    *,
    directions: Annotated[
        int, Param("random orthonormal directions of the hull; at most as many as the input has", min=1)
    ] = 25,
    radius: Annotated[float, Param("distance of the hull's vertices from the example", above=0)] = 0.005,
    samples: Annotated[int, Param("examples of each split at most", min=1)] = 1024,
) -> Iterator[dict[str, Any]]:
    """How many of a ReLU network's folds lie next to an example: the density of its linear regions.

    Around each encoded example x the hull has the vertices `x + r u` and `x - r u` for `directions` random
    orthonormal u and the radius r. A hidden unit counts when its pre-activation does not have the same sign
    at all vertices. Given is the mean count over examples: of each hidden layer, and without a layer of all.

    Shapes and units:
        u (directions, d) of the encoded input's d dimensions; the radius is in units of the encoded input,
        the count in units crossed.

    How it is computed:
        The directions are drawn once per run and are the same for every example, split and checkpoint. Of
        each split the first `samples` of a random order count, again the same at every checkpoint. An input
        of fewer than `directions` dimensions has no more orthonormal directions than that: all are then
        taken. How many there were is the column `directions`; only equal numbers of them compare.

        Only for chains of Linear and ReLU, which the network must be proven to be: a tanh network has no
        linear regions. Float32, as the network runs.

    Cost:
        Two forward passes for up to two hidden layers: the extremes of the first over the hull are known, and
        say of most units of the second that they cannot cross. Deeper ones take 2 x directions.

    Traps:
        Deep layers are only seen at the vertices. A radius of 0.005 is the paper's for pixels in [0, 1]; for
        one-hot inputs it is an example's neighbourhood that holds no other.

    Source:
        Humayun et al. 2024, "Deep networks always grok and here is why", section 3; their released code,
        which draws one orthogonal matrix for all examples and does not count the centre.
    """
    import torch

    from grokscope_geometry.partition import local_complexity as formula
    from grokscope_geometry.partition import random_directions

    chain = probe.require_chain()
    width = chain.layers[0][0].shape[1]
    count = min(directions, width)
    numbers.require_finite("local_complexity: a weight", *probe.weights.values())
    spread = random_directions(count, width, rng).to(chain.layers[0][0])
    counts = {}
    for split in ("train", "test"):
        inputs = probe.inputs(split)
        chosen = torch.randperm(len(inputs), generator=rng)[:samples].to(inputs.device)
        encoded = probe.encoded_some(split, chosen).flatten(1)
        with torch.no_grad():
            counts[split] = formula(chain.layers, encoded, spread, radius).double().mean(dim=0)
    yield {"directions": count, **{split: crossed.sum() for split, crossed in counts.items()}}
    for index, layer in enumerate(chain.hidden):
        yield {"layer": layer, **{split: crossed[index] for split, crossed in counts.items()}}
