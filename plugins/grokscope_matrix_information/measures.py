"""The measures pe, pmi, ed, mid and pmi_label: which layers and noises each compares."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from grokscope import Column, Param, measure

if TYPE_CHECKING:
    from grokscope import Probe

Sigma = Annotated[
    float | None,
    Param(
        "standard deviation of the noise on the encoded input; none: 0.4 on modular tasks, 0.1 of the "
        "encoded input's own on tasks of one's own, else 0.1",
        min=0,
    ),
]
Alpha = Annotated[
    float, Param("order of the entropy; 1 is von Neumann's (Shannon's), 2 the quickest", above=0)
]
BatchSize = Annotated[int, Param("examples in a batch; entropies are at most its logarithm", min=2)]
Split = Annotated[Literal["train", "test"], Param("examples to measure on")]
FirstLayer = Annotated[
    Literal["pre", "post"], Param("an MLP's first layer before its ReLU or, only there, after it")
]
LastLayer = Annotated[Literal["logits", "penultimate"], Param("logits, or the last hidden activations")]

_NO_BATCH = "examples without a direction (rows of zeros) leave no whole batch"
_NOT_CENTRED = "the network is not trained by cross-entropy, or last_layer=penultimate; or " + _NO_BATCH


def _columns(name: str, meaning: str, least: float | None) -> list[Column]:
    return [
        Column(name, meaning, "nats", min=least, missing=_NO_BATCH),
        Column(
            f"{name}_centred",
            "the same with each example's mean logit subtracted",
            "nats",
            min=least,
            missing=_NOT_CENTRED,
        ),
        _ZERO_ROWS,
        *_NOISE,
    ]


_ZERO_ROWS = Column(
    "zero_rows", "examples left out: a row of zeros has no direction", "examples", min=0, tally=True
)


_NOISE = [
    Column("sigma", "the noise's standard deviation, where no paper sets it", min=0),
    Column("note", "what is to be said of the noise", text=True),
]


def _noise(probe: Probe, sigma: float | None) -> tuple[float, dict[str, Any]]:
    """Return sigma, Tan & Huang 2023's where none is given, and what is said of it."""
    return probe.noise(sigma, 0.4 if probe.task.kind == "modular" else 0.1, 0.1)


def _both(
    name: str, probe: Probe, last_layer: str, value: Callable[[str], tuple[float, int]]
) -> dict[str, float]:
    """Return the row of `value`, a function from the last layer's name to the number and its zero rows."""
    raw, zero_rows = value(last_layer)
    if probe.loss_name == "cross_entropy" and last_layer == "logits":
        centred, zero_rows_centred = value("logits_centred")
    else:
        centred, zero_rows_centred = math.nan, 0
    return {name: raw, f"{name}_centred": centred, "zero_rows": max(zero_rows, zero_rows_centred)}


@measure(
    columns=_columns("pe", "matrix entropy of the last layer on noised inputs", 0),
    source="Tan & Huang 2023, section 6",
    knows=[],
)
def pe(
    probe: Probe,
    *,
    sigma: Sigma = None,
    alpha: Alpha = 1.0,
    batch_size: BatchSize = 200,
    split: Split = "train",
    last_layer: LastLayer = "logits",
) -> dict[str, float]:
    """Perturbed entropy (PE): in how many directions the last layer spreads noised inputs, in nats.

    H_alpha(R) = log tr((R/n)^alpha) / (1 - alpha), at alpha = 1 its limit -tr(R/n log R/n), where R (n, n) is
    the Gram matrix of the last layer's rows scaled to length one, on inputs with noise N(0, sigma^2). 0 when
    all rows are parallel, at most log min(n, d).

    Shapes and units:
        The last layer (n, d) of each batch of n = `batch_size` examples: the logits, or the last hidden
        activations with last_layer=penultimate. Nats.

    How it is computed:
        On batches of `batch_size` examples, averaged over whole batches; the examples that fill no batch are
        dropped, since H <= log n and so n must not vary. Which examples share a batch is fixed: one shuffle
        that depends on the split's size only, so that a task's order of examples (modular pairs sorted by a)
        makes no batches of one kind. Float64 throughout.

        `pe_centred`: cross-entropy logits are defined up to a constant per example, and that constant drifts;
        it is subtracted there. NaN under MSE and for last_layer=penultimate, where nothing is free.

        A row of zeros has no direction: it is taken out before batches are cut, so that n stays the same and
        later examples move up; `zero_rows` counts it. When no whole batch remains (a last layer that starts
        at zero), the value is NaN. A network with a single logit has no value: its rows have only a sign.

    Cost:
        Per batch and column one matrix of size min(batch_size, d) made tridiagonal or, where alpha is not 1,
        decomposed into eigenvalues; neither at alpha = 2.

    Traps:
        Values at different batch sizes are not comparable. A split with fewer than `batch_size` examples has
        no value: lower batch_size. Below alpha = 0.5 the result rests on how small an eigenvalue can still be
        told from rounding (size x 2e-16).

    Source:
        Tan & Huang 2023, section 6.
    """
    from grokscope_matrix_information.batches import Batches, Layer

    noise, said = _noise(probe, sigma)

    def value(last_layer: str) -> tuple[float, int]:
        last = Layer(last_layer, noise)
        batches = Batches(probe, [last], split=split, size=batch_size, alpha=alpha)
        return batches.entropy(last), batches.zero_rows

    return {**_both("pe", probe, last_layer, value), **said}


