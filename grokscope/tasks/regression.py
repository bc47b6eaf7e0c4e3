"""Regression on a polynomial of one direction: how inputs and direction are drawn, and what is predicted."""

from __future__ import annotations

import math

import torch

from grokscope.tasks.task import Task


def polynomial_task(*, dimension: int, degree: int, train_size: int, test_size: int, data_seed: int) -> Task:
    """Return vectors x ~ N(0, I / dimension) and the numbers (beta . x)^degree / degree!, beta ~ N(0, I).

    beta . x has variance near 1, whatever the dimension.
    """
    generator = torch.Generator().manual_seed(data_seed)
    inputs = torch.randn(train_size + test_size, dimension, generator=generator) / math.sqrt(dimension)
    beta = torch.randn(dimension, generator=generator)
    numbers = (inputs.double() @ beta.double()) ** degree / math.factorial(degree)
    indices = torch.arange(len(inputs))
    return Task(
        name="polynomial",
        kind="polynomial",
        inputs=inputs,
        labels=numbers.float()[:, None],
        classes=0,
        train=indices[:train_size],
        test=indices[train_size:],
    )
