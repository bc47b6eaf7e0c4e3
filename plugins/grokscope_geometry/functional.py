"""Formulas on single tensors: spectra and sparsity of matrices, likeness of layers and weights, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch.utils.weak import WeakIdKeyDictionary

Onward = Callable[[torch.Tensor], torch.Tensor]
EXAMPLES = 1024  # asked at once
LEARNT = 64  # wrong examples more than can be spared: with which other numbers of units they are wrong, too
CLOSE = 1e-5  # of the largest logit there can be: nearer ones may change places by float32's rounding


def as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """Return a parameter of two or more dimensions as a float64 matrix: (outputs, inputs).

    Three dimensions are attention's (heads, d_head, d_model) and become (heads d_head, d_model), the map that
    all heads make together; of four or more, as in a convolution, the first stays and the rest is flattened.
    """
    matrix = weight.flatten(0, 1) if weight.ndim == 3 else weight.flatten(1)
    return matrix.double()


def singular_values(weight: torch.Tensor) -> torch.Tensor:
    """Return the singular values of a parameter `as_matrix`, (min(m, n),) float64, in falling order.

    The same tensor again while the parameter is there and its numbers are: several measures are made of them.
    """
    known = _SPECTRA.get(weight)
    if known is None or not torch.equal(known[0], weight):  # torch counts not all changes: no fused AdamW's
        known = _SPECTRA[weight] = weight.detach().clone(), torch.linalg.svdvals(as_matrix(weight))
    return known[1]


_SPECTRA = WeakIdKeyDictionary()


def effective_rank(matrix: torch.Tensor) -> float:
    """Return exp of the Shannon entropy of the singular values divided by their sum; NaN for a zero matrix.

    Roy & Vetterli 2007, definition 1. Between 1 (rank one) and min(m, n) (a multiple of an isometry);
    unchanged by scale and by rotations on either side.

    >>> round(effective_rank(torch.eye(3)), 12)
    3.0
    """
    values = singular_values(matrix)
    shares = values / values.sum()
    return torch.special.entr(shares).sum().exp().item()


def stable_rank(matrix: torch.Tensor) -> float:
    """Return `|A|_F^2 / |A|_2^2` = sum of squared singular values over the largest's; NaN for a zero matrix.

    Rudelson & Vershynin 2007, section 1. At most the rank, and stable under small changes.

    >>> stable_rank(torch.diag(torch.tensor([2.0, 1.0])))
    1.25
    """
    squares = singular_values(matrix) ** 2
    return (squares.sum() / squares[0]).item()


def participation_ratio(matrix: torch.Tensor) -> float:
    """Return `(sum s^2)^2 / sum s^4` of the singular values s; NaN for a zero matrix.

    Gao et al. 2017, equation 4, of the eigenvalues s^2 of `A^T A`: how many directions share the squared
    norm.

    >>> participation_ratio(torch.diag(torch.tensor([1.0, 1.0, 0.0])))
    2.0
    """
    values = singular_values(matrix)
    squares = (values / values[0]) ** 2  # scaled, so that no fourth power underflows
    return (squares.sum() ** 2 / (squares**2).sum()).item()


def condition_number(matrix: torch.Tensor) -> float:
    """Return the largest over the smallest of the min(m, n) singular values; NaN for a zero matrix.

    Infinite when the smallest is at most `max(m, n) eps` of the largest, eps = 2^-52: zero up to the rounding
    of the decomposition, the rule by which numpy and torch count ranks.

    >>> condition_number(torch.diag(torch.tensor([4.0, 1.0])))
    4.0
    """
    values = singular_values(matrix)
    largest, smallest = values[0].item(), values[-1].item()
    if largest == 0:
        return math.nan
    if smallest <= max(as_matrix(matrix).shape) * torch.finfo(torch.float64).eps * largest:
        return math.inf
    return largest / smallest


def hoyer(weight: torch.Tensor) -> float:
    """Return Hoyer's sparseness of all N entries; NaN when all are zero or N is 1.

    Hoyer 2004, section 3.1: `(sqrt(N) - |w|_1 / |w|_2) / (sqrt(N) - 1)`. 1 when one entry alone is not zero,
    0 when all magnitudes are equal; unchanged by scale.

    >>> hoyer(torch.tensor([0.0, 0.0, 0.0, 2.0]))
    1.0
    """
    entries = weight.double().flatten()
    root = math.sqrt(len(entries))
    if root == 1:
        return math.nan
    return ((root - entries.abs().sum() / entries.norm()) / (root - 1)).item()


def moments(features: torch.Tensor) -> Moments:
    """Return the mean of each column (d,) of (n, d) and their scatter matrix (d, d), float64."""
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return mean, centred.T @ centred


Moments = tuple[torch.Tensor, torch.Tensor]  # mean (d,), scatter matrix (d, d)


def cka_of_kernels(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return `cka` from the centred kernels X X^T and Y Y^T (n, n): the same number, `<K, L> / (|K| |L|)`."""
    sizes = (x.norm() * y.norm()).item()
    return min((x * y).sum().item() / sizes, 1.0) if sizes else math.nan


