"""The geometry family's measures: thin adapters from checkpoints to the formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from grokscope import Column, Measure, MeasureError, NotApplicable, Param, measure

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

    Onward = Callable[[torch.Tensor], torch.Tensor]
    Parts = tuple[torch.Tensor, torch.Tensor, torch.Tensor, Onward]

Split = Literal["train", "test", "all"]
ZERO = "when the matrix is zero"


@measure(
    columns=[Column("effective_rank", "exp of the entropy of the singular values", min=0, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Roy & Vetterli 2007, definition 1",
)
def effective_rank(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by the entropy of its singular values.

    `exp(-sum_i p_i log p_i)`, `p_i = s_i / sum_j s_j`, over the min(m, n) singular values s. 1 for a matrix
    of rank one, min(m, n) when all singular values are equal.

    One row per parameter of two or more dimensions, embeddings and positions included. Attention's
    (heads, d_head, d_model) is taken as (heads d_head, d_model), all heads together. Float64.

    Source: Roy & Vetterli 2007, "The effective rank", definition 1. Cost: one singular value decomposition
    per matrix and measure, 3 ms for 250 x 194.

    Trap: every small singular value counts. A random 250 x 194 Gaussian matrix has 165 already; compare with
    step 0 and not with min(m, n). `stable_rank` and `participation_ratio` weigh the large ones more.
    """
    from grokscope_geometry.functional import effective_rank as formula

    yield from _per_matrix("effective_rank", weights, formula)


