"""A complete grokscope plugin: a task of its own, the symmetries of a polygon, and a network for it.

It imports torch at the top, which is simple. grokscope's own tasks and models import it when they are built,
so that listing plugins stays quick.
"""

from typing import Annotated

import torch
from torch import nn

from grokscope import Network, Param, Task, hookimpl, model, task


@task
def dihedral(
    *,
    n: Annotated[int, Param("corners of the polygon: it has 2 n symmetries", min=3, max=60)] = 12,
    train_fraction: Annotated[float, Param("share of all pairs that train", above=0, below=1)] = 0.7,
    split_seed: Annotated[int, Param("draws the split", min=0, max=2**63 - 1)] = 0,
) -> Task:
    """Composition of a polygon's symmetries: the label of (a, b) is a after b.

    Number r + n s turns by r corners, once it has mirrored where s is 1.
    """
    pairs = torch.cartesian_prod(torch.arange(2 * n), torch.arange(2 * n))
    turn, mirrored = pairs % n, pairs // n
    turned = turn[:, 0] + torch.where(mirrored[:, 0] == 1, -turn[:, 1], turn[:, 1])
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(split_seed))
    training = int(train_fraction * len(pairs))
    return Task(
        name="dihedral",
        kind="dihedral",
        inputs=pairs,
        labels=turned % n + n * (mirrored.sum(1) % 2),
        classes=2 * n,
        train=order[:training],
        test=order[training:],
        vocabulary=2 * n,
    )


class Bilinear(Network):
    """Embeds the left and the right operand apart, adds the two, squares the sum, and reads that out."""

    kind = "bilinear"
    hidden = ("squared",)

    def __init__(self, vocabulary: int, outputs: int, width: int) -> None:
        super().__init__()
        self.vocabulary, self.outputs = vocabulary, outputs
        self.embed = nn.Linear(2 * vocabulary, width, bias=False)
        self.unembed = nn.Linear(width, outputs, bias=False)

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return both operands one-hot in a row, (n, 2 * vocabulary)."""
        return nn.functional.one_hot(inputs, self.vocabulary).flatten(1).to(self.embed.weight.dtype)

    def trace(self, encoded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network; `first` is the sum of the two embeddings."""
        first = self.embed(encoded)
        squared = first.square()
        return {"first": first, "squared": squared, "logits": self.unembed(squared)}


@model
def bilinear(task: Task, *, width: Annotated[int, Param("hidden units", min=1)] = 128) -> Network:
    """Two embeddings, added and squared: the smallest network that can multiply its operands."""
    return Bilinear(task.vocabulary, task.classes, width)


@hookimpl
def grokscope_tasks():
    return [dihedral]


@hookimpl
def grokscope_models():
    return [bilinear]
