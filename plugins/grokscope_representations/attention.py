"""The representations family's measure of attention: how many positions each head reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

CHUNK_VALUES = 1 << 24  # attention weights held at once


@measure(
    columns=[
        Column("entropy", "mean entropy of what a head reads, or of the heads'", "nats", min=0),
    ],
    per=["head"],
    source="Clark et al. 2019, section 3.2; Zhai et al. 2023, section 2",
    knows=[],
)
def attention_entropy(
    probe: Probe,
    *,
    samples: Annotated[int, Param("training examples looked at, at most", min=1)] = 1024,
) -> Iterator[dict[str, Any]]:
    """How widely each attention head reads: the mean entropy of its attention over the positions.

    -sum_j a_ij log a_ij, a_ij the weight that reader i gives to position j, averaged over readers and
    examples. 0 where each reader reads one position, log t where all t of them alike.

    Shapes and units:
        a (n, heads, readers, t) of each attention in the network, by the module that computes it. The row
        without a head is the mean over all heads, then one row per head, `MODULE.HEAD`; nats.

    How it is computed:
        On training examples evenly spaced in the order of the split, in float64 from the weights as the
        network computes them. Every softmax over a dimension of a tensor with at least three is taken for
        attention, inside torch's own functions too; the network's output is not.

    Cost:
        One forward pass over the samples: 5 ms for `nanda`.

    Traps:
        Under a causal mask the i-th reader has i positions and the first none to choose from: even attention
        has the mean of log i and not log t. Padding counts as any position does. A softmax over experts is
        taken for attention over them.

    Source:
        Clark et al. 2019, "What does BERT look at?", section 3.2; Zhai et al. 2023, "Stabilizing transformer
        training by preventing attention entropy collapse", section 2.

    Raises:
        MeasureError: attention that is not finite.
        NotApplicable: the network computes no softmax over positions.
    """
    import torch

    from grokscope_representations.functional import mean_entropy

    inputs = probe.inputs("train")
    chosen = torch.linspace(0, len(inputs) - 1, min(samples, len(inputs))).long().unique()
    chosen = chosen.to(inputs.device)

    def read(some: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return probe.model.attention(probe.encoded_some("train", some), inputs[some])

    values = sum(weights.numel() for weights in read(chosen[:1]).values())
    if not values:
        raise NotApplicable("the network has no attention: it computes no softmax over positions")
    sums: dict[str, torch.Tensor] = {}
    for some in chosen.split(max(1, CHUNK_VALUES // values)):
        for layer, weights in read(some).items():
            numbers.require_finite(f"attention_entropy: the attention of {layer}", weights)
            part = mean_entropy(weights) * len(some) / len(chosen)
            sums[layer] = sums[layer] + part if layer in sums else part
    yield {"entropy": torch.cat(list(sums.values())).mean().item()}
    for layer, entropies in sums.items():
        for head, entropy in enumerate(entropies.tolist()):
            yield {"head": f"{layer}.{head}", "entropy": entropy}