@measure(
    columns=[Column("stable_rank", "squared Frobenius norm over squared spectral norm", min=0, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Rudelson & Vershynin 2007, section 1",
)
def stable_rank(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by its norm in units of its largest singular value.

    `sum_i s_i^2 / max_i s_i^2`, between 1 and the rank. Rows as in `effective_rank`; float64.

    Source: Rudelson & Vershynin 2007, "Sampling from large matrices", section 1. Cost: as `effective_rank`.

    Trap: one large singular value, such as a common offset of all rows, brings it near 1 whatever the rest
    does.
    """
    from grokscope_geometry.functional import stable_rank as formula

    yield from _per_matrix("stable_rank", weights, formula)


@measure(
    columns=[
        Column("participation_ratio", "how many directions share the squared norm", min=0, missing=ZERO)
    ],
    per=["layer"],
    version=2,
    source="Gao et al. 2017, equation 4",
)
def participation_ratio(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How many directions each weight matrix uses, by how evenly they share its squared norm.

    `(sum_i s_i^2)^2 / sum_i s_i^4`, between 1 and the rank. Rows as in `effective_rank`; float64.

    Source: Gao et al. 2017, "A theory of multineuronal dimensionality, dynamics and measurement", equation 4,
    of the eigenvalues s_i^2 of W^T W (not centred: weights have no samples). Cost: as `effective_rank`.
    """
    from grokscope_geometry.functional import participation_ratio as formula

    yield from _per_matrix("participation_ratio", weights, formula)


@measure(
    columns=[
        Column(
            "condition_number",
            "largest over smallest singular value",
            min=0,
            missing="NaN when the matrix is zero, infinite when it is singular up to rounding",
        )
    ],
    per=["layer"],
    version=2,
    source="Golub & Van Loan 2013, section 2.6.2",
)
def condition_number(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How much more each weight matrix stretches its strongest direction than its weakest.

    `max_i s_i / min_i s_i` over the min(m, n) singular values. Infinite when the smallest is at most max(m,
    n) 2^-52 of the largest, as it is when a unit has died to zero. Rows as in `effective_rank`; float64.

    Cost: as `effective_rank`.

    Trap: weights are stored in float32, so that beyond some 1e6 the smallest singular value is their
    rounding.
    """
    from grokscope_geometry.functional import condition_number as formula

    yield from _per_matrix("condition_number", weights, formula)


@measure(
    columns=[Column("gini", "Gini coefficient of the entries' magnitudes", min=0, max=1, missing=ZERO)],
    per=["layer"],
    version=2,
    source="Hurley & Rickard 2009, table I",
)
def gini(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How unequal the magnitudes of each weight matrix's entries are.

    `1 - 2 sum_i (c_i / |c|_1) (N - i + 1/2) / N`, c the N magnitudes in rising order: 0 when all are equal, 1
    - 1/N when one alone is not zero. Independent Gaussian entries have sqrt(2) - 1 = 0.414, uniform ones 1/3:
    not sparse, and not 0. Rows as in `effective_rank`.

    Source: Hurley & Rickard 2009, "Comparing measures of sparsity", table I. Cost: a sort per matrix.
    """
    from grokscope_geometry.functional import gini as formula

    yield from _per_matrix("gini", weights, formula)


@measure(
    columns=[
        Column(
            "hoyer",
            "Hoyer's sparseness of the entries",
            min=-1e-9,  # 0 up to rounding
            max=1 + 1e-9,
            missing="when the matrix is zero or has one entry",
        )
    ],
    per=["layer"],
    version=2,
    source="Hoyer 2004, section 3.1",
)
def hoyer(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """How sparse each weight matrix is, by the ratio of its two norms.

    `(sqrt(N) - |w|_1 / |w|_2) / (sqrt(N) - 1)` over all N entries: 0 when all magnitudes are equal, 1 when
    one entry alone is not zero. Large Gaussian matrices have 1 - sqrt(2/pi) = 0.202. Rows as in
    `effective_rank`.

    Source: Hoyer 2004, "Non-negative matrix factorization with sparseness constraints", section 3.1.
    """
    from grokscope_geometry.functional import hoyer as formula

    yield from _per_matrix("hoyer", weights, formula)


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
)
def cka(
    probe: Probe,
    baseline: Probe,
    *,
    split: Annotated[Split, Param("examples on which layers are compared")] = "train",
) -> Iterator[dict[str, Any]]:
    """How alike each hidden layer is to the same layer of the baseline, up to a rotation and a scale.

    `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)`, X (n, d) the layer's activations after the non-linearity on
    `split`, Y the baseline's, each column centred; float64. 1 for X = c Y Q with an orthogonal Q, 0 when no
    column of one is correlated with a column of the other. The baseline is the first checkpoint unless
    `--baseline` says else.

    Source: Kornblith et al. 2019, "Similarity of neural network representations revisited", section 3, in the
    feature-space form. Cost: n d^2 twice, 50 ms for 3763 x 250.

    Trap: with fewer examples than units it is biased upwards; unrelated random layers then do not give 0.
    """
    from grokscope_geometry.functional import cka as formula

    other = baseline.activations(split)
    for layer, activations in probe.activations(split).items():
        _require_finite("cka", layer, activations, other[layer])
        yield {"layer": layer, "cka": formula(activations, other[layer])}


@measure(
    columns=[
        Column("l2", "norm of the difference to the baseline's weights", min=0),
        Column("relative", "l2 over the norm of the baseline's", min=0, missing="when the baseline is zero"),
        Column(
            "cosine",
            "cosine of the angle to the baseline's weights",
            min=-1,
            max=1,
            missing="when either is zero",
        ),
    ],
    per=["layer"],
    version=2,
    source="Euclidean geometry of the parameter vector",
)
def weight_distance(weights: Mapping[str, torch.Tensor], baseline: Probe) -> Iterator[dict[str, Any]]:
    """How far the weights have moved from the baseline's: over all parameters, and per parameter tensor.

    `l2` = |w - w0|, `relative` = |w - w0| / |w0|, `cosine` = <w, w0> / (|w| |w0|), in float64. The row
    without a layer takes all parameters, biases included, as one vector. The baseline is the first checkpoint
    unless `--baseline` says else; `--baseline previous` gives the length of the step between checkpoints.
    """
    from grokscope_geometry.functional import flat
    from grokscope_geometry.functional import weight_distance as formula

    for name, weight in weights.items():
        _require_finite("weight_distance", name, weight, baseline.weights[name])
    yield formula(flat(weights), flat({name: baseline.weights[name] for name in weights}))
    for name, weight in weights.items():
        yield {"layer": name, **formula(weight, baseline.weights[name])}


@measure(
    columns=[
        Column("train", "units crossed per training example", "units", min=0),
        Column("test", "units crossed per test example", "units", min=0),
    ],
    per=["layer"],
    source="Humayun et al. 2024, section 3",
)
def local_complexity(
    probe: Probe,
    rng: torch.Generator,
    *,
    directions: Annotated[int, Param("random orthonormal directions of the hull", min=1)] = 25,
    radius: Annotated[float, Param("distance of the hull's vertices from the example", above=0)] = 0.005,
    samples: Annotated[int, Param("examples of each split at most", min=1)] = 1024,
) -> Iterator[dict[str, Any]]:
    """How many of a ReLU network's folds lie next to an example: the density of its linear regions.

    Around each encoded example x the hull has the vertices `x + r u` and `x - r u` for `directions` random
    orthonormal u and the radius r. A hidden unit counts when its pre-activation does not have the same sign
    at all vertices. Given is the mean count over examples: of each hidden layer, and without a layer of all.

    The directions are drawn once per run and are the same for every example, split and checkpoint. Of each
    split the first `samples` of a random order count, again the same at every checkpoint.

    Source: Humayun et al. 2024, "Deep networks always grok and here is why", section 3; their released code,
    which draws one orthogonal matrix for all examples and does not count the centre. Only for MLPs: attention
    and LSTM gates are not piecewise linear. Float32, as the network runs. Cost: 2 x directions forward
    passes; the first hidden layer is free, since its extremes over the hull are known.

    Traps: deep layers are only seen at the vertices. The radius is in units of the encoded input: 0.005 for
    pixels in [0, 1], as in the paper, and for one-hot inputs an example's neighbourhood that holds no other.
    """
    import torch

    from grokscope_geometry.partition import local_complexity as formula
    from grokscope_geometry.partition import random_directions

    layers = _linears(probe, "local_complexity")
    width = layers[0][0].shape[1]
    if directions > width:
        raise MeasureError(
            f"local_complexity.directions must be at most {width}, the width of the input, got {directions}"
        )
    _require_finite("local_complexity", "a weight", *probe.weights.values())
    spread = random_directions(directions, width, rng).to(layers[0][0])
    counts = {}
    for split in ("train", "test"):
        encoded = probe.encoded(split)
        chosen = torch.randperm(len(encoded), generator=rng)[:samples].to(encoded.device)
        with torch.no_grad():
            counts[split] = formula(layers, encoded[chosen], spread, radius).double().mean(dim=0)
    yield {split: count.sum() for split, count in counts.items()}
    for index, layer in enumerate(probe.model.hidden):
        yield {"layer": layer, **{split: count[index] for split, count in counts.items()}}


@measure(
    columns=[
        Column("train", "share of training examples whose exp-sum is 1", min=0, max=1),
        Column("test", "share of test examples whose exp-sum is 1", min=0, max=1),
        Column("train_zero_loss", "share of training examples whose loss is exactly 0", min=0, max=1),
        Column("test_zero_loss", "share of test examples whose loss is exactly 0", min=0, max=1),
    ],
    source="Prieto et al. 2025, definition 3, equations 2 and 3",
)
def softmax_collapse(probe: Probe) -> dict[str, Any]:
    """On how many examples float32 rounds the whole softmax to its largest class, so that learning stops.

    `train`, `test`: share of examples where the float32 sum over classes of `exp(z - max z)` is exactly 1,
    every other term being absorbed. `..._zero_loss`: share where moreover the largest class is the right one,
    which is the paper's equation 2; loss and gradient of the right logit are then exactly zero.

    Source: Prieto et al. 2025, "Grokking at the edge of numerical stability", definition 3. Only under
    cross-entropy. A single logit z stands for the classes (0, z): collapse is abs(z) > 17.

    Trap: terms are lost below about 2^-24, at a distance of some 17 in logits; whether the sum of K terms
    just there still counts depends on the order of summation, and so on the machine.
    """
    from grokscope import objective
    from grokscope_geometry.functional import collapsed

    if probe.loss_name != "cross_entropy":
        raise NotApplicable(f"softmax_collapse is about the softmax; this run's loss is {probe.loss_name}")
    shares: dict[str, Any] = {}
    for split in ("train", "test"):
        logits = objective.class_logits(probe.logits(split))
        _require_finite("softmax_collapse", "a logit", logits)
        gone = collapsed(logits)
        right = logits.argmax(dim=1) == probe.labels(split)
        shares |= {split: gone.double().mean(), f"{split}_zero_loss": (gone & right).double().mean()}
    return shares


@measure(
    columns=[
        Column("neurons", "fewest units that keep train accuracy", "units", "down", min=1),
        Column("share", "the same over the layer's units", "", "down", min=0, max=1),
    ],
    per=["layer"],
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
    goes through every k, since accuracy need not rise with k. For MLPs, and a transformer's MLP neurons
    (attention stays whole); the units of an LSTM cannot be taken out one at a time.

    Cost: one rank-one update of the next layer and one prediction per unit: up to 0.3 s for 3763 x 250 and 97
    classes. Trap: before the training split is fitted there is little to keep, and a single unit may be
    enough.
    """
    from grokscope import objective
    from grokscope_geometry.functional import fewest_units

    labels = probe.labels("train")
    target = objective.accuracy(probe.logits("train"), labels)
    for layer, (activations, incoming, outgoing, onward) in _prunable(probe).items():
        whole = probe.trace("train")[_after(probe, layer)]
        _require_finite("effective_sparsity", layer, activations, whole)

        def enough(values: torch.Tensor, onward: Onward = onward) -> bool:
            return objective.accuracy(onward(values), labels) >= target

        neurons = fewest_units(
            whole - activations @ outgoing.T, activations, outgoing, _by_norm(incoming), enough
        )
        yield {"layer": layer, "neurons": neurons, "share": neurons / activations.shape[1]}


@measure(
    columns=[
        Column("llc", "local learning coefficient", missing="when every chain diverged"),
        Column("stderr", "standard error over chains", min=0, missing="when fewer than two chains settled"),
        Column("start_loss", "loss on the whole training split at the checkpoint", min=0),
        Column("negative_chains", "settled chains below zero", min=0, tally=True),
        Column("diverged_chains", "chains left out because their loss ran away", min=0, tally=True),
        Column("remark", "what must be said of the chains, or nothing", text=True),
    ],
    arrays={"losses": "loss along each chain after burn-in, (chains, draws)"},
    expensive=True,
    source="Lau et al. 2023, definition 2 and algorithm 1",
)
def llc(
    probe: Probe,
    rng: torch.Generator,
    *,
    epsilon: Annotated[float, Param("step size", above=0)] = 3e-3,
    gamma: Annotated[float, Param("strength of the pull back to the checkpoint", min=0)] = 5.0,
    nbeta: Annotated[float, Param("n times the inverse temperature", above=0)] = 2.0,
    draws: Annotated[int, Param("steps that count, per chain", min=8)] = 500,
    burn_in: Annotated[int, Param("steps before them", min=0)] = 100,
    chains: Annotated[int, Param("independent chains", min=1)] = 4,
    batch_size: Annotated[int | None, Param("training examples per step; none for all", min=1)] = 512,
) -> dict[str, Any]:
    """How degenerate the loss is around the checkpoint: the local learning coefficient, by Langevin sampling.

    `n beta (E[L(w)] - L(w*))`, the expectation over `exp(-n beta L(w) - gamma/2 |w - w*|^2)`, w* the
    checkpoint and L the run's own mean loss on the training split (nats for cross-entropy). Each chain starts
    at w* and makes `burn_in` + `draws` steps `w <- w - epsilon/2 (n beta grad L_batch(w) + gamma (w - w*)) +
    N(0, epsilon)`, batches drawn without replacement, a new one each step. `llc` is the mean over chains,
    `stderr` their standard deviation over the square root of their number. A regular model of d parameters
    has d/2, a singular one less.

    Source: Lau et al. 2023, "The local learning coefficient: a singularity-aware complexity measure",
    definition 2 and algorithm 1. The default epsilon, gamma and n beta are those in use for grokking on
    modular addition.

    What is said in `remark` and counted: chains whose loss is not finite or still grows by a factor of two
    from the third quarter of the draws to the last (left out), and chains with a negative coefficient (kept):
    the checkpoint is then not at a minimum of the loss, as with weight decay it never quite is. Chains wander
    off rather than settle when epsilon (n beta h + gamma) > 4 for the sharpest curvature h: lower epsilon.

    Cost: chains x (burn_in + draws) gradients on a batch: 7 s for `clauw`.

    Traps: at n beta = 2 the sampler sees the loss at a temperature far above 1 / log n; compare checkpoints,
    not the number with a theory. Step size, gamma, n beta and the number of draws all move it; `stderr` holds
    only the difference between chains, not the bias of a chain too short.
    """
    import torch

    from grokscope_geometry.sgld import learning_coefficient, sgld_losses

    _require_finite("llc", "a weight", *probe.weights.values())
    batch_loss = _batch_loss(probe, rng, batch_size)
    start = torch.cat([weight.detach().flatten() for weight in probe.weights.values()])
    losses = torch.stack(
        [
            sgld_losses(
                batch_loss,
                start,
                epsilon=epsilon,
                gamma=gamma,
                nbeta=nbeta,
                draws=draws,
                burn_in=burn_in,
                generator=rng,
            )
            for _ in range(chains)
        ]
    )
    found = learning_coefficient(losses, probe.loss("train"), nbeta)
    return {
        "llc": found.llc,
        "stderr": found.stderr,
        "start_loss": probe.loss("train"),
        "negative_chains": found.negative,
        "diverged_chains": found.diverged,
        "remark": found.remark,
        "losses": losses,
    }


@measure(
    columns=[
        Column(
            "distance",
            "1 - alignment of the kernel with the baseline's",
            direction="up",
            min=0,
            max=2,
            missing="when a kernel is zero",
        ),
        Column(
            "centred_distance",
            "the same of the kernels of centred gradients",
            direction="up",
            min=0,
            max=2,
            missing="when a centred kernel is zero",
        ),
        Column("relative_change", "|K - K0| / |K0|", min=0, missing="when the baseline's kernel is zero"),
        Column("samples", "training examples in the kernel", min=1),
    ],
    expensive=True,
    source="Kumar et al. 2023, section 2; Fort et al. 2020, equation 4",
)
def ntk_distance(
    probe: Probe,
    baseline: Probe,
    *,
    samples: Annotated[int, Param("training examples in the kernel at most", min=2, max=200)] = 200,
) -> dict[str, Any]:
    """How far the neural tangent kernel has turned away from the baseline's: from lazy to rich training.

    `K_ij = sum_c <grad_w f_c(x_i), grad_w f_c(x_j)>`, the empirical kernel traced over the logits c, on at
    most `samples` training examples, evenly spaced in the order of the split. `distance` = 1 - <K, K0> / (|K|
    |K0|), Frobenius: 0 as long as the network trains lazily, unchanged by the kernel's scale;
    `relative_change` = |K - K0| / |K0| sees the scale too. The baseline is the first checkpoint unless
    `--baseline` says else.

    Source: Kumar et al. 2023, "Grokking as the transition from lazy to rich training dynamics"; the distance
    is equation 4 of Fort et al. 2020, "Deep learning versus kernel learning". All outputs are traced, not
    their sum: under cross-entropy the sum of the logits is what a softmax does not see.

    Cost: in closed form for MLPs, 0.2 s at 200 samples of `clauw`; elsewhere one gradient per example and
    logit, about 40 s at 200 samples of `nanda`, and samples x parameters x 4 bytes of memory: lower
    `samples`.

    Trap: the entries of K are mostly positive, so that kernels without anything else in common are aligned:
    on `clauw` the distance stays below 0.02 while `relative_change` is 60. `centred_distance`, 0.11 there,
    takes the gradients' mean over examples out first (1 - the centred alignment of Kornblith et al. 2019).
    """
    from grokscope_geometry.ntk import centred_kernel, kernel_distance

    now, start = _ntk(probe, samples), _ntk(baseline, samples)
    _require_finite("ntk_distance", "the kernel", now, start)
    norm = start.norm()
    return {
        "distance": kernel_distance(now, start),
        "centred_distance": kernel_distance(centred_kernel(now), centred_kernel(start)),
        "relative_change": (now - start).norm() / norm if norm > 0 else float("nan"),
        "samples": len(now),
    }


MEASURES: list[Measure] = [
    effective_rank,
    stable_rank,
    participation_ratio,
    condition_number,
    gini,
    hoyer,
    cka,
    weight_distance,
    local_complexity,
    softmax_collapse,
    effective_sparsity,
    llc,
    ntk_distance,
]


def _per_matrix(
    column: str, weights: Mapping[str, torch.Tensor], formula: Callable[[torch.Tensor], float]
) -> Iterator[dict[str, Any]]:
    from grokscope_geometry.functional import as_matrix

    for name, weight in weights.items():
        if weight.ndim >= 2:
            _require_finite(column, name, weight)
            yield {"layer": name, column: formula(as_matrix(weight))}


def _require_finite(where: str, what: str, *tensors: torch.Tensor) -> None:
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise MeasureError(f"{where}: {what} must be finite, got NaN or infinity")


def _linears(probe: Probe, where: str) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Return weight and bias of every Linear of an MLP, first to last."""
    if probe.model.kind != "mlp":
        raise NotApplicable(
            f"{where} needs a network of Linear and ReLU layers only, not a {probe.model.kind}"
        )
    weights = probe.weights
    count = len(probe.model.hidden) + 1
    return [(weights[f"layers.{i}.weight"], weights.get(f"layers.{i}.bias")) for i in range(count)]


def _prunable(probe: Probe) -> dict[str, Parts]:
    """Return per hidden layer: activations, incoming and outgoing weights, and the way on to the logits."""
    weights, activations = probe.weights, probe.activations("train")
    if probe.model.kind == "transformer":
        mlp = "blocks.0.mlp"
        outgoing = weights["unembed.weight"] @ weights[f"{mlp}.W_out"]
        (layer,) = probe.model.hidden
        return {layer: (activations[layer], weights[f"{mlp}.W_in"], outgoing, lambda values: values)}
    layers = _linears(probe, "effective_sparsity")
    return {
        layer: (activations[layer], layers[i][0], layers[i + 1][0], _rest_of(layers[i + 2 :]))
        for i, layer in enumerate(probe.model.hidden)
    }


def _by_norm(incoming: torch.Tensor) -> torch.Tensor:
    """Return unit indices in falling order of the norm of their incoming weights."""
    return incoming.double().norm(dim=1).argsort(descending=True, stable=True)


def _rest_of(
    layers: list[tuple[torch.Tensor, torch.Tensor | None]],
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


def _batch_loss(
    probe: Probe, rng: torch.Generator, batch_size: int | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    from grokscope import objective

    inputs, labels = probe.inputs("train"), probe.labels("train")
    shapes = {name: weight.shape for name, weight in probe.weights.items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(w: torch.Tensor) -> torch.Tensor:
        pieces = zip(shapes.items(), w.split(sizes), strict=True)
        weights = {name: piece.view(shape) for (name, shape), piece in pieces}
        x, y = inputs, labels
        if batch_size is not None and batch_size < len(inputs):
            chosen = torch.randperm(len(inputs), generator=rng)[:batch_size].to(inputs.device)
            x, y = inputs[chosen], labels[chosen]
        logits = torch.func.functional_call(probe.model, weights, (x,))
        return objective.loss(probe.loss_name, logits, y)

    return loss


def _ntk(probe: Probe, samples: int) -> torch.Tensor:
    return probe.shared(("geometry", "ntk", samples), lambda: _empirical_kernel(probe, samples))


def _empirical_kernel(probe: Probe, samples: int) -> torch.Tensor:
    import torch

    from grokscope_geometry.ntk import Traced, jacobian_ntk, mlp_ntk

    inputs = probe.inputs("train")
    count = min(samples, len(inputs))
    inputs = inputs[torch.linspace(0, len(inputs) - 1, count).long().to(inputs.device)]
    model = probe.model
    if model.kind == "mlp":
        return mlp_ntk(_linears(probe, "ntk_distance"), model.encode(inputs).detach())

    traced = Traced(model)

    def logits_of(weights: Mapping[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", torch.func.functional_call(traced, dict(weights), (x,)))

    weights = {f"network.{name}": weight for name, weight in probe.weights.items()}
    return jacobian_ntk(logits_of, weights, inputs, vectorised=model.kind == "transformer")