@measure(
    columns=_columns("pmi", "matrix mutual information of first and last layer on noised inputs", None),
    source="Tan & Huang 2023, section 6",
    knows=[],
)
def pmi(
    probe: Probe,
    *,
    sigma: Sigma = None,
    alpha: Alpha = 1.0,
    batch_size: BatchSize = 200,
    split: Split = "train",
    first_layer: FirstLayer = "pre",
    last_layer: LastLayer = "logits",
) -> dict[str, float]:
    """Perturbed mutual information (PMI): what the last layer tells of the first, on noised inputs, in nats.

    I_alpha(R1; R2) = H_alpha(R1) + H_alpha(R2) - H_alpha(R1 o R2), o the entrywise product, R1 and R2 the
    Gram matrices of first and last layer, *both on the same noised inputs*. At most min(H(R1), H(R2)).

    Shapes and units:
        First layer (n, d1): an MLP's first Linear before its ReLU (`first_layer=post`: after); a
        transformer's noised embeddings of its operands, flattened, because its attention's input at `=` is
        the same for every example; an LSTM's noised embedding averaged over time. Last layer (n, d2): the
        logits, or `last_layer=penultimate`. Nats.

    How it is computed:
        Batches, centring and zero rows (of either layer) as in `pe`.

    Cost:
        Per batch and column one more decomposition of size batch_size than the two layers' own; it is the
        Hadamard product that needs the full n x n matrix.

    Traps:
        Never negative at alpha = 1, possibly so elsewhere, as Rényi entropies are not subadditive. As with
        `pe`, values at different batch sizes are not comparable.

    Source:
        Tan & Huang 2023, section 6.
    """
    from grokscope_matrix_information.batches import Batches, Layer, first_layer_name

    noise, said = _noise(probe, sigma)

    def value(last_layer: str) -> tuple[float, int]:
        first, last = Layer(first_layer_name(first_layer), noise), Layer(last_layer, noise)
        batches = Batches(probe, [first, last], split=split, size=batch_size, alpha=alpha)
        return batches.information(first, last), batches.zero_rows

    return {**_both("pmi", probe, last_layer, value), **said}


@measure(
    columns=_columns("ed", "change of the last layer's matrix entropy by the noise", 0),
    source="Tan & Huang 2023, section 6",
    knows=[],
)
def ed(
    probe: Probe,
    *,
    sigma: Sigma = None,
    alpha: Alpha = 1.0,
    batch_size: BatchSize = 200,
    split: Split = "train",
    last_layer: LastLayer = "logits",
) -> dict[str, float]:
    """Entropy difference (ED): how much noise on the input changes the last layer's matrix entropy, in nats.

    abs(PE(sigma) - PE(0)), each averaged over batches first; see `pe` for PE. At alpha = 2 at most 4
    ||Z(sigma) - Z(0)||_F of each batch, Z the rows scaled to length one, and so at most 8 sum_i ||z_i(sigma)
    - z_i(0)|| (lemma B.8).

    Shapes and units:
        As in `pe`; nats.

    How it is computed:
        Batches and centring as in `pe`. An example whose row is zero with or without noise is left out of
        both, so that the same examples are compared.

    Cost:
        Twice that of `pe`.

    Traps:
        Theorem B.9 holds for logits scaled to length one: as printed, with f itself in place of z, it is
        false, since a last layer times 1e-6 makes the right side a millionth and leaves ED as it was.

    Source:
        Tan & Huang 2023, section 6 and appendix B.2.2.
    """
    from grokscope_matrix_information.batches import Batches, Layer

    noise, said = _noise(probe, sigma)

    def value(last_layer: str) -> tuple[float, int]:
        noised, clean = Layer(last_layer, noise), Layer(last_layer)
        batches = Batches(probe, [noised, clean], split=split, size=batch_size, alpha=alpha)
        return abs(batches.entropy(noised) - batches.entropy(clean)), batches.zero_rows

    return {**_both("ed", probe, last_layer, value), **said}


