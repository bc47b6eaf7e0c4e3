"""A complete grokscope plugin: a task of its own, composing permutations, and a network of its own for it.

It imports torch at the top, which is simple. grokscope's own tasks and models import it when they are built,
so that listing plugins stays quick.
"""

from itertools import permutations
from typing import Annotated

import torch
from torch import nn

from grokscope import Network, Param, Task, hookimpl, model, task


@task
def permutation(
    *,
    n: Annotated[int, Param("objects that are permuted: n! elements", min=3, max=6)] = 4,
    train_fraction: Annotated[float, Param("share of all pairs that train", above=0, below=1)] = 0.7,
    split_seed: Annotated[int, Param("draws the split", min=0, max=2**63 - 1)] = 0,
) -> Task:
    """Composition in the symmetric group S_n: the label of (a, b) is a after b (Chughtai et al. 2023)."""
    elements = torch.tensor(list(permutations(range(n))))
    count = len(elements)
    pairs = torch.cartesian_prod(torch.arange(count), torch.arange(count))
    composed = elements[pairs[:, 0]].gather(1, elements[pairs[:, 1]])
    place = n ** torch.arange(n).flip(0)  # reads a permutation as a number; they are listed in that order
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(split_seed))
    training = int(train_fraction * len(pairs))
    return Task(
        name="permutation",
        kind="permutation",
        inputs=pairs,
        labels=torch.searchsorted((elements * place).sum(1), (composed * place).sum(1)),
        classes=count,
        train=order[:training],
        test=order[training:],
        vocabulary=count,
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
    return [permutation]


@hookimpl
def grokscope_models():
    return [bilinear]
