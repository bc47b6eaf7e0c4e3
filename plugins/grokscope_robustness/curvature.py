"""How sharply the risk curves, and what Tan & Huang's Lemma 4.1 makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from grokscope import Column, NotApplicable, Param, measure, numbers
from grokscope_robustness.splits import PAPER_LOSSES, Split, finite_logits, require_examples

if TYPE_CHECKING:
    import torch

    from grokscope import Probe
    from grokscope_robustness.gauss_newton import Layer, SquaredNorms
    from grokscope_robustness.hessian_estimate import Estimate

T = TypeVar("T")


@measure(
    columns=[
        Column("trace", "trace of the Hessian of the risk"),
        Column("stderr", "its standard error; 0 where it is exact", min=0),
        Column("method", "exact, or how it was estimated", text=True),
    ],
    version=3,
    source="Tan & Huang 2023",
    expensive=True,
    knows=["labels"],
)
def sharpness(
    probe: Probe,
    rng: torch.Generator,
    *,
    accuracy: Annotated[
        float, Param("relative standard error at which an estimate may stop", min=0.001, max=1)
    ] = 0.01,
    max_probes: Annotated[
        int, Param("probes after which it stops all the same (64 gradients or a Hessian product)", min=16)
    ] = 200,
    method: Annotated[
        Literal["auto", "estimate"], Param("exact where it can be, or estimated everywhere")
    ] = "auto",
    split: Split = "train",
) -> dict[str, float | str]:
    """How sharply the risk curves around the weights: the trace of its Hessian.

    S(W) = Tr Hess R(W), over all parameters, of the paper's risk: (1/2n) sum_i ||f(x_i) - onehot(y_i)||^2 for
    networks trained by MSE (K/2 times the Hessian of torch's MSELoss), the mean cross-entropy for those
    trained by it; of any other loss it is that of the loss itself, which the paper says nothing of.

    Shapes and units:
        W is the vector of all parameters, f(x) (n, K) logits. Nats, or squared logits, per squared weight.

    How it is computed:
        ReLU MLPs, `exact`: the logits are piecewise linear in each single weight, so the trace is that of the
        Gauss-Newton matrix, (1/n) sum_i ||S_i^T df(x_i)/dW||_F^2, computed from layer-wise norms, in
        float32 to 1e-6. That the network is one is verified on its logits.

        Every other network, `estimate`: Tr H = Tr (Gauss-Newton) + Tr (remainder). The first by squared
        gradient norms of single examples, drawn in proportion to the curvature of their loss (all of them,
        without error, where there are few); the second by Rademacher probes on one parameter tensor at a
        time, each of 64 examples drawn in proportion to their residuals. Of another loss than these two there
        are only such probes, of the whole. `method` says how many of each and whether `max_probes` came
        before `accuracy`. After the first sixteen it is foretold how long the others will take.

    Cost:
        MLP about two gradients of the loss for one hidden layer, else one backward pass per class; `nanda`
        some seconds, a GPT of two layers on 25 tokens about ten; an LSTM on 500 words minutes per probe,
        because each is a second derivative through every word.

    Traps:
        Under cross-entropy it falls to 0 as the loss does, whatever the network learns; under MSE it does not
        depend on the labels. It is not invariant under rescaling the layers against each other.

    Source:
        Tan & Huang 2023; Hutchinson 1990.
    """
    from grokscope_robustness import gauss_newton

    finite_logits(probe, split)
    if probe.loss_name not in PAPER_LOSSES:
        return _of_another_loss(probe, rng, accuracy, max_probes, split)
    layers = _relu_layers(probe) if method == "auto" else None
    if layers is None:
        return _estimated(probe, rng, accuracy, max_probes, split)
    if probe.loss_name == "mse":
        trace = _jacobian_norms(probe, layers, split).parameters
    else:
        trace = gauss_newton.hessian_trace(layers, probe.encoded(split).flatten(1), probe.loss_name)
    return {"trace": trace, "stderr": 0.0, "method": "exact"}


_ZERO_INPUT = "a training input is all zeros: the bound is infinite"


@measure(
    columns=[
        Column("lhs", "mean squared Frobenius norm of the input gradient", min=0, knows=[]),
        Column("rhs", "the bound ||W||^2 S(W) / min ||x||^2", min=0, missing=_ZERO_INPUT, knows=[]),
        Column("slack", "rhs - lhs", missing=_ZERO_INPUT, knows=[]),
        Column("residual", "largest abs(f(x) - onehot(y)) on the training split", min=0),
        Column("interpolates", "1 where the residual is within `tolerance`, else 0", min=0, max=1),
        Column("note", "whether the run is an interpolation solution, in words", text=True),
    ],
    version=2,
    source="Tan & Huang 2023, Lemma 4.1",
    knows=["labels"],
)
def input_gradient(
    probe: Probe,
    *,
    tolerance: Annotated[
        float, Param("largest abs(f(x) - onehot(y)) that counts as interpolating", min=0)
    ] = 0.1,
) -> dict[str, float | str]:
    """How steep the network is in its input, and the bound on that by weight norm and sharpness.

    lhs = (1/n) sum_i ||grad_x f(x_i)||_F^2 <= rhs = ||W||_F^2 S(W) / min_i ||x_i||^2 over the n training
    examples.

    Shapes and units:
        grad_x f is the exact K x d Jacobian with respect to the encoded input, W the vector of all
        parameters, S(W) the Hessian trace of the *MSE* risk (1/2n) sum ||f - onehot||^2, whatever loss the
        run was trained with: the lemma's proof needs S(W) = (1/n) sum_i ||grad_W f(x_i)||_F^2, which the
        cross-entropy's Hessian is not (it vanishes with the loss, and the bound with it). Squared logits per
        squared input.

    How it is computed:
        The Jacobian's norm is computed layer by layer, to 1e-6; it is not stored. Not applicable where x
        does not enter through one matrix, or where not every non-linearity is ReLU.

    Cost:
        One forward pass, and one backward pass per class where there is more than one hidden layer.

    Traps:
        The lemma is stated for interpolation solutions, f(x_i) = onehot(y_i), where the Hessian has no
        residual term. In a ReLU MLP that term has no trace anywhere, so the bound holds at every checkpoint;
        `interpolates`, `residual` and `note` say whether the lemma's own assumption was met. Runs trained by
        cross-entropy never interpolate one-hot labels. An input of zeros makes the bound infinite: rhs and
        slack are NaN then.

    Source:
        Tan & Huang 2023, Lemma 4.1.
    """
    from grokscope_robustness import functional

    logits = finite_logits(probe, "train")
    layers = _require_relu_layers(probe)
    norm = functional.l2_norm(probe.weights.values())
    lhs, rhs = _jacobian_norms(probe, layers, "train").inputs, _bound(probe, layers, norm)
    rhs = rhs if math.isfinite(rhs) else math.nan
    residual = _largest_residual(logits, probe.labels("train"))
    met = residual <= tolerance
    return {
        "lhs": lhs,
        "rhs": rhs,
        "slack": rhs - lhs,
        "residual": residual,
        "interpolates": float(met),
        "note": "interpolation solution" if met else "not an interpolation solution",
    }


@measure(
    columns=[
        Column(
            "neighbour_bound",
            "share of test points with a training neighbour of their label within epsilon",
            "share",
            min=0,
            max=1,
        ),
        Column(
            "epsilon",
            "radius eps(W) within which Theorem 4.2 promises the right label",
            min=0,
            max=1,
            knows=[],
        ),
        Column("neighbour_bound_l1", "the same share within epsilon_l1", "share", min=0, max=1),
        Column(
            "epsilon_l1", "Corollary A.2's radius: the l1 norm in the l2 norm's place", min=0, max=1, knows=[]
        ),
        Column(
            "corollary", "the paper's curve of predicted accuracy over steps", "share", min=0, max=1, knows=[]
        ),
        Column("note", "why Theorem 4.2 does not apply, or nothing", text=True),
    ],
    source="Tan & Huang 2023, Theorem 4.2, Corollaries 4.3 and A.2",
    version=2,
    knows=["labels", "test"],
)
def predicted_accuracy(
    probe: Probe,
    *,
    lipschitz: Annotated[float, Param("L of Theorem 4.2; Corollary 4.3 has 1/2", above=0)] = 0.5,
) -> dict[str, float | str]:
    """How much test accuracy weight norm and sharpness alone can promise.

    `neighbour_bound`: the share of test points that have a training point of the same label within `epsilon`,
    eps(W) = min(1, 1 / (2 (sqrt(n ||W||_F^2 S(W) / min_i ||x_i||^2) + L))), the quotient that of
    `input_gradient` (L stands outside the root, as the proof and Corollary 4.3 need it). `epsilon_l1` has
    ||W||_1^2, the squared sum of abs(w), for ||W||_F^2 (Corollary A.2): it is never larger, and so promises
    no more.

    `corollary`: P(1 / (2L + max(a - b log10 step, 0))), L = 1/2, a = 1925, b = 500, P(r) = erf(r / sqrt(2
    mu)), the probability that a normal variable of variance mu = 1/100 is within r; the paper's constants,
    whatever `lipschitz` is. At step 0 it takes its limit, 0.

    Shapes and units:
        n is the number of training examples; distances and epsilon are euclidean, of encoded inputs.
        Accuracies are shares.

    How it is computed:
        Distances of test to training points of the same label, by chunks. For networks that are no ReLU MLP
        only the corollary is given, and `note` says so.

    Cost:
        That of `input_gradient` and the distances: 60 000 x 10 000 images need less than 1 GB.

    Traps:
        The corollary's constants are fixed, and it looks at nothing but the step. Two different one-hot pairs
        are at least sqrt(2) apart and epsilon is at most 1: on modular addition the neighbour bound is 0 for
        every network. A training input of zeros makes epsilon 0.

    Source:
        Tan & Huang 2023, Theorem 4.2 (A.1), Corollary 4.3 and Corollary A.2.
    """
    from grokscope_robustness import functional

    probe.require_classes()
    require_examples(probe, "train")
    require_examples(probe, "test")
    corollary = functional.predicted_curve(probe.step)
    layers = _relu_layers(probe)
    if layers is None:
        return {"corollary": corollary, "note": f"Theorem 4.2 is not applicable: {_no_lemma(probe)}"}
    row: dict[str, float | str] = {"corollary": corollary, "note": ""}
    for suffix, norm in (("", functional.l2_norm), ("_l1", functional.l1_norm)):
        bound = _bound(probe, layers, norm(probe.weights.values()))
        epsilon = functional.neighbourhood(len(probe.labels("train")), bound, lipschitz)
        near = (_nearest(probe) <= epsilon).double().mean().item()
        row |= {f"epsilon{suffix}": epsilon, f"neighbour_bound{suffix}": near}
    return row


def _relu_layers(probe: Probe) -> Sequence[Layer] | None:
    """Return weight and bias of each layer where the network is proven to be Linear -> ReLU -> ... -> Linear.

    Else, or where these are not all of its parameters, None.
    """
    chain = probe.relu_chain()
    return chain.layers if chain is not None and chain.whole else None


def _largest_residual(logits: torch.Tensor, labels: torch.Tensor) -> float:
    from grokscope import objective

    def largest(rows: torch.Tensor, own: torch.Tensor) -> float:
        if own.is_floating_point() or rows.shape[1] == 1:
            return (rows.double() - objective.targets(rows, own)).abs().max().item()
        right, others = rows.gather(1, own[:, None]).double() - 1, rows.scatter(1, own[:, None], 0)
        return max(right.abs().max().item(), others.abs().max().item())

    return max(map(largest, logits.split(numbers.ROWS), labels.split(numbers.ROWS)))


def _no_lemma(probe: Probe) -> str:
    return (
        "it needs Linear layers with ReLU between them, so that the input enters through one matrix; "
        f"this network ({probe.model.kind}) is built otherwise"
    )


def _require_relu_layers(probe: Probe) -> Sequence[Layer]:
    layers = _relu_layers(probe)
    if layers is None:
        raise NotApplicable(f"Lemma 4.1 cannot be asked: {_no_lemma(probe)}")
    return layers


def _jacobian_norms(probe: Probe, layers: Sequence[Layer], split: str) -> SquaredNorms:
    from grokscope_robustness import gauss_newton

    key = ("robustness", "jacobian", split)

    def compute() -> SquaredNorms:
        parts = [
            (len(rows), gauss_newton.jacobian_norms(layers, rows.flatten(1)))
            for rows in probe.encoded_parts(split)
        ]
        every = sum(count for count, _ in parts)
        return gauss_newton.SquaredNorms(
            sum(count * part.parameters for count, part in parts) / every,
            sum(count * part.inputs for count, part in parts) / every,
        )

    return probe.shared(key, compute)


def _bound(probe: Probe, layers: Sequence[Layer], norm: float) -> float:
    """Return the right side of Lemma 4.1 on the training split, with that norm of the parameters."""
    from grokscope_robustness import functional

    trace = _jacobian_norms(probe, layers, "train").parameters
    numbers.require_finite("the gradients on the train split", trace)
    smallest = _of_encoded(probe, "smallest", lambda: _smallest(probe))
    return functional.gradient_bound(norm, trace, smallest)


def _smallest(probe: Probe) -> float:
    from grokscope_robustness import functional

    return min(functional.smallest_squared_norm(x.flatten(1)) for x in probe.encoded_parts("train"))


def _of_encoded(probe: Probe, name: str, compute: Callable[[], T]) -> T:
    """Return what is made of encoded inputs, for all checkpoints where no weight has a part in these."""
    keep = probe.of_task if probe.model.fixed_encoding else probe.shared
    return keep(("robustness", name), compute)


def _nearest(probe: Probe) -> torch.Tensor:
    from grokscope_robustness import functional

    return _of_encoded(
        probe,
        "nearest",
        lambda: functional.nearest_same_label(
            _Encoded(probe, "train"), probe.labels("train"), _Encoded(probe, "test"), probe.labels("test")
        ),
    )


class _Encoded:
    """The encoded inputs of a split as vectors, made where they are asked for."""

    def __init__(self, probe: Probe, split: str) -> None:
        some = probe.encoded_some(split, probe.labels(split)[:1].new_zeros(1)).flatten(1)
        self._probe, self._split = probe, split
        self.shape, self.device = some.shape, some.device

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        return self._probe.encoded_some(self._split, rows).flatten(1)


def _estimated(
    probe: Probe, rng: torch.Generator, accuracy: float, max_probes: int, split: str
) -> dict[str, float | str]:
    from grokscope import objective
    from grokscope_robustness import hessian_estimate

    estimate = hessian_estimate.hessian_trace(
        probe.logits_at,
        probe.weights,
        probe.inputs(split),
        objective.targets(probe.logits(split), probe.labels(split)),
        probe.loss_name,
        counted=probe.counted(split),
        generator=rng,
        accuracy=accuracy,
        max_probes=max_probes,
        foretell=probe.foretell,
    )
    return _row(estimate, accuracy)


def _of_another_loss(
    probe: Probe, rng: torch.Generator, accuracy: float, max_probes: int, split: str
) -> dict[str, float | str]:
    import torch

    from grokscope_robustness import hessian_estimate

    inputs, example = probe.inputs(split), probe.places(split)[0]
    size = hessian_estimate.chunk_size(inputs)
    slices = [slice(start, min(start + size, len(inputs))) for start in range(0, len(inputs), size)]
    counts = [int(((example >= part.start) & (example < part.stop)).sum()) for part in slices]
    shares = [(part, count / len(example)) for part, count in zip(slices, counts, strict=True) if count]
    places = torch.arange(len(inputs), device=inputs.device)
    estimate = hessian_estimate.trace_of_any_loss(
        lambda weights, part: probe.loss_at(weights, split, places[part], quick=False),
        probe.weights,
        shares,
        generator=rng,
        accuracy=accuracy,
        max_probes=max_probes,
        foretell=probe.foretell,
    )
    return _row(estimate, accuracy)


def _row(estimate: Estimate, accuracy: float) -> dict[str, float | str]:
    words = f"estimate: {estimate.gradients} gradients, {estimate.products} Hessian products"
    if estimate.stderr > accuracy * abs(estimate.value):
        words += "; accuracy not reached"
    return {"trace": estimate.value, "stderr": estimate.stderr, "method": words}
