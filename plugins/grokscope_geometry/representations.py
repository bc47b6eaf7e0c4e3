"""The geometry family's measures of hidden layers: how they turn away from the baseline, how few units do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

    Onward = Callable[[torch.Tensor], torch.Tensor]
    Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Onward | None]

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
        In the feature-space form or, with more units than examples, from the n x n kernels, which gives the
        same; float64. The baseline is the first checkpoint unless `--baseline` says
        else.

    Cost:
        n d^2 twice, 50 ms for 3763 x 250.

    Traps:
        With fewer examples than units it is biased upwards; unrelated random layers then do not give 0.

    Source:
        Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3.
    """
    from grokscope_geometry.functional import cka as formula
    from grokscope_geometry.functional import cka_of_kernels

    other = baseline.activations(split)
    for layer, activations in probe.activations(split).items():
        for each in (probe, baseline):
            each.require_finite(f"cka: {layer}", layer, split)
        if activations.shape[1] > len(activations):
            kernels = (each.gram(layer, split) for each in (probe, baseline))
            yield {"layer": layer, "cka": cka_of_kernels(*kernels)}
            continue
        own, its = probe.moments(layer, split), baseline.moments(layer, split)
        yield {"layer": layer, "cka": formula(activations, other[layer], own, its)}


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
        Layers are pruned one at a time. Every k counts, since accuracy need not rise with k; where a class is
        known to be ahead of the label by the sums of single units, it is not computed again.
        For chains of Linear and ReLU, and the MLP neurons of a transformer whose logits are linear in them
        (attention stays whole), both proven; the units of an LSTM cannot be taken out one at a time.

    Cost:
        10 ms for 3763 x 250 and 97 classes. With further layers behind, one prediction per unit of some
        examples or, before the training split is fitted, of most.

    Traps:
        Before the training split is fitted there is little to keep, and a single unit may be enough.

    Source:
        Merrill et al. 2023, "A tale of two circuits", section 3, whose networks have one hidden layer, and
        their released code. Theirs asks for an equal accuracy; here a higher one is enough too.
    """
    from grokscope_geometry.functional import fewest_units

    probe.require_classes()
    labels = probe.labels("train")
    probe.require_finite("effective_sparsity: a logit", "logits", "train")
    right = int((probe.predictions("train") == labels).sum())
    for layer, (activations, incoming, outgoing, whole, onward) in _prunable(probe).items():
        numbers.require_finite(f"effective_sparsity: {layer}", activations, whole)
        neurons = fewest_units(whole, activations, outgoing, _by_norm(incoming), labels, right, onward)
        yield {"layer": layer, "neurons": neurons, "share": neurons / activations.shape[1]}


def _prunable(probe: Probe) -> dict[str, Parts]:
    """Return what it takes to prune each hidden layer.

    Activations, incoming and outgoing weights, what these and all else give, and the way on from there to the
    logits.
    """
    neurons = _neurons(probe)
    if neurons is not None:
        return neurons
    layers = probe.require_chain().layers
    hidden = _hidden_of(probe)
    return {
        layer: (
            values,
            layers[i][0],
            layers[i + 1][0],
            _next(values, layers[i + 1]),
            _rest_of(layers[i + 2 :]),
        )
        for i, (layer, values) in enumerate(hidden.items())
    }


def _hidden_of(probe: Probe) -> dict[str, torch.Tensor]:
    """Return every hidden layer of a chain after its ReLU, also those that the run does not name."""
    chain, named = probe.require_chain(), probe.activations("train")
    if set(chain.hidden) <= set(named):
        return {layer: named[layer] for layer in chain.hidden}
    values = chain.values(probe.encoded("train"))
    return {layer: each.relu() for layer, each in zip(chain.hidden, values, strict=False)}


def _next(values: torch.Tensor, layer: tuple[torch.Tensor, torch.Tensor | None]) -> torch.Tensor:
    from torch.nn import functional

    return functional.linear(values, *layer)


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
    return {f"{mlp}_post": (activations, incoming, outgoing, probe.logits("train"), None)}


def _by_norm(incoming: torch.Tensor) -> torch.Tensor:
    """Return unit indices in falling order of the norm of their incoming weights."""
    return incoming.double().norm(dim=1).argsort(descending=True, stable=True)


def _rest_of(
    layers: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
) -> Onward | None:
    """Return the way through these layers, each behind a ReLU; None where there is none left."""
    from torch.nn import functional

    if not layers:
        return None

    def onward(values: torch.Tensor) -> torch.Tensor:
        for weight, bias in layers:
            values = functional.linear(values.relu(), weight, bias)
        return values

    return onward
