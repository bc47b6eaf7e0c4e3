"""Norms of the weights: no example is needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from grokscope import Column, measure, numbers

if TYPE_CHECKING:
    import torch


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
        numbers.require_finite(f"the parameter {name}", tensor)
    norms = {name: functional.l2_norm([tensor]) for name, tensor in weights.items()}
    yield {
        "l2_all": math.hypot(*norms.values()),
        "l2_weights": math.hypot(*(norms[name] for name, tensor in weights.items() if tensor.ndim >= 2)),
        "l1_all": functional.l1_norm(weights.values()),
    }
    for name, norm in norms.items():
        yield {"layer": name, "l2": norm}
