"""The measures of Tan & Huang 2023: which split, noise and network each formula is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, MeasureError, NotApplicable, Param, measure

if TYPE_CHECKING:
    import torch

    from grokscope import Probe
    from grokscope_robustness.gauss_newton import Layer, SquaredNorms

Split = Annotated[Literal["train", "test", "all"], Param("examples to measure on")]
_OWN_NOISE = ", on tasks of one's own 0.04 of the encoded input's own"
_NOISE = "standard deviation of the noise on the encoded input; none: "
Sigma = Annotated[float | None, Param(_NOISE + f"the paper's 0.04{_OWN_NOISE}", min=0)]
ConfidenceSigma = Annotated[
    float | None, Param(_NOISE + f"the paper's, 0.1 on modular tasks, else 0.04{_OWN_NOISE}", min=0)
]
_SIGMA = Column("sigma", "the noise's standard deviation, where no paper sets it", min=0)


@measure(
    columns=[
        Column("l2_all", "l2 norm of all parameters", direction="down", min=0, role="control"),
        Column("l2_weights", "l2 norm of the weight matrices (parameters of two or more dimensions)", min=0),
        Column("l1_all", "l1 norm of all parameters", min=0),
        Column("l2", "l2 norm of one parameter tensor", min=0),
    ],
    per=["layer"],
    version=2,
    source="Tan & Huang 2023",
)
def weight_norm(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How large the parameters are: l2 and l1 norms, of the whole network and of each tensor.

    sqrt(sum w^2) over all parameters (`l2_all`), over weight matrices only (`l2_weights`: parameters with two
    or more dimensions, embeddings included, biases not), over each tensor (`l2`, one row each); sum abs(w)
    over all (`l1_all`).

    Shapes and units:
        Parameters of any shape; norms in the unit of the weights.

    How it is computed:
        Accumulated in float64.

    Cost:
        One pass over the parameters; no network is built.

    Traps:
        The norm falls late and not in time with test accuracy; with ReLU one layer may shrink while the next
        grows and the function stays the same.

    Source:
        Tan & Huang 2023, where the decay of the l2 norm is a sufficient condition for grokking.
    """
    from grokscope_robustness import functional

    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise MeasureError(f"the parameter {name} is not all finite")
    matrices = [tensor for tensor in weights.values() if tensor.ndim >= 2]
    yield {
        "l2_all": functional.l2_norm(weights.values()),
        "l2_weights": functional.l2_norm(matrices),
        "l1_all": functional.l1_norm(weights.values()),
    }
    for name, tensor in weights.items():
        yield {"layer": name, "l2": functional.l2_norm([tensor])}


@measure(
    columns=[
        Column("sum", "sum over examples of ||f(x + noise) - f(x)||^2", "squared logits", min=0),
        Column("mean", "the same per example", "squared logits", min=0),
        _SIGMA,
    ],
    source="Tan & Huang 2023",
)
def perturbation_error(probe: Probe, *, sigma: Sigma = None, split: Split = "train") -> dict[str, float]:
    """How far the logits move when a little noise is put on the input.

    sum_i ||f(x_i + Delta_i) - f(x_i)||^2 over the n examples of the split (`sum`), and that / n (`mean`),
    Delta_i ~ N(0, sigma^2 I).

    Shapes and units:
        f(x) (n, K) logits, Delta as the encoded input: pixels, one-hot vectors of an MLP, token embeddings
        before positions. Squared logits.

    How it is computed:
        Delta is drawn once per run, split and sigma, so that a curve over steps shows the network and not the
        noise.

    Cost:
        Two forward passes, shared with the other measures of the same noise.

    Traps:
        It grows with the scale of the logits, so compare it with `pc` or across steps of one run only.

    Source:
        Tan & Huang 2023; sigma 0.04, on every task.
    """
    from grokscope_robustness import functional

    noise, said = _noise(probe, sigma, 0.04)
    clean, noised = _logits(probe, split), _logits(probe, split, noise)
    total = functional.perturbation_error(noised, clean)
    return {"sum": total, "mean": total / len(clean), **said}


