"""The landscape family's measure of the logits as a function of the encoded input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Chain, Probe


@measure(
    columns=[
        Column(
            "first_component",
            "share of the variance of the Jacobian's rows along their first principal component",
            direction="up",
            min=0,
            max=1,
            missing="when all rows are equal",
        ),
        Column(
            "centroid_cosine",
            "mean cosine of an example's centroid, the sum of its Jacobian's rows, with its encoded input",
            min=-1,
            max=1,
            missing="when a centroid or an input is zero",
        ),
        Column("samples", "training examples looked at", min=1),
    ],
    source="Walker, Humayun, Balestriero & Baraniuk 2025, sections 3 and 4",
    knows=[],
)
def jacobian_alignment(
    probe: Probe,
    *,
    samples: Annotated[int, Param("training examples looked at, at most", min=2)] = 64,
) -> dict[str, float]:
    """How far the logits of all examples lean on one direction of the input, and on the inputs themselves.

    J(x) (K, d) = the derivatives of the logits by the encoded input. `first_component`: of the n K rows of
    all Jacobians of a batch, the share s_1^2 / sum_i s_i^2 of the variance along the first principal
    component. `centroid_cosine`: the mean over examples of cos(J(x)^T 1, x); J(x)^T 1, the sum of the rows,
    is the centroid of the linear region that x lies in.

    Shapes and units:
        The encoded input, flattened to d: pixels, one-hot vectors, embeddings before positions. No unit.

    How it is computed:
        Exact derivatives of the logits of `samples` training examples, evenly spaced in the order of the
        split. Where several positions count, each gives K rows of its example.

    Cost:
        In closed form for chains of Linear and ReLU that are proven to be such, 5 ms for `clauw`; elsewhere
        K backward passes on the samples, times the positions that count.

    Traps:
        An offset common to all logits of an example moves the centroid and is nothing to a softmax: under
        cross-entropy read `first_component` first. One-hot inputs have positive entries only, and a cosine
        of 0 is nothing there to start from: compare with step 0.

    Source:
        Walker, Humayun, Balestriero & Baraniuk 2025, "GrokAlign: geometric characterisation and acceleration
        of grokking", whose code centres the rows and takes centroids so.
    """
    from grokscope_landscape import functional

    chosen = _evenly(probe, samples)
    chain = probe.relu_chain()
    if chain is not None and probe.counted("train") is None:
        inputs = probe.encoded_some("train", chosen).flatten(1)
        share, centroids = _of_chain(chain, inputs)
    else:
        rows, centroids, inputs = _jacobians(probe, chosen)
        numbers.require_finite("jacobian_alignment: the Jacobian", rows)
        share = functional.first_component(rows)
    return {
        "first_component": share,
        "centroid_cosine": functional.cosines(centroids, inputs).nanmean().item(),
        "samples": len(inputs),
    }


def _evenly(probe: Probe, samples: int) -> torch.Tensor:
    """Return which training examples are looked at."""
    import torch

    count = len(probe.task.train)
    return torch.linspace(0, count - 1, min(samples, count)).long().unique().to(probe.task.inputs.device)


def _of_chain(chain: Chain, inputs: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return the first component's share, and the sum of each Jacobian's rows, (n, d), in closed form."""
    import torch

    from grokscope_landscape import functional

    n, d = inputs.shape
    outputs = len(chain.layers[-1][0])
    if n * outputs < d:
        found = torch.cat(list(functional.chain_jacobians(chain.layers, inputs)))
        numbers.require_finite("jacobian_alignment: the Jacobian", found)
        return functional.first_component(found.flatten(0, 1)), found.double().sum(dim=1)
    if len(chain.layers) == 2:
        scatter, sums = functional.scatter_of_two_layers(chain.layers, inputs)
        numbers.require_finite("jacobian_alignment: the Jacobian", scatter, sums)
        mean = sums.sum(dim=0) / (n * outputs)
        scatter -= n * outputs * torch.outer(mean, mean)
        return functional.largest_share(scatter, n * outputs * mean.square().sum().item()), sums
    ahead = [*chain.layers[:-1], (chain.layers[-1][0].sum(dim=0, keepdim=True), None)]
    sums = torch.cat(list(functional.chain_jacobians(ahead, inputs)))[:, 0].double()
    numbers.require_finite("jacobian_alignment: the Jacobian", sums)
    mean = sums.sum(dim=0) / (n * outputs)
    scatter = torch.zeros(d, d, dtype=torch.float64, device=inputs.device)
    for found in functional.chain_jacobians(chain.layers, inputs):
        numbers.require_finite("jacobian_alignment: the Jacobian", found)
        centred = found.flatten(0, 1) - mean
        scatter += numbers.products(centred)
    return functional.largest_share(scatter, n * outputs * mean.square().sum().item()), sums


def _jacobians(probe: Probe, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the rows of all Jacobians, (rows, d), their sums by example, (n, d), and the inputs, (n, d)."""
    import torch

    inputs, counted = probe.inputs("train"), probe.counted("train")
    with torch.enable_grad():
        leaf = probe.encoded_some("train", chosen).detach().requires_grad_()
        logits = probe.model.trace_from(leaf, inputs[chosen])["logits"]
        logits = logits.unflatten(0, (len(leaf), -1))
    each = torch.ones(len(inputs), logits.shape[1], dtype=torch.bool, device=leaf.device)
    kept = (each if counted is None else counted.view(each.shape))[chosen]
    if not kept.any():
        raise NotApplicable("no position of these examples has a label")
    rows, sums = [], torch.zeros_like(leaf).flatten(1).double()
    for place in range(logits.shape[1]):
        for logit in logits[:, place].unbind(dim=1):
            slope = _slope(logit.sum(), leaf).flatten(1)[kept[:, place]]
            rows.append(slope)
            sums[kept[:, place]] += slope.double()
    return torch.cat(rows), sums, leaf.detach().flatten(1)


def _slope(value: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    import torch

    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(value, leaf, retain_graph=True, materialize_grads=True)
    return found