def cka(
    x: torch.Tensor, y: torch.Tensor, x_moments: Moments | None = None, y_moments: Moments | None = None
) -> float:
    """Return the linear centred kernel alignment of features (n, d1) and (n, d2) of the same examples.

    Kornblith et al. 2019, section 3, in feature space: `|Y^T X|_F^2 / (|X^T X|_F |Y^T Y|_F)` of centred X, Y.
    1 for features that are equal up to a rotation and a scale, 0 for uncorrelated ones; NaN when either is
    constant. The test compares it with HSIC of the n x n kernels. The moments are float64, where they are
    known.
    """
    (x_mean, x_own), (y_mean, y_own) = x_moments or moments(x), y_moments or moments(y)
    between = torch.zeros(y.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for x_rows, y_rows in zip(x.split(EXAMPLES), y.split(EXAMPLES), strict=True):
        between.addmm_((y_rows - y_mean).T, x_rows - x_mean)
    size_x, size_y = x_own.norm(), y_own.norm()
    if size_x == 0 or size_y == 0:
        return math.nan
    return min((between.square().sum() / (size_x * size_y)).item(), 1.0)


def weight_distance(weight: torch.Tensor, start: torch.Tensor) -> dict[str, float]:
    """Return `l2` = |w - w0|, `relative` = |w - w0| / |w0| and `cosine` of the angle between w and w0.

    `relative` is NaN when w0 is zero, `cosine` when either is.

    >>> weight_distance(torch.tensor([0.0, 3.0]), torch.tensor([4.0, 0.0]))
    {'l2': 5.0, 'relative': 1.25, 'cosine': 0.0}
    """
    w, w0 = weight.double().flatten(), start.double().flatten()
    moved, norm, norm0 = (w - w0).norm().item(), w.norm().item(), w0.norm().item()
    cosine = (w @ w0).item() / (norm * norm0) if norm * norm0 > 0 else math.nan
    return {
        "l2": moved,
        "relative": moved / norm0 if norm0 > 0 else math.nan,
        "cosine": cosine if math.isnan(cosine) else max(-1.0, min(1.0, cosine)),
    }


def flat(weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return all parameters in one float64 vector."""
    return torch.cat([weight.double().flatten() for weight in weights.values()])


def collapsed(logits: torch.Tensor) -> torch.Tensor:
    """Return where the float32 sum of `exp(z - max z)` over the classes is exactly 1, (n,) bool.

    Prieto et al. 2025, definition 3 and equation 2: every other class is absorbed by the largest, so that the
    cross-entropy of a rightly classified example, and the gradient of its own logit, are exactly zero.
    """
    return torch.cat([_absorbs(rows.float()) for rows in logits.split(EXAMPLES)])


def _absorbs(z: torch.Tensor) -> torch.Tensor:
    return (z - z.amax(dim=1, keepdim=True)).exp().sum(dim=1) == 1


def fewest_units(
    whole: torch.Tensor,
    activations: torch.Tensor,
    outgoing: torch.Tensor,
    order: torch.Tensor,
    labels: torch.Tensor,
    least: int,
    onward: Onward | None = None,
) -> int:
    """Return the least k >= 1 such that the first k units of `order` answer `least` examples rightly.

    The number of units where none do. k is not found by bisection, since performance need not rise with it
    (Merrill et al. 2023, section 3); the tests hold it against trying every k. But few need be tried: an
    example is wrong with k units for as long as the class that beat its label at another k is ahead of it by
    more than rounding, which is a sum over units for all k at once, so that it is not asked there; and a k is
    not enough as soon as too many examples are wrong, so that those which were wrong before are asked first.

    Args:
        whole: (n, m) the next layer's values with all units.
        activations: (n, h) the units' activations.
        outgoing: (m, h) the next layer's weights.
        order: (h,) unit indices, the first to keep first.
        labels: (n,) the right classes.
        least: how many examples must be answered rightly.
        onward: what makes logits (n, K) of the next layer's values; None where these are the logits.
    """
    units = _Units(outgoing[:, order], onward)
    cut = (each.split(EXAMPLES) for each in (whole, activations.index_select(1, order), labels))
    parts = [_Part(w, a, own, units) for w, a, own in zip(*cut, strict=True)]
    fewest, spare = len(order), len(labels) - least
    left, kept = torch.arange(1, fewest), 1
    while len(left):
        if _wrong(parts, kept, spare) <= spare:
            fewest = kept
        known = torch.stack([part.known for part in parts]).sum(dim=0)
        left = left[(left < fewest) & (left != kept) & (known[left - 1] <= spare)]
        # Not from the middle on: where a number is enough all examples are asked.
        kept = int(left[len(left) // 4]) if len(left) else 0
    return fewest


class _Units(NamedTuple):
    """Outgoing weights (m, h) of units in the order they are kept, and the way on from there."""

    outgoing: torch.Tensor
    onward: Onward | None


def _wrong(parts: list[_Part], kept: int, spare: int) -> int:
    """Return how many examples are wrong with so many units; not all are asked once it is more than spare."""
    parts.sort(key=lambda part: -part.wrong)
    wrong = 0
    for asked, part in enumerate(parts, start=1):
        wrong += part.ask(kept)
        if wrong > spare:
            for each in parts[:asked]:
                each.learn(2 * spare + LEARNT)
            break
    return wrong


def _answers(logits: torch.Tensor) -> torch.Tensor:
    """Return the class of each row's largest logit; by numpy where it can be, in a third of torch's time."""
    if logits.device.type != "cpu" or logits.dtype not in (torch.float32, torch.float64):
        return logits.max(dim=1).indices
    return torch.from_numpy(logits.numpy().argmax(axis=1))


class _Part:
    """Some examples, and with which numbers of units which of them are known to be wrong.

    Attributes:
        known: (h,) int64, how many for k = 1 .. h.
        wrong: how many were wrong when they were last asked.
    """

    def __init__(
        self, whole: torch.Tensor, activations: torch.Tensor, labels: torch.Tensor, units: _Units
    ) -> None:
        self._whole, self._activations, self._labels, self._units = whole, activations, labels, units
        self._beaten = torch.zeros(activations.shape, dtype=torch.bool, device=activations.device)
        largest = units.outgoing.abs().amax(dim=0)
        self._largest = whole.abs().amax(dim=1) + activations.abs() @ largest  # that any sum of units can be
        self._learns = units.onward is None and bool(self._largest.isfinite().all())  # nor can one overflow
        self.known = torch.zeros(activations.shape[1], dtype=torch.int64)
        self.wrong = 0
        self._rows = self._answers = torch.arange(0)

    def ask(self, kept: int) -> int:
        """Return how many are answered wrongly with so many units; who is known to be is not asked."""
        known = int(self.known[kept - 1])
        rows = (~self._beaten[:, kept - 1]).nonzero()[:, 0] if known else None
        whole, left, labels = self._whole, self._activations[:, kept:], self._labels
        if rows is not None:
            whole, left, labels = whole[rows], left[rows], labels[rows]
        outgoing, onward = self._units
        logits = torch.addmm(whole, left, outgoing[:, kept:].T, alpha=-1)
        logits = logits if onward is None else onward(logits)
        if not (self._learns or logits.sum().isfinite() or logits.isfinite().all()):
            self._rows, self.wrong = torch.arange(0), len(self._labels)
            return self.wrong
        answers = _answers(logits)
        wrong = (answers != labels).nonzero()[:, 0]
        self._rows, self._answers = wrong if rows is None else rows[wrong], answers[wrong]
        self.wrong = known + len(wrong)
        return self.wrong

    def learn(self, most: int) -> None:
        """Note with which other numbers of units those ahead of the labels, so many at most, are so too."""
        if self._learns and len(self._rows):
            rows, answers = self._rows[:most], self._answers[:most]
            before = self._beaten[rows]
            found = self._behind(rows, answers) & ~before
            self._beaten[rows] = before | found
            self.known += found.sum(dim=0).cpu()

    def _behind(self, rows: torch.Tensor, rivals: torch.Tensor) -> torch.Tensor:
        """Return with which numbers of units the rivals are surely ahead of the labels, (rows, h) bool."""
        outgoing, whole, labels = self._units.outgoing, self._whole[rows], self._labels[rows]
        more = self._activations[rows] * (outgoing[rivals] - outgoing[labels])
        ahead = whole.gather(1, rivals[:, None]) - whole.gather(1, labels[:, None])
        later = more.sum(dim=1, keepdim=True) - more.cumsum(dim=1)
        return ahead - later > CLOSE * self._largest[rows, None]