@measure(
    columns=_columns("mid", "change of the mutual information of first and last layer by the noise", 0),
    source="Tan & Huang 2023, section 6",
    knows=[],
)
def mid(
    probe: Probe,
    *,
    sigma: Sigma = None,
    alpha: Alpha = 1.0,
    batch_size: BatchSize = 200,
    split: Split = "train",
    first_layer: FirstLayer = "pre",
    last_layer: LastLayer = "logits",
) -> dict[str, float]:
    """Mutual information difference (MID): how much input noise changes the mutual information, in nats.

    abs(PMI(sigma) - PMI(0)), each averaged over batches first; see `pmi` for PMI. At alpha = 2 at most 8
    times the sum of both layers' ||Z(sigma) - Z(0)||_F of each batch, Z the rows scaled to length one, and so
    at most 16 sum_i ||z_i(sigma) - z_i(0)|| over both (lemma B.11).

    Shapes and units:
        The layers of `pmi`; nats.

    How it is computed:
        Batches and centring as in `pe`. An example with a row of zeros in either layer, with or without
        noise, is left out of both.

    Cost:
        Twice that of `pmi`.

    Traps:
        Theorem B.12 holds for rows of length one, and not as printed, with f itself (see `ed`).

    Source:
        Tan & Huang 2023, section 6 and appendix B.2.2.
    """
    from grokscope_matrix_information.batches import Batches, Layer, first_layer_name

    noise, said = _noise(probe, sigma)

    def value(last_layer: str) -> tuple[float, int]:
        first = first_layer_name(first_layer)
        noised, clean = (Layer(first, noise), Layer(last_layer, noise)), (Layer(first), Layer(last_layer))
        batches = Batches(probe, [*noised, *clean], split=split, size=batch_size, alpha=alpha)
        return abs(batches.information(*noised) - batches.information(*clean)), batches.zero_rows

    return {**_both("mid", probe, last_layer, value), **said}


@measure(
    columns=[
        Column(
            "pmi_label",
            "matrix mutual information of noised logits and one-hot labels",
            "nats",
            missing=_NO_BATCH,
        ),
        _ZERO_ROWS,
        *_NOISE,
    ],
    source="Tan & Huang 2023, appendix C",
    knows=["labels"],
)
def pmi_label(
    probe: Probe,
    *,
    sigma: Sigma = None,
    alpha: Alpha = 1.0,
    batch_size: BatchSize = 200,
    split: Split = "train",
    last_layer: LastLayer = "logits",
) -> dict[str, float]:
    """Label information (PMI with labels): what the last layer on noised inputs tells of the labels, in nats.

    I_alpha between the Gram matrix of the noised logits and that of the one-hot labels; see `pmi` for
    I_alpha. At alpha = 1 at most the Shannon entropy of the batch's labels.

    Shapes and units:
        The last layer (n, d) of each batch and its labels as one-hot rows (n, K); nats.

    How it is computed:
        Batches and zero rows as in `pe`.

    Cost:
        Per batch that of `pe`, and the eigenvalues of what the examples of each label have in common.

    Traps:
        Its bound belongs to the batch: 200 examples of 97 classes hold each label about twice. Values at
        different batch sizes are not comparable.

    Source:
        Tan & Huang 2023, appendix C.
    """
    from grokscope_matrix_information.batches import Batches, Layer

    noise, said = _noise(probe, sigma)
    last, labels = Layer(last_layer, noise), Layer("labels")
    batches = Batches(probe, [last], split=split, size=batch_size, alpha=alpha)
    return {"pmi_label": batches.information(last, labels), "zero_rows": batches.zero_rows, **said}
