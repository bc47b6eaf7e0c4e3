"""Composition in the symmetric group: which pairs of permutations there are, and what each makes."""

from __future__ import annotations

from itertools import permutations

import torch

from grokscope.tasks.modular import random_split
from grokscope.tasks.task import Task


def permutation_task(*, n: int, train_fraction: float, split_seed: int) -> Task:
    """Return the task of all pairs (a, b) of permutations of n objects; the label is a after b.

    Permutations are numbered in lexicographic order, pairs go in a-major order.
    """
    elements = torch.tensor(list(permutations(range(n))))
    count = len(elements)
    pairs = torch.cartesian_prod(torch.arange(count), torch.arange(count))
    composed = elements[pairs[:, 0]].gather(1, elements[pairs[:, 1]])
    place = n ** torch.arange(n).flip(0)  # reads a permutation as a number; they are listed in that order
    train, test = random_split(len(pairs), train_fraction, torch.Generator().manual_seed(split_seed))
    return Task(
        name="permutation",
        kind="permutation",
        inputs=pairs,
        labels=torch.searchsorted((elements * place).sum(1), (composed * place).sum(1)),
        classes=count,
        train=train,
        test=test,
        vocabulary=count,
    )
