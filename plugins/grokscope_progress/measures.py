"""The measures of the family `progress`: what each takes from a checkpoint and returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

CHUNK = 2048  # examples per pruned forward pass: bounds the memory of an LSTM or a large data set
SOURCE = "Golechha 2024, section 3"


@measure(
    columns=[
        Column("sparsity", "share of the layer's activations within tau of 0", min=0, max=1),
        Column("mean", "mean of `sparsity` over the hidden layers, each counting once", min=0, max=1),
    ],
    per=["layer"],
    version=2,
    source=f"{SOURCE}, activation sparsity",
    knows=[],
)
def activation_sparsity(
    probe: Probe,
    *,
    tau: Annotated[float, Param("activations of a size strictly below this are inactive", min=0)] = 1e-6,
    split: Annotated[Literal["train", "test", "all"], Param("the examples looked at")] = "train",
) -> Iterator[dict[str, Any]]:
    """Share of hidden activations that are inactive: within `tau` of 0, in each hidden layer and on average.

    For each hidden layer, (1 / (n d)) sum_ij [|a_ij| < tau], strictly. Of ReLU's activations, which are never
    negative, that is the paper's a_ij < tau, and with the default tau = 1e-6 the share of exact zeros; tanh,
    GELU and LSTM states take both signs, and a large negative value is not inactive.

    Shapes and units:
        Each hidden layer's activations (n, d) after the non-linearity; a share.

    How it is computed:
        `mean` weighs every hidden layer alike, however wide.

    Cost:
        One forward pass, shared with other measures.

    Traps:
        A unit that is dead for every example counts as sparse; values of tanh, GELU and LSTM are hardly ever
        within 1e-6 of 0, so set tau there.

    Source:
        Golechha 2024 (arXiv 2405.12755), section 3.
    """
    from grokscope_progress.functional import sparsity

    probe.require_hidden()
    if len(probe.labels(split)) == 0:
        raise NotApplicable(f"the {split} split is empty")
    shares = {}
    for layer, values in probe.activations(split).items():
        probe.require_finite(f"activation_sparsity: activations of {layer}", layer, split)
        shares[layer] = sparsity(values, tau)
    yield {"mean": sum(shares.values()) / len(shares)}
    for layer, share in shares.items():
        yield {"layer": layer, "sparsity": share}


@measure(
    columns=[
        Column("entropy", "-sum |w| log |w| of one weight matrix", unit="nats", direction="down"),
        Column("total", "sum of `entropy` over the weight matrices", unit="nats", direction="down"),
        Column(
            "normalised",
            "Shannon entropy of |w| / sum |w|: of one matrix, or of all weights of all matrices together",
            unit="nats",
            min=0,
            missing="when all the weights are zero",
        ),
    ],
    per=["layer"],
    version=2,
    source=f"{SOURCE}, absolute weight entropy",
)
def weight_entropy(weights: Mapping[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    """Absolute weight entropy of every weight matrix, their sum, and the same for weights scaled to sum to 1.

    H(W) = -sum_ij |w_ij| log |w_ij|, with 0 log 0 = 0. `normalised` is the Shannon entropy of p = |w| / sum
    |w|, between 0 and log(number of weights): it sees how the weights are distributed and not their scale.

    Shapes and units:
        Weight matrices are the parameters with two or more dimensions: embeddings are among them, biases are
        not, and a stack of attention heads is one matrix. Nats.

    How it is computed:
        The row without a layer holds `total`, the sum of H over all matrices, and `normalised` of all their
        weights taken as one distribution. Sums in float64.

    Cost:
        One pass over the weights; no network is built.

    Traps:
        H is no entropy of a distribution. A weight above 1 counts negatively, and weights below 1/e count
        less the smaller they are, so under weight decay H falls for that reason alone: compare `normalised`.

    Source:
        Golechha 2024 (arXiv 2405.12755), section 3; `normalised` is ours.
    """
    from grokscope_progress.functional import entropy_and_mass, normalised_entropy

    parts = {name: entropy_and_mass(weight) for name, weight in _matrices("weight_entropy", weights).items()}
    total = sum(entropy for entropy, _ in parts.values())
    mass = sum(mass for _, mass in parts.values())
    yield {"total": total, "normalised": normalised_entropy(total, mass)}
    for name, (entropy, mass) in parts.items():
        yield {"layer": name, "entropy": entropy, "normalised": normalised_entropy(entropy, mass)}


@measure(
    columns=[
        Column("kl_sum", "KL summed over the training split, mean over masks", "nats", "down", min=0),
        Column("kl_mean", "KL per training example, mean over masks", "nats", "down", min=0),
        Column("stderr", "standard error of kl_mean over masks", "nats", min=0, missing="when repeats is 1"),
    ],
    per=["layer"],
    expensive=True,
    source=f"{SOURCE}, approximate local circuit complexity",
    knows=[],
)
def circuit_complexity(
    probe: Probe,
    rng: torch.Generator,
    *,
    fraction: Annotated[float, Param("share of each weight matrix that is zeroed", above=0, max=1)] = 0.1,
    repeats: Annotated[int, Param("random masks averaged over", min=1)] = 10,
    per_matrix: Annotated[bool, Param("also prune each weight matrix alone")] = True,
) -> Iterator[dict[str, Any]]:
    """How much the outputs change when a random tenth of the weights is zeroed (local circuit complexity).

    sum_x KL(softmax f_W(x) || softmax f_W'(x)) over the training split, where W' is W with exactly
    round(fraction * size) weights of each weight matrix set to zero, chosen without replacement. A single
    logit z stands for the classes (0, z).

    Shapes and units:
        f (n, K) logits of the n training examples. Weight matrices are the parameters with two or more
        dimensions; biases stay. Nats.

    How it is computed:
        The row without a layer prunes all matrices at once; the row of a layer prunes that matrix alone, by
        the same masks. Every number is the mean over `repeats` masks, which are the same at every checkpoint;
        `stderr` is the error of kl_mean (times n for kl_sum) and speaks of the choice of masks only.

    Cost:
        1 + repeats (1 + number of matrices) forward passes on the training split, or 1 + repeats without
        `per_matrix`; too many for a default, hence `expensive`.

    Traps:
        A small matrix may lose no weight at all (round(0.1 * 4) = 0; its KL is then 0). The KL grows with the
        scale of the logits, so networks trained by MSE and by cross-entropy do not compare.

    Source:
        Golechha 2024 (arXiv 2405.12755), section 3, which prunes once; the average over masks is ours.
    """
    import torch

    from grokscope import objective
    from grokscope_progress import functional

    probe.require_classes()
    matrices = _matrices("circuit_complexity", probe.weights)
    inputs, counted = probe.inputs("train"), probe.counted("train")
    rows = len(probe.labels("train"))
    if rows == 0:
        raise NotApplicable("the train split is empty")

    def forward(replaced: Mapping[str, torch.Tensor]) -> torch.Tensor:
        parts = [probe.logits_at(replaced, chunk, quick=True) for chunk in inputs.split(CHUNK)]
        logits = objective.class_logits(torch.cat(parts))
        return logits if counted is None else logits[counted]

    with torch.no_grad():
        sums = functional.circuit_complexity(
            forward, matrices, fraction=fraction, repeats=repeats, per_matrix=per_matrix, rng=rng
        )
    for name, values in sums.items():
        numbers.require_finite("circuit_complexity: logits", *values)
        mean, stderr = functional.mean_and_error(values)
        row = {"kl_sum": mean, "kl_mean": mean / rows, "stderr": stderr / rows}
        yield row if name == functional.EVERY else {"layer": name, **row}


def _matrices(where: str, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    matrices = {name: weight for name, weight in weights.items() if weight.dim() >= 2}
    if not matrices:
        raise NotApplicable("the network has no parameter with two or more dimensions")
    for name, weight in matrices.items():
        numbers.require_finite(f"{where}: weights of {name}", weight)
    return matrices