@measure(
    columns=[
        Column("trace", "trace of the Hessian of the risk"),
        Column("stderr", "its standard error; 0 where it is exact", min=0),
        Column("method", "exact, or how it was estimated", text=True),
    ],
    version=2,
    source="Tan & Huang 2023",
    expensive=True,
)
def sharpness(
    probe: Probe,
    rng: torch.Generator,
    *,
    accuracy: Annotated[
        float, Param("relative standard error at which an estimate may stop", min=0.001, max=1)
    ] = 0.01,
    max_probes: Annotated[
        int, Param("probes after which it stops all the same (64 gradients or one Hessian product)", min=16)
    ] = 200,
    method: Annotated[
        Literal["auto", "estimate"], Param("exact where it can be, or estimated everywhere")
    ] = "auto",
    split: Split = "train",
) -> dict[str, float | str]:
    """How sharply the risk curves around the weights: the trace of its Hessian.

    S(W) = Tr Hess R(W), over all parameters, of the paper's risk: (1/2n) sum_i ||f(x_i) - onehot(y_i)||^2 for
    networks trained by MSE (K/2 times the Hessian of torch's MSELoss), the mean cross-entropy for the others.

    Shapes and units:
        W is the vector of all parameters, f(x) (n, K) logits. Nats, or squared logits, per squared weight.

    How it is computed:
        ReLU MLPs, `exact`: the logits are piecewise linear in each single weight, so the trace is that of the
        Gauss-Newton matrix, (1/n) sum_i ||S_i^T df(x_i)/dW||_F^2, computed from layer-wise norms in float64.
        That the network is one is verified on its logits.

        Every other network, `estimate`: Tr H = Tr (Gauss-Newton) + Tr (remainder). The first by squared
        gradient norms of single examples, drawn in proportion to the curvature of their loss (all of them,
        without error, where there are few); the second by Rademacher probes on one parameter tensor at a
        time. `method` says how many of each and whether `max_probes` came before `accuracy`.

    Cost:
        MLP about two gradients of the loss for one hidden layer, else one backward pass per class; `nanda`
        some seconds; an LSTM on 500 words minutes per probe, because each is a second derivative through
        every word.

    Traps:
        Under cross-entropy it falls to 0 as the loss does, whatever the network learns; under MSE it does not
        depend on the labels. It is not invariant under rescaling the layers against each other.

    Source:
        Tan & Huang 2023; Hutchinson 1990.
    """
    from grokscope_robustness import gauss_newton

    _require_paper_loss(probe)
    _logits(probe, split)
    layers = _relu_layers(probe) if method == "auto" else None
    if layers is None:
        return _estimated(probe, rng, accuracy, max_probes, split)
    if probe.loss_name == "mse":
        trace = _jacobian_norms(probe, layers, split).parameters
    else:
        trace = gauss_newton.hessian_trace(layers, probe.encoded(split).flatten(1), probe.loss_name)
    return {"trace": trace, "stderr": 0.0, "method": "exact"}


@measure(
    columns=[Column("pc", "mean confidence on noised inputs", "%", min=0, max=100 + 1e-9), _SIGMA],
    source="Tan & Huang 2023",
)
def pc(probe: Probe, *, sigma: ConfidenceSigma = None, split: Split = "train") -> dict[str, float]:
    """How confident the network stays when noise is put on the input: perturb confidence (PC), in percent.

    (100 / n) sum_i s(x_i + Delta_i), with s = max_j softmax(f)_j for cross-entropy (a single logit z stands
    for the classes (0, z)) and s = abs(f_yhat) / sum_j abs(f_j), yhat = argmax f, for MSE.

    Shapes and units:
        f (n, K) logits, Delta ~ N(0, sigma^2 I) as the encoded input; percent.

    How it is computed:
        Delta is drawn once per run, split and sigma; confidences of all examples of the split are averaged.

    Cost:
        One forward pass, shared with the other measures of the same noise.

    Traps:
        Confidence asks for no label: a network may be confidently wrong. Under MSE a row of logits that are
        all zero has no confidence of its own and counts 1 / K, as any row of equal logits does; a single
        logit under MSE has nothing to be compared with and is not applicable.

    Source:
        Tan & Huang 2023; sigma 0.1 on modular addition, 0.04 on images and on every other task.
    """
    noise, said = _noise(probe, sigma, _confidence_sigma(probe))
    return {"pc": _confidence(probe, split, noise), **said}


@measure(
    columns=[Column("cd", "change of mean confidence by the noise", "%", min=0, max=100 + 1e-9), _SIGMA],
    source="Tan & Huang 2023",
)
def cd(probe: Probe, *, sigma: ConfidenceSigma = None, split: Split = "train") -> dict[str, float]:
    """How much confidence changes with noise on the input: confidence difference (CD), in percentage points.

    abs(PC(sigma) - PC(0)), PC as in `pc`.

    Shapes and units:
        As in `pc`; percentage points.

    How it is computed:
        Both confidences are means over the same examples; their difference is taken last.

    Cost:
        Two forward passes, shared with the other measures of the same noise.

    Traps:
        Those of `pc`; a mean confidence may stay while single examples change.

    Source:
        Tan & Huang 2023; sigma 0.1 on modular addition, 0.04 on images and on every other task.
    """
    noise, said = _noise(probe, sigma, _confidence_sigma(probe))
    noised = _confidence(probe, split, noise)
    return {"cd": abs(noised - _confidence(probe, split, 0.0)), **said}


_ZERO_INPUT = "a training input is all zeros: the bound is infinite"


