"""The robustness formulas, of Tan & Huang 2023 and of margins: tensors and numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch

PAIR_VALUES = 1 << 21  # float64 distances held at once: 16 MB
HOMOGENEOUS = 1e-5  # of the logits' norm: rounding
ROW_VALUES = 1 << 21  # float64 input values converted at once: 16 MB


def l2_norm(tensors: Iterable[torch.Tensor]) -> float:
    """Return sqrt(sum w^2) over all tensors, accumulated in float64.

    >>> l2_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    5.0
    """
    return math.sqrt(math.fsum(tensor.double().square().sum().item() for tensor in tensors))


def l1_norm(tensors: Iterable[torch.Tensor]) -> float:
    """Return sum abs(w) over all tensors, accumulated in float64.

    >>> l1_norm([torch.tensor([3.0]), torch.tensor([[-4.0]])])
    7.0
    """
    return math.fsum(tensor.double().abs().sum().item() for tensor in tensors)


def margins(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the logit of the label less the largest other, (n,) float64; a single logit is of classes 0, z.

    >>> margins(torch.tensor([[1.0, 3.0, 0.0], [2.0, 5.0, 4.0]]), torch.tensor([1, 0])).tolist()
    [2.0, -3.0]
    >>> margins(torch.tensor([[1.5]]), torch.tensor([0])).tolist()
    [-1.5]
    """
    size = _rows_per_chunk(logits)
    pairs = zip(logits.split(size), labels.split(size), strict=True)
    return torch.cat([_margins(rows.double(), own) for rows, own in pairs])


def _margins(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -math.inf)
    return own[:, 0] - others.amax(dim=1)


def homogeneity(once: torch.Tensor, twice: torch.Tensor) -> int | None:
    """Return L >= 1 with f(2 theta) = 2^L f(theta) for logits at theta and 2 theta, (n, K); None without one.

    Doubling loses no digit, so that a network that is homogeneous is so to the last bits.

    >>> homogeneity(torch.tensor([[1.0, -3.0]]), torch.tensor([[4.0, -12.0]]))
    2
    """
    before, after = once.double(), twice.double()
    sizes = before.norm().item(), after.norm().item()
    if not all(0 < size < math.inf for size in sizes):
        return None
    degree = round(math.log2(sizes[1] / sizes[0]))
    off = (after - 2.0**degree * before).norm().item()
    return degree if degree >= 1 and off <= HOMOGENEOUS * sizes[1] else None


def perturbation_error(noised: torch.Tensor, clean: torch.Tensor) -> float:
    """Return sum_i ||f(x_i + Delta_i) - f(x_i)||^2 (Tan & Huang 2023) of logits (n, K) and (n, K).

    >>> perturbation_error(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))
    5.0
    """
    pairs = zip(_row_chunks(noised), _row_chunks(clean), strict=True)
    return math.fsum((left.double() - right.double()).square().sum().item() for left, right in pairs)


def perturbed_confidence(logits: torch.Tensor, loss: str) -> float:
    """Return the mean confidence of logits (n, K) in percent: PC of Tan & Huang 2023.

    Of each example the largest softmax probability (`cross_entropy`; a single logit stands for the classes
    (0, z)), or abs(f_yhat) / sum_j abs(f_j) with yhat = argmax f (`mse`). A row of zeros prefers no class and
    counts 1 / K, as every other row of equal logits does. In [0, 100].

    >>> perturbed_confidence(torch.tensor([[3.0, -1.0], [0.0, 0.0]]), "mse")
    62.5
    """
    return 100 * torch.cat([_confidences(rows.double(), loss) for rows in _row_chunks(logits)]).mean().item()


def _confidences(logits: torch.Tensor, loss: str) -> torch.Tensor:
    if loss == "cross_entropy":
        if logits.shape[1] == 1:
            return logits.abs().sigmoid()[:, 0]
        return (logits.amax(dim=1) - logits.logsumexp(dim=1)).exp()
    total = logits.abs().sum(dim=1)
    share = logits.amax(dim=1).abs() / total
    return torch.where(total == 0, 1 / logits.shape[1], share)


def gradient_bound(norm: float, trace: float, smallest_square: float) -> float:
    """Return norm^2 S(W) / min_i ||x_i||^2, the right side of Tan & Huang 2023, Lemma 4.1.

    `norm` is ||W||_F there and ||W||_1, which is no smaller, in Corollary A.2. Infinite where an input is all
    zeros.

    >>> gradient_bound(2.0, 3.0, 2.0)
    6.0
    """
    return norm**2 * trace / smallest_square if smallest_square else math.inf


