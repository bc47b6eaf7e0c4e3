"""The mechanistic family's measure of the embedding: how few waves each unit of it is made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope import Column, NotApplicable, measure
from grokscope_mechanistic.addition import addition_of

if TYPE_CHECKING:
    from grokscope import Probe


@measure(
    columns=[
        Column(
            "ipr",
            "inverse participation ratio of a unit's power over frequencies, mean over units",
            direction="up",
            min=0,
            max=1,
            missing="when no unit depends on an operand",
        ),
        Column("units", "how many units and operands the mean is over", min=0),
    ],
    source="Gromov 2023, arXiv 2301.02679",
    knows=["test", "task"],
)
def embedding_ipr(probe: Probe) -> dict[str, float]:
    """How few waves the embedding of each operand is made of; it needs no final checkpoint.

    For each operand and unit of the first layer, u(a) for a = 0 .. p - 1 has the power P_k at frequency k = 1
    .. p // 2, sine and cosine together. `ipr` is the mean over units and operands of sum_k (P_k / sum_l
    P_l)^2.

    Shapes and units:
        First layer (p^2, units) of all pairs: an MLP's first Linear before its ReLU, the embeddings of a
        transformer's operands, the mean embedding of an LSTM, what the first linear map of a network of one's
        own gives, or its embedding. No unit.

    How it is computed:
        u(a) is the mean of the first layer over all pairs with this operand: the columns of the first weight,
        or the rows of the embedding, but for a constant that no frequency sees. Units that vary by less
        than 1e-6 of the largest unit's norm are constant and left out. Float64. For a + b and a - b mod p on
        all p^2 pairs.

    Cost:
        One forward pass over all pairs, which measures share, and 5 ms at p = 97 with 250 units.

    Traps:
        1 is a pure wave in every unit, 1 / (p // 2) equal power everywhere; random weights have about twice
        that, 0.041 at p = 97. Units with several frequencies are no waves, and yet may add: read `fourier`
        with it. Each unit counts alike, however small.

    Source:
        Gromov 2023, "Grokking modular arithmetic", whose networks of quadratic units become pure waves.

    Raises:
        MeasureError: a first layer that is not finite.
        NotApplicable: the task is no modular arithmetic on all pairs, or the first layer has several
            rows for a pair.
    """
    import torch

    from grokscope_mechanistic.functional import inverse_participation, operand_means

    task = addition_of(probe)
    first, pairs = probe.first_layer("all"), probe.require_pairs() - task.first_token
    if len(first) != len(pairs):
        raise NotApplicable(
            "its first layer has several rows for a pair: import the run with other positions"
        )
    probe.require_finite("embedding_ipr: the first layer", "first", "all")
    ratios = inverse_participation(torch.cat(operand_means(first, pairs, task.p), dim=1))
    return {"ipr": ratios.mean().item() if len(ratios) else math.nan, "units": len(ratios)}
