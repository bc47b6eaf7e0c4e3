"""The geometry family's measures of ReLU networks' units: how many fold next to an example, how many do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, Param, measure
from grokscope_geometry.checks import require_chain, require_finite

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

    Onward = Callable[[torch.Tensor], torch.Tensor]
    Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, Onward]


@measure(
    columns=[
        Column("train", "units crossed per training example", "units", min=0),
        Column("test", "units crossed per test example", "units", min=0),
        Column("directions", "orthonormal directions of the hull", min=1),
    ],
    per=["layer"],
    version=2,
    source="Humayun et al. 2024, section 3",
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
    An input of fewer than `directions` dimensions has no more orthonormal directions than that: all are then
    taken. How many there were is the column `directions`; only equal numbers of them compare.

    The directions are drawn once per run and are the same for every example, split and checkpoint. Of each
    split the first `samples` of a random order count, again the same at every checkpoint.

    Source: Humayun et al. 2024, "Deep networks always grok and here is why", section 3; their released code,
    which draws one orthogonal matrix for all examples and does not count the centre. Only for chains of
    Linear and ReLU, which the network must be proven to be: a tanh network has no linear regions. Float32, as
    the network runs. Cost: 2 x directions forward passes; the first hidden layer is free, since its extremes
    over the hull are known.

    Traps: deep layers are only seen at the vertices. The radius is in units of the encoded input: 0.005 for
    pixels in [0, 1], as in the paper, and for one-hot inputs an example's neighbourhood that holds no other.
    """
    import torch

    from grokscope_geometry.partition import local_complexity as formula
    from grokscope_geometry.partition import random_directions

    chain = require_chain(probe, "local_complexity")
    width = chain.layers[0][0].shape[1]
    count = min(directions, width)
    require_finite("local_complexity", "a weight", *probe.weights.values())
    spread = random_directions(count, width, rng).to(chain.layers[0][0])
    counts = {}
    for split in ("train", "test"):
        encoded = probe.encoded(split).flatten(1)
        chosen = torch.randperm(len(encoded), generator=rng)[:samples].to(encoded.device)
        with torch.no_grad():
            counts[split] = formula(chain.layers, encoded[chosen], spread, radius).double().mean(dim=0)
    yield {"directions": count, **{split: crossed.sum() for split, crossed in counts.items()}}
    for index, layer in enumerate(chain.hidden):
        yield {"layer": layer, **{split: crossed[index] for split, crossed in counts.items()}}


@measure(
    columns=[
        Column("neurons", "fewest units that keep train accuracy", "units", "down", min=1),
        Column("share", "the same over the layer's units", "", "down", min=0, max=1),
    ],
    per=["layer"],
    version=2,
    source="Merrill et al. 2023, section 3",
)
def effective_sparsity(probe: Probe) -> Iterator[dict[str, Any]]:
    """How few hidden units are enough for the network's accuracy on the training split.

    The units of a hidden layer are put in the order of their incoming weights' norm (bias left out), largest
    first. `neurons` is the least k such that the network in which only the first k are left, the others'
    output held at zero, is at least as accurate on the training split as the whole one. Layers are pruned one
    at a time.

    Source: Merrill et al. 2023, "A tale of two circuits", section 3, whose networks have one hidden layer,
    and their released code. Theirs asks for an equal accuracy; here a higher one is enough too. The search
    goes through every k, since accuracy need not rise with k. For chains of Linear and ReLU, and the MLP
    neurons of a transformer whose logits are linear in them (attention stays whole), both proven; the units
    of an LSTM cannot be taken out one at a time.

    Cost: one rank-one update of the next layer and one prediction per unit: up to 0.3 s for 3763 x 250 and 97
    classes. Trap: before the training split is fitted there is little to keep, and a single unit may be
    enough.
    """
    from grokscope import objective
    from grokscope_geometry.functional import fewest_units

    labels = probe.labels("train")
    require_finite("effective_sparsity", "a logit", probe.logits("train"))
    target = objective.accuracy(probe.logits("train"), labels)
    for layer, (activations, incoming, outgoing, onward) in _prunable(probe).items():
        whole = probe.trace("train")[_after(probe, layer)]
        require_finite("effective_sparsity", layer, activations, whole)

        def enough(values: torch.Tensor, onward: Onward = onward) -> bool:
            return objective.accuracy(onward(values), labels) >= target

        neurons = fewest_units(
            whole - activations @ outgoing.T, activations, outgoing, _by_norm(incoming), enough
        )
        yield {"layer": layer, "neurons": neurons, "share": neurons / activations.shape[1]}


def _prunable(probe: Probe) -> dict[str, Parts]:
    """Return per hidden layer: activations, incoming and outgoing weights, and the way on to the logits."""
    neurons = _neurons(probe)
    if neurons is not None:
        return neurons
    chain = require_chain(probe, "effective_sparsity")
    layers, activations = chain.layers, probe.activations("train")
    return {
        layer: (activations[layer], layers[i][0], layers[i + 1][0], _rest_of(layers[i + 2 :]))
        for i, layer in enumerate(chain.hidden)
    }


def _neurons(probe: Probe) -> dict[str, Parts] | None:
    """Return the same of a transformer's MLP neurons, None where it is no such transformer."""
    weights, mlp = probe.weights, "blocks.0.mlp"
    names = (f"{mlp}.W_in", f"{mlp}.W_out", "unembed.weight")
    if probe.model.hidden != (f"{mlp}_post",) or not weights.keys() >= set(names):
        return None
    incoming, outgoing = weights[names[0]], weights[names[2]] @ weights[names[1]]
    if not probe.is_linear_in(f"{mlp}_post", outgoing):
        return None
    return {
        f"{mlp}_post": (probe.activations("train")[f"{mlp}_post"], incoming, outgoing, lambda values: values)
    }


def _by_norm(incoming: torch.Tensor) -> torch.Tensor:
    """Return unit indices in falling order of the norm of their incoming weights."""
    return incoming.double().norm(dim=1).argsort(descending=True, stable=True)


def _rest_of(
    layers: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
) -> Onward:
    from torch.nn import functional

    def onward(values: torch.Tensor) -> torch.Tensor:
        for weight, bias in layers:
            values = functional.linear(values.relu(), weight, bias)
        return values

    return onward


def _after(probe: Probe, layer: str) -> str:
    """Return the name in the trace of what a hidden layer feeds: the next pre-activation, or the logits."""
    following = probe.model.hidden[probe.model.hidden.index(layer) + 1 :]
    return following[0].replace("_post", "_pre") if following else "logits"
