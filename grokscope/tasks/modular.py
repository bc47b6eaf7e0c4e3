"""Modular arithmetic: which pairs there are, what their labels are, and how they are split."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import torch

from grokscope.errors import SettingError
from grokscope.tasks.task import Task

Operation = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]

OPERATIONS: dict[str, Operation] = {
    "add": lambda a, b, p: (a + b) % p,
    "subtract": lambda a, b, p: (a - b) % p,
    "multiply": lambda a, b, p: a * b % p,
    "divide": lambda a, b, p: a * inverses(p)[b] % p,
    "quadratic": lambda a, b, p: (a * a + a * b + b * b) % p,
}
SYMMETRIC = frozenset({"add", "multiply", "quadratic"})


def modular_task(
    *, p: int, operation: str, train_fraction: float, split_seed: int, split: str = "torch"
) -> Task:
    """Return the task of all pairs (a, b) in a-major order; divide leaves out b = 0.

    A generator seeded by `split_seed` draws the split first and then, for `random`, the labels. `train` and
    `test` keep the drawn order, so that consecutive examples are a random sample of their split. With `split`
    "python" the split is Python's own shuffle of the pairs.

    Raises:
        SettingError: divide with p not prime, or a split that leaves train or test empty.
    """
    if operation == "divide" and not is_prime(p):
        raise SettingError(f"task modadd.p must be prime for divide (every b != 0 needs an inverse), got {p}")
    generator = torch.Generator().manual_seed(split_seed)
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    if operation == "divide":
        pairs = pairs[pairs[:, 1] != 0]
    if split == "python":
        train, test = python_split(len(pairs), train_fraction, split_seed)
    else:
        train, test = random_split(len(pairs), train_fraction, generator)
    if operation == "random":
        labels = torch.randint(p, (len(pairs),), generator=generator)
    else:
        labels = OPERATIONS[operation](pairs[:, 0], pairs[:, 1], p)
    return Task(
        name="modadd",
        kind="modular",
        inputs=pairs,
        labels=labels,
        classes=p,
        train=train,
        test=test,
        vocabulary=p,
        symmetric=operation in SYMMETRIC,
    )


def random_split(
    examples: int, train_fraction: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return train and test indices: floor(`train_fraction` * `examples`) random examples train.

    The fraction is taken as the decimal that it is written as: 0.29 of 100 is 29 and not 28.
    """
    count = int(Fraction(str(train_fraction)) * examples)
    _check_count(count, examples, train_fraction)
    order = torch.randperm(examples, generator=generator)
    return order[:count], order[count:]


def python_split(examples: int, train_fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return train and test indices as `random.seed(seed); random.shuffle(examples)` draws them.

    int(`train_fraction` * `examples`) train, in floating point, as in the code that is followed: there 0.29
    of 100 is 28.
    """
    count = int(train_fraction * examples)
    _check_count(count, examples, train_fraction)
    order = list(range(examples))
    random.Random(seed).shuffle(order)
    return torch.tensor(order[:count]), torch.tensor(order[count:])


def _check_count(count: int, examples: int, train_fraction: float) -> None:
    if not 0 < count < examples:
        raise SettingError(
            "task.train_fraction must be above 0, below 1 and leave examples to train and to test on, "
            f"got {train_fraction}: {count} of {examples} would train"
        )


def is_prime(number: int) -> bool:
    """Return whether `number` is prime, by trial division."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def inverses(p: int) -> torch.Tensor:
    """Return b^-1 mod the prime p at index b, (p,) int64; 0 at index 0, which has none."""
    return torch.tensor([0, *(pow(b, -1, p) for b in range(1, p))])
