"""XOR of clusters: where the four lie, how far their points scatter, and whose labels are flipped."""

from __future__ import annotations

import torch

from grokscope.tasks.task import Task


def xor_task(
    *, dimension: int, distance: float, flipped: float, train_size: int, test_size: int, data_seed: int
) -> Task:
    """Return points x = +-mu_1 or +-mu_2 + N(0, I), class 1 where it is +-mu_1, and 0 where it is +-mu_2.

    mu_1 and mu_2 are `distance` times the first two unit vectors: which directions they are makes no
    difference to a network whose weights are drawn alike for all inputs. Of the training examples the share
    `flipped` has the other label, never of the test examples.
    """
    count = train_size + test_size
    generator = torch.Generator().manual_seed(data_seed)
    cluster = torch.randint(4, (count,), generator=generator)
    noise = torch.randn(count, dimension, generator=generator)
    centres = torch.zeros(4, dimension)
    centres[0, 0], centres[1, 0], centres[2, 1], centres[3, 1] = distance, -distance, distance, -distance
    labels = (cluster < 2).long()
    wrong = torch.randperm(train_size, generator=generator)[: round(flipped * train_size)]
    labels[wrong] = 1 - labels[wrong]
    indices = torch.arange(count)
    return Task(
        name="xor",
        kind="clusters",
        inputs=centres[cluster] + noise,
        labels=labels,
        classes=2,
        train=indices[:train_size],
        test=indices[train_size:],
    )
