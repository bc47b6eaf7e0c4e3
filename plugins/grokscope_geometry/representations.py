"""The geometry family's measures of hidden layers: how they turn away from the baseline, how few units do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

    Onward = Callable[[torch.Tensor], torch.Tensor]
    Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Onward]

Split = Literal["train", "test", "all"]


@measure(
    columns=[
        Column(
            "cka",
            "linear centred kernel alignment with the baseline",
            min=0,
            max=1,
            missing="when a layer gives every example the same",
        )
    ],
    per=["layer"],
    source="Kornblith et al. 2019, section 3",
    knows=[],
)
def cka(
    probe: Probe,
    baseline: Probe,
    *,
    split: Annotated[Split, Param("examples on which layers are compared")] = "train",
) -> Iterator[dict[str, Any]]:
    """How alike each hidden layer is to the same layer of the baseline, up to a rotation and a scale.

    `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)`, each column of X and Y centred: 1 for X = c Y Q with an orthogonal
    Q, 0 when no column of one is correlated with a column of the other.

    Shapes and units:
        X (n, d) the layer's activations after the non-linearity on `split`, Y the baseline's; a number from 0
        to 1.

    How it is computed:
        In the feature-space form, float64. The baseline is the first checkpoint unless `--baseline` says
        else.

    Cost:
        n d^2 twice, 50 ms for 3763 x 250.

    Traps:
        With fewer examples than units it is biased upwards; unrelated random layers then do not give 0.

    Source:
        Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3.
    """
    from grokscope_geometry.functional import cka as formula

    other = baseline.activations(split)
    for layer, activations in probe.activations(split).items():
        numbers.require_finite(f"cka: {layer}", activations, other[layer])
        yield {"layer": layer, "cka": formula(activations, other[layer])}


@measure(
    columns=[
        Column("neurons", "fewest units that keep train accuracy", "units", "down", min=1),
        Column("share", "the same over the layer's units", "", "down", min=0, max=1),
    ],
    per=["layer"],
    version=2,
    source="Merrill et al. 2023, section 3",
    knows=["labels"],
)
def effective_sparsity(probe: Probe) -> Iterator[dict[str, Any]]:
    """How few hidden units are enough for the network's accuracy on the training split.

    The units of a hidden layer are put in the order of their incoming weights' norm (bias left out), largest
    first. `neurons` is the least k such that the network in which only the first k are left, the others'
    output held at zero, is at least as accurate on the training split as the whole one.

    Shapes and units:
        Activations (n, d) of each hidden layer; a number of units, and that over d.

    How it is computed:
        Layers are pruned one at a time. The search goes through every k, since accuracy need not rise with k.
        For chains of Linear and ReLU, and the MLP neurons of a transformer whose logits are linear in them
        (attention stays whole), both proven; the units of an LSTM cannot be taken out one at a time.

    Cost:
        One rank-one update of the next layer and one prediction per unit: up to 0.3 s for 3763 x 250 and 97
        classes.

    Traps:
        Before the training split is fitted there is little to keep, and a single unit may be enough.

    Source:
        Merrill et al. 2023, "A tale of two circuits", section 3, whose networks have one hidden layer, and
        their released code. Theirs asks for an equal accuracy; here a higher one is enough too.
    """
    from grokscope import objective
    from grokscope_geometry.functional import fewest_units

    probe.require_classes()
    labels = probe.labels("train")
    numbers.require_finite("effective_sparsity: a logit", probe.logits("train"))
    target = objective.accuracy(probe.logits("train"), labels)
    for layer, (activations, incoming, outgoing, whole, onward) in _prunable(probe).items():
        numbers.require_finite(f"effective_sparsity: {layer}", activations, whole)

        def enough(values: torch.Tensor, onward: Onward = onward) -> bool:
            return objective.accuracy(onward(values), labels) >= target

        neurons = fewest_units(
            whole - activations @ outgoing.T, activations, outgoing, _by_norm(incoming), enough
        )
        yield {"layer": layer, "neurons": neurons, "share": neurons / activations.shape[1]}


def _prunable(probe: Probe) -> dict[str, Parts]:
    """Return what it takes to prune each hidden layer.

    Activations, incoming and outgoing weights, what these and all else give, and the way on from there to the
    logits.
    """
    neurons = _neurons(probe)
    if neurons is not None:
        return neurons
    chain = probe.require_chain()
    layers, values = chain.layers, chain.values(probe.encoded("train"))
    return {
        layer: (values[i].relu(), layers[i][0], layers[i + 1][0], values[i + 1], _rest_of(layers[i + 2 :]))
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
    activations = probe.activations("train")[f"{mlp}_post"]
    return {f"{mlp}_post": (activations, incoming, outgoing, probe.logits("train"), lambda values: values)}


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
