"""The landscape family's measure of the logits as a function of the encoded input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from grokscope import Column, Param, measure, numbers

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
    operations: Annotated[
        float,
        Param(
            "10^9 done at most where there is no closed form: else at fewer positions", above=0, later=True
        ),
    ] = 2000,
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
        K backward passes on the samples, times the positions that count. Where these take more than
        `operations`, of which a core does 30 to 200 x 10^9 a second, evenly spaced positions are looked at;
        where one does, half of the samples or a quarter. Memory: the products of all pairs of rows or of
        inputs, whichever are fewer, 134 MB at most, and some 300 MB beside them.

    Traps:
        An offset common to all logits of an example moves the centroid and is nothing to a softmax: under
        cross-entropy read `first_component` first. One-hot inputs have positive entries only, and a cosine
        of 0 is nothing there to start from: compare with step 0.

    Source:
        Walker, Humayun, Balestriero & Baraniuk 2025, "GrokAlign: geometric characterisation and acceleration
        of grokking", whose code centres the rows and takes centroids so.

    Raises:
        MeasureError: derivatives that are not finite.
        NotApplicable: no position of the samples has a label, or their Jacobians take more than
            `operations`, or products of more than 4096 x 4096.
    """
    from grokscope_landscape import functional, jacobians

    chosen = _evenly(probe, samples)
    chain = probe.relu_chain()
    if chain is not None and probe.counted("train") is None:
        inputs = probe.encoded_some("train", chosen).flatten(1)
        share, centroids = _of_chain(chain, inputs)
    else:
        found = jacobians.Differentiated(probe, chosen, operations)
        inputs = found.inputs
        share, centroids = jacobians.spread(found.rows, found.count, inputs)
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
    from grokscope_landscape import functional, jacobians

    count = len(inputs) * len(chain.layers[-1][0])
    jacobians.require_side(count, inputs)
    two = len(chain.layers) == 2 and len(chain.layers[0][0]) <= jacobians.SIDE
    if not two or count < inputs.shape[1]:
        return jacobians.spread(lambda: functional.chain_rows(chain.layers, inputs), count, inputs)
    scatter, sums = functional.scatter_of_two_layers(chain.layers, inputs)
    numbers.require_finite("jacobian_alignment: the Jacobian", scatter, sums)
    mean = sums.sum(dim=0) / count
    scatter.addr_(mean, mean, alpha=-count)
    return functional.largest_share(scatter, count * mean.square().sum().item()), sums