def neighbourhood(examples: int, bound: float, lipschitz: float) -> float:
    """Return eps(W) = min(1, 1 / (2 (sqrt(n bound) + L))) of Tan & Huang 2023, Theorem 4.2 (A.1).

    `bound` is the right side of Lemma 4.1; with the l1 norm in it this is Corollary A.2's, no larger.
    L stands outside the root, as the proof and Corollary 4.3 need it.

    >>> neighbourhood(4, 1.0, 0.5)
    0.2
    """
    return min(1.0, 1 / (2 * (math.sqrt(examples * bound) + lipschitz)))


def predicted_curve(step: int) -> float:
    """Return Corollary 4.3's curve of Tan & Huang 2023, P(1 / (2L + max(a - b log10 step, 0))).

    With the paper's L = 1/2, a = 1925, b = 500; P(r) = Pr(-r <= Y <= r) = erf(r / sqrt(2 mu)), Y ~ N(0, mu)
    of variance mu = 1/100. Step 0 takes the limit, 0.

    >>> predicted_curve(0), predicted_curve(10**6)
    (0.0, 1.0)
    """
    if step == 0:
        return 0.0
    radius = 1 / (1 + max(1925 - 500 * math.log10(step), 0))
    return math.erf(radius / math.sqrt(2 / 100))


def smallest_squared_norm(inputs: torch.Tensor) -> float:
    """Return min_i ||x_i||^2 of inputs (n, d), in float64 by chunks."""
    return min(chunk.double().square().sum(dim=1).min().item() for chunk in _row_chunks(inputs))


class Points(Protocol):
    """Rows (n, d), all of which need not be there at once: a tensor, or what makes those asked for."""

    @property
    def shape(self) -> torch.Size:
        """(n, d)."""

    @property
    def device(self) -> torch.device:
        """Where they are."""

    def __getitem__(self, rows: torch.Tensor, /) -> torch.Tensor:
        """Return the points `rows` (m,), (m, d)."""


def nearest_same_label(
    train: Points, train_labels: torch.Tensor, test: Points, test_labels: torch.Tensor
) -> torch.Tensor:
    """Return each test point's euclidean distance to the nearest training point of its label, (m,) float64.

    Infinite where the training set has none of that label. Inputs (n, d), (n,), (m, d), (m,). Memory is
    bounded by chunks of PAIR_VALUES distances and ROW_VALUES inputs, whatever n and m; time is that of one
    matrix product per label. The nearest point is found by ||a||^2 + ||b||^2 - 2ab, its distance then taken
    from the difference, so that a duplicate is at distance 0. Tested against torch.cdist and for the size of
    its chunks.

    >>> one = torch.tensor([0])
    >>> nearest_same_label(torch.tensor([[0.0, 0.0]]), one, torch.tensor([[3.0, 4.0]]), one)
    tensor([5.], dtype=torch.float64)
    """
    distances = torch.full((len(test_labels),), math.inf, dtype=torch.float64, device=test.device)
    known = _by_label(train_labels)
    for label, asked in _by_label(test_labels).items():
        if label in known:
            distances[asked] = _nearest(train, known[label], test, asked)
    return distances


def _by_label(labels: torch.Tensor) -> dict[int, torch.Tensor]:
    """Return the places of each label, rising."""
    order = labels.argsort(stable=True)
    found, counts = labels[order].unique_consecutive(return_counts=True)
    return dict(zip(found.tolist(), order.split(counts.tolist()), strict=True))


def _nearest(train: Points, known: torch.Tensor, test: Points, asked: torch.Tensor) -> torch.Tensor:
    """Return the distance of each `test[asked]` to the nearest of `train[known]`."""
    found = []
    for rows in asked.split(_rows_per_chunk(test)):
        points = test[rows].double()
        best = torch.full((len(rows),), math.inf, dtype=torch.float64, device=test.device)
        for columns in known.split(max(1, min(_rows_per_chunk(train), PAIR_VALUES // len(rows)))):
            best = torch.minimum(best, _nearest_in_chunk(points, train[columns].double()))
        found.append(best)
    return torch.cat(found)


def _nearest_in_chunk(points: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    squares = torch.addmm(others.square().sum(dim=1)[None], points, others.t(), alpha=-2)
    return torch.linalg.vector_norm(points - others[squares.argmin(dim=1)], dim=1)


def _row_chunks(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return rows.split(_rows_per_chunk(rows))


def _rows_per_chunk(rows: torch.Tensor | Points) -> int:
    return max(1, ROW_VALUES // rows.shape[1])