@measure(
    columns=[
        Column("lhs", "mean squared Frobenius norm of the input gradient", min=0),
        Column("rhs", "the bound ||W||^2 S(W) / min ||x||^2", min=0, missing=_ZERO_INPUT),
        Column("slack", "rhs - lhs", missing=_ZERO_INPUT),
        Column("residual", "largest abs(f(x) - onehot(y)) on the training split", min=0),
        Column("interpolates", "1 where the residual is within `tolerance`, else 0", min=0, max=1),
        Column("note", "whether the run is an interpolation solution, in words", text=True),
    ],
    version=2,
    source="Tan & Huang 2023, Lemma 4.1",
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
        The Jacobian's norm is computed layer by layer, in float64; it is not stored. Not applicable where x
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
    from grokscope import objective
    from grokscope_robustness import functional

    logits = _logits(probe, "train")
    layers = _require_relu_layers(probe)
    norm = functional.l2_norm(probe.weights.values())
    lhs, rhs = _jacobian_norms(probe, layers, "train").inputs, _bound(probe, layers, norm)
    rhs = rhs if math.isfinite(rhs) else math.nan
    wanted = objective.targets(logits, probe.labels("train"))
    residual = (logits.double() - wanted).abs().max().item()
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
        Column("epsilon", "radius eps(W) within which Theorem 4.2 promises the right label", min=0, max=1),
        Column("neighbour_bound_l1", "the same share within epsilon_l1", "share", min=0, max=1),
        Column("epsilon_l1", "Corollary A.2's radius: the l1 norm in the l2 norm's place", min=0, max=1),
        Column("corollary", "the paper's curve of predicted accuracy over steps", "share", min=0, max=1),
        Column("note", "why Theorem 4.2 does not apply, or nothing", text=True),
    ],
    source="Tan & Huang 2023, Theorem 4.2, Corollaries 4.3 and A.2",
    version=2,
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
    _require_examples(probe, "train")
    _require_examples(probe, "test")
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


def _logits(probe: Probe, split: str, sigma: float = 0.0) -> torch.Tensor:
    """Return the logits. Raises NotApplicable for an empty split, MeasureError where they are not finite."""
    _require_examples(probe, split)
    logits = probe.logits(split, sigma)
    if not logits.isfinite().all():
        raise MeasureError(f"the logits of the {split} split are not all finite")
    return logits


def _require_examples(probe: Probe, split: str) -> None:
    if not len(probe.labels(split)):
        raise NotApplicable(f"the {split} split is empty")


def _require_paper_loss(probe: Probe) -> None:
    if probe.loss_name not in ("cross_entropy", "mse"):
        raise NotApplicable(f"it is defined for cross-entropy and MSE; this run's loss is {probe.loss_name}")


def _noise(probe: Probe, sigma: float | None, paper: float) -> tuple[float, dict[str, float]]:
    """Return sigma, and what is said of it.

    The paper's is known; on a task of one's own it is 0.04 of the encoded input's own standard deviation.
    """
    if sigma is not None:
        return sigma, {}
    if probe.task.kind == "own":
        return 0.04 * probe.scale(), {"sigma": 0.04 * probe.scale()}
    return paper, {}


def _confidence_sigma(probe: Probe) -> float:
    return 0.1 if probe.task.kind == "modular" else 0.04


def _confidence(probe: Probe, split: str, sigma: float) -> float:
    from grokscope_robustness import functional

    _require_paper_loss(probe)
    probe.require_classes()
    logits = _logits(probe, split, sigma)
    if probe.loss_name == "mse" and logits.shape[1] == 1:
        raise NotApplicable("under MSE a single logit has no other to be compared with")
    key = ("robustness", "confidence", split, sigma)
    return probe.shared(key, lambda: functional.perturbed_confidence(logits, probe.loss_name))


def _relu_layers(probe: Probe) -> Sequence[Layer] | None:
    """Return weight and bias of each layer where the network is proven to be Linear -> ReLU -> ... -> Linear.

    Else, or where these are not all of its parameters, None.
    """
    chain = probe.relu_chain()
    return chain.layers if chain is not None and chain.whole else None


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
    return probe.shared(key, lambda: gauss_newton.jacobian_norms(layers, probe.encoded(split).flatten(1)))


def _bound(probe: Probe, layers: Sequence[Layer], norm: float) -> float:
    """Return the right side of Lemma 4.1 on the training split, with that norm of the parameters."""
    from grokscope_robustness import functional

    trace = _jacobian_norms(probe, layers, "train").parameters
    if not math.isfinite(trace):
        raise MeasureError("the gradients on the train split are not all finite")
    smallest = functional.smallest_squared_norm(probe.encoded("train").flatten(1))
    return functional.gradient_bound(norm, trace, smallest)


def _nearest(probe: Probe) -> torch.Tensor:
    from grokscope_robustness import functional

    return probe.shared(
        ("robustness", "nearest"),
        lambda: functional.nearest_same_label(
            probe.encoded("train"), probe.labels("train"), probe.encoded("test"), probe.labels("test")
        ),
    )


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
    )
    words = f"estimate: {estimate.gradients} gradients, {estimate.products} Hessian products"
    if estimate.stderr > accuracy * abs(estimate.value):
        words += "; accuracy not reached"
    return {"trace": estimate.value, "stderr": estimate.stderr, "method": words}
