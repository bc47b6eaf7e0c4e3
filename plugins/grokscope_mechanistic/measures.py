"""The mechanistic family's measures: thin adapters from probes to the formulas of `functional`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from grokscope import Column, MeasureError, Param, UnfitBaseline, measure, numbers
from grokscope_mechanistic.addition import Addition, addition_of

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

_COLUMNS = [
    Column("excluded_loss", "loss on train without the key frequencies", "nats", "up"),
    Column("restricted_loss_train", "loss on train of the key frequencies alone", "nats", "down"),
    Column("restricted_loss_test", "loss on test of the key frequencies alone", "nats", "down"),
    Column("restricted_loss", "loss on all pairs of the key frequencies alone", "nats", "down"),
    Column(
        "key_share",
        "share of the logits' variance in cos and sin of w(a+b-c) at the key frequencies",
        direction="up",
        min=0,
        max=1,
        missing="when every example's logits are all equal",
        knows=["test", "task", "end"],
    ),
    Column(
        "gini_embedding",
        "Gini coefficient of the embedding's Fourier norms",
        direction="up",
        min=0,
        max=1,
        missing="when the embedding is zero",
        knows=["task"],
    ),
    Column(
        "gini_unembedding",
        "Gini coefficient of the unembedding's Fourier norms",
        direction="up",
        min=0,
        max=1,
        missing="when the unembedding is zero",
        knows=["task"],
    ),
    Column(
        "gini_neuron_logit",
        "the same of W_L, the map from the transformer's neurons to its logits",
        direction="up",
        min=0,
        max=1,
        missing="when W_L is zero",
        knows=["task"],
    ),
    Column("keys", "how many frequencies are key", min=1, knows=["test", "task", "end"]),
    Column(
        "gap",
        "norm of the weakest key over that of the strongest other frequency",
        min=1,
        missing="when the keys were asked for, or there is no gap",
        knows=["test", "task", "end"],
    ),
    Column("note", "how the keys were found", text=True),
]


@measure(
    columns=_COLUMNS,
    per=["frequency"],
    version=2,
    baseline="last",
    source="Nanda et al. 2023, section 5.1 and appendix C.1.5",
    knows=["labels", "test", "task"],
)
def fourier(
    probe: Probe,
    baseline: Probe,
    *,
    keys: Annotated[
        int | None, Param("take this many frequencies instead of those above the gap", min=1)
    ] = None,
    threshold: Annotated[
        float | None, Param("take those of at least this share of the largest norm", above=0, max=1)
    ] = None,
) -> Iterator[dict[str, Any]]:
    """How much of modular addition is done by the trigonometric algorithm, in the run's final frequencies.

    A network that computes `cos(w_k(a+b-c))`, `w_k = 2 pi k / p`, for a few frequencies k adds without having
    memorised. The frequencies are those of the *last* checkpoint (the baseline), the same at every step;
    where that one's logits are not finite, or have no frequency at all, those of the newest checkpoint that
    is sound. P_K L is the orthogonal projection of the logits L on the functions `cos(w_k(a+b))` and
    `sin(w_k(a+b))` of the pair, k in the key set K, for every class c.

    - `excluded_loss`: the loss of L - P_K L on the training split. All keys at once in the row without a
      label; one key alone in the row of each `frequency`.
    - `restricted_loss_train`, `_test`, `restricted_loss`: the loss of P_K L + the mean logits over all pairs,
      on train, test and all pairs.
    - `key_share`: the squared norm of L along `cos(w_k(a+b-c))` and `sin(w_k(a+b-c))` over that of L, each
      example's mean logit taken out of L; summed over K, and for each key.
    - `gini_embedding`, `gini_unembedding`: Gini coefficient (Hurley & Rickard 2009) of the p norms of the
      discrete Fourier transform along the tokens and along the classes, constant included. An MLP's embedding
      is its first weight, both one-hot halves below each other; its unembedding the last weight.
      `gini_neuron_logit`, for transformers, is that of W_L = W_U W_out, which the paper plots. A matrix that
      is not seen to be what its place says (linear in one-hot tokens, linear to the logits) has none.

    Shapes and units:
        L (p^2, p) is the matrix of logits of all pairs, in float64. The loss is the run's own: nats for
        cross-entropy, a mean square for MSE.

    How it is computed:
        Key frequencies are those above the gap in the norms along `cos, sin(w_k(a+b-c))` of the last
        checkpoint's logits. In falling order, the gap is where a norm is the largest multiple of the next
        one, at least 3 times it, with a third of all frequencies below; where what is below still holds more
        than a thousandth of the power, the largest such step further down (`functional.above_the_gap`). No
        strength is too small for it: published networks have keys of 0.14 to 1 of the largest norm, and the
        next frequency at 0.001 to 0.04, which a quarter of the maximum - the authors' later demonstration on
        the embedding - cuts through. The paper itself says "nontrivial coefficients". `gap` is how wide it
        is. Without a gap no frequency stands out: all are taken, and `note` says so. `keys` takes the
        largest, `threshold` a share of the maximum instead.

        Applies to modular tasks over all p^2 pairs whose label is a + b or a - b mod p (then read a - b for a
        + b everywhere) and to networks with p logits. Data of one's own may have the pairs inside a longer
        sequence (`a + b =`), and more logits: the numbers are then the tokens from the smallest operand on,
        the results the classes from the smallest label on, and `note` says how many logits are left out.

    Cost:
        One forward pass over all pairs, which measures share, and under cross-entropy 15 ms for all key
        frequencies together at p = 97; under other losses 5 ms for each.

    Traps:
        The projection is made over all pairs, so excluded loss on train knows of the test pairs too. In a run
        that has not grokked the keys, if any, are the largest of nothing: read `key_share` and `note` of the
        last step first. An MLP may well use all frequencies: `clauw` does (no gap among 48 at p = 97), and
        its Gini coefficients stay near 0.1.

    Source:
        Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability", equation 1,
        section 5.1 and appendix C.1.5.
    """
    from grokscope_mechanistic import functional

    task = addition_of(probe)
    p = task.p
    frequencies, gap, note = _keys(baseline, p, keys, threshold)
    if not _seen(probe).finite:
        numbers.require_finite(f"fourier: the logits at step {probe.step}", probe.logits("all"))
    note += f"; {task.others} other logits are left out" if task.others else ""
    excluded = _excluded(probe, [frequencies, *([k] for k in frequencies)])
    shares = _shares(probe)
    yield {
        "excluded_loss": excluded[0],
        **_restricted(probe, frequencies),
        "key_share": _sum_of(shares, frequencies),
        "keys": len(frequencies),
        "gap": gap,
        "note": note,
        **{name: numbers.gini(functional.fourier_norms(w)) for name, w in _matrices(probe, task).items()},
    }
    for k, loss in zip(frequencies, excluded[1:], strict=True):
        yield {"frequency": k, "excluded_loss": loss, "key_share": _sum_of(shares, [k])}


def _excluded(probe: Probe, sets: Sequence[Sequence[int]]) -> list[float]:
    """Return the loss on the training split without each of the sets of frequencies."""
    from grokscope_mechanistic import functional

    task, train = addition_of(probe), probe.task.train
    folded, results = _seen(probe).folded, task.results[train]
    logits = task.of_results(probe.logits("train"))
    if probe.loss_name == "cross_entropy":
        found = functional.excluded_cross_entropies(logits, results, folded, sets)
        if found is not None:
            return found
    return [
        probe.loss_over(
            (functional.excluded_logits(rows, own, folded, chosen), own)
            for rows, own in _cut(logits, results)
        )
        for chosen in sets
    ]


def _cut(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    from grokscope_mechanistic.functional import PAIRS

    return zip(*(each.split(PAIRS) for each in tensors), strict=True)


def _restricted(probe: Probe, frequencies: Sequence[int]) -> dict[str, float]:
    """Return the loss on each split of the frequencies and the mean alone."""
    from grokscope_mechanistic import functional

    results, folded = addition_of(probe).results, _seen(probe).folded
    names = {"train": "restricted_loss_train", "test": "restricted_loss_test", "all": "restricted_loss"}
    of = {name: results[probe.task.indices(split)] for split, name in names.items()}
    if probe.loss_name == "cross_entropy":
        at_result = functional.restricted_cross_entropies(folded, frequencies)
        return {name: at_result[own].mean().item() for name, own in of.items()}
    return {
        name: probe.loss_over(
            (functional.restricted_logits(part, folded, frequencies), part) for (part,) in _cut(own)
        )
        for name, own in of.items()
    }


class _Seen(NamedTuple):
    """What the logits of all pairs come to, and whether they are finite: looked at once, as they are many."""

    folded: torch.Tensor
    variation: float
    finite: bool


def _seen(probe: Probe) -> _Seen:
    from grokscope_mechanistic import functional

    def look() -> _Seen:
        every, task = probe.logits("all"), addition_of(probe)
        logits, finite = task.of_results(every), numbers.all_finite(every)
        return _Seen(functional.fold(logits, task.results), functional.class_variation(logits), finite)

    return probe.shared(("mechanistic", "seen"), look)


def _power(probe: Probe) -> torch.Tensor:
    from grokscope_mechanistic import functional

    return probe.shared(("mechanistic", "power"), lambda: functional.frequency_power(_seen(probe).folded))


def _shares(probe: Probe) -> torch.Tensor:
    return _power(probe) / _seen(probe).variation


def _sum_of(shares: torch.Tensor, frequencies: Sequence[int]) -> float:
    return min(shares[[k - 1 for k in frequencies]].sum().item(), 1.0)


def _keys(last: Probe, p: int, count: int | None, threshold: float | None) -> tuple[list[int], float, str]:
    """Return the key frequencies, the gap below them, and how they were found."""
    from grokscope_mechanistic import functional

    if count is not None and count > p // 2:
        raise MeasureError(f"fourier.keys must be at most {p // 2}, the number of frequencies at p = {p}")
    if not math.isfinite(_seen(last).variation):
        raise UnfitBaseline("its logits are not finite")
    norms = _power(last).sqrt()
    if not norms.max() > functional.ROUNDING * _seen(last).variation ** 0.5:
        raise UnfitBaseline("its logits have no frequency")
    if count is not None or threshold is not None:
        how = f"the {count} largest" if count is not None else f"from {threshold:g} of the largest norm"
        return functional.key_frequencies(norms, threshold, count), float("nan"), how
    found, gap = functional.above_the_gap(norms)
    if found:
        return found, gap, f"above the gap, {gap:.3g} wide"
    return list(range(1, p // 2 + 1)), float("nan"), f"no gap, the widest step is {gap:.3g}: all are taken"


def _matrices(probe: Probe, task: Addition) -> dict[str, torch.Tensor]:
    """Return the embedding and unembedding with the tokens or classes along the columns.

    Found by the networks' own names, and taken where they are proven to be these: the first layer linear in
    one-hot tokens, or the encoded tokens a table's rows; the logits linear in the last hidden layer.
    """
    weights, p = probe.weights, task.p
    if probe.task.kind == "own":
        table = next((w for w in weights.values() if w.ndim == 2 and _looks_up(probe, w)), None)
        return {} if table is None else {"gini_embedding": table[task.first_token :][:p].T}
    if "unembed.weight" in weights:
        return _of_transformer(probe, p)
    matrices = [weight for weight in weights.values() if weight.ndim == 2]
    found: dict[str, torch.Tensor] = {}
    if matrices and _reads_one_hot(probe, matrices[0]):
        halves = matrices[0].unflatten(1, (2, probe.task.vocabulary))[..., :p]
        found["gini_embedding"] = halves.flatten(0, 1)
    if matrices and probe.model.hidden and probe.is_linear_in(probe.model.hidden[-1], matrices[-1]):
        found["gini_unembedding"] = matrices[-1].T
    return found


def _of_transformer(probe: Probe, p: int) -> dict[str, torch.Tensor]:
    weights = probe.weights
    unembedding, found = weights["unembed.weight"], {}
    if "embed.weight" in weights and _looks_up(probe, weights["embed.weight"]):
        found["gini_embedding"] = weights["embed.weight"][:p].T
    if "blocks.0.mlp.W_out" in weights and len(unembedding) == p:
        product = unembedding @ weights["blocks.0.mlp.W_out"]
        if probe.is_linear_in(probe.model.hidden[-1], product):
            exact = unembedding.double() @ weights["blocks.0.mlp.W_out"].double()
            found |= {"gini_unembedding": unembedding.T, "gini_neuron_logit": exact.T}
    return found


def _reads_one_hot(probe: Probe, weight: torch.Tensor) -> bool:
    """Return whether tokens enter one-hot, and the first layer is linear in them with this weight.

    It is seen on pairs that show every token at every place.
    """
    import torch

    vocabulary, tokens, encoded, first = probe.task.vocabulary, *_shown(probe)
    if encoded.shape[1:] != (2 * vocabulary,) or weight.shape != (*first.shape[1:], 2 * vocabulary):
        return False
    one_hot = torch.nn.functional.one_hot(tokens, vocabulary).flatten(1).to(encoded)
    found, wanted = first - first[0], (one_hot - one_hot[0]) @ weight.T
    size = wanted.abs().max().item()
    return torch.equal(encoded, one_hot) and torch.allclose(found, wanted, rtol=0, atol=1e-4 * size)


def _shown(probe: Probe) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return some raw inputs in which every token is at every place, encoded, and their first layer."""
    return probe.shared(("mechanistic", "shown"), lambda: _show(probe))


def _show(probe: Probe) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    from grokscope_mechanistic import functional

    tokens = probe.inputs("all")[functional.showing_all(probe.inputs("all"))]
    with torch.no_grad():
        encoded = probe.model.encode(tokens)
        return tokens, encoded, probe.model.trace_from(encoded, tokens)["first"]


def _looks_up(probe: Probe, table: torch.Tensor) -> bool:
    """Return whether the encoded operands are rows of this table; seen where every token is shown."""
    import torch

    tokens, encoded, _ = _shown(probe)
    if int(tokens.max()) >= len(table):
        return False
    rows = table[tokens]
    return encoded.ndim == 3 and torch.equal(encoded[:, : rows.shape[1]], rows)
