"""Loss and accuracy, defined once for training, probes and measures."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from grokscope.errors import SettingError, UnknownName

LOSSES = ("cross_entropy", "mse", "stablemax_cross_entropy")


def class_logits(logits: torch.Tensor) -> torch.Tensor:
    """Return (n, K) class logits; a single logit z, (n, 1), stands for the two classes (0, z)."""
    if logits.shape[1] == 1:
        return torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits


def loss(name: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of that name.

    `cross_entropy`, `stablemax_cross_entropy` (Prieto et al. 2025: `stablemax` in the softmax's place), or
    `mse` over examples *and* outputs on one-hot labels, or on numbers (n, k).

    A single-logit network (n, 1) takes the binary cross-entropy, or the squared distance to -1 / +1, so that
    its sign is its answer under every loss.
    """
    if name == "cross_entropy":
        if logits.shape[1] == 1:
            return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))
        return F.cross_entropy(logits, labels)
    if name == "stablemax_cross_entropy":
        return F.cross_entropy(log_stable(class_logits(logits)), labels)
    if name == "mse":
        return F.mse_loss(logits, targets(logits, labels))
    raise UnknownName("loss", name, LOSSES)


def fitting_loss(name: str | None, labels: torch.Tensor) -> str:
    """Return the loss asked for or, where none is, the one that goes with the labels.

    That is cross_entropy with classes, mse with numbers to be predicted. Raises UnknownName, and SettingError
    where it does not go with them.
    """
    numbers = labels.is_floating_point()
    if name is None:
        return "mse" if numbers else "cross_entropy"
    if name not in LOSSES:
        raise UnknownName("loss", str(name), LOSSES)
    if numbers and name != "mse":
        raise SettingError(f"the labels are numbers to be predicted: the loss must be mse, got {name}")
    return name


def log_stable(logits: torch.Tensor) -> torch.Tensor:
    """Return log s(x), with s(x) = x + 1 for x >= 0 and 1 / (1 - x) below: its softmax is the StableMax.

    StableMax (Prieto et al. 2025, "Grokking at the edge of numerical stability", equation 5) is s(x_i) /
    sum_j s(x_j). s grows linearly where exp explodes, so that no class absorbs the others in float32.

    >>> log_stable(torch.tensor([3.0, 0.0, -1.0])).exp()
    tensor([4.0000, 1.0000, 0.5000])
    """
    # Each branch sees its own side only: log1p of the other would put NaN into the gradient. Not by clamp,
    # whose gradient at its bound is 1 before torch 2.14 and 0 from there on.
    positive = logits >= 0
    above, below = torch.where(positive, logits, 0.0), torch.where(positive, 0.0, -logits)
    return torch.where(positive, above.log1p(), -below.log1p())


def targets(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the labels in the shape and type of `logits`.

    One-hot, -1 / +1 for a single logit, or numbers that are to be predicted as they are.
    """
    if labels.is_floating_point():
        return labels.to(logits.dtype).reshape(logits.shape)
    if logits.shape[1] == 1:
        return 2 * labels[:, None].to(logits.dtype) - 1
    return F.one_hot(labels, logits.shape[1]).to(logits.dtype)


def predictions(logits: torch.Tensor) -> torch.Tensor:
    """Return the predicted class of each example, (n,) int64: the largest logit, the first of equal ones.

    Of logits that are not finite none is the largest - argmax would take NaN for it - so that such an example
    is answered -1, which is no class and no label.

    >>> predictions(torch.tensor([[0.0, 2.0], [3.0, float("nan")], [0.0, float("inf")]]))
    tensor([ 1, -1, -1])
    """
    return class_logits(logits).argmax(dim=1).where(logits.isfinite().all(dim=1), -1)


def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of examples whose largest logit is at their label; NaN where it is not known of all.

    One example with a logit that is not finite has no answer, and a share of the others would be one of other
    examples than at the steps before and after: then there is no accuracy. Nor is there of no examples, nor
    of numbers that are to be predicted.

    >>> accuracy(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1]))
    0.5
    >>> accuracy(torch.tensor([[0.0, 2.0], [3.0, float("nan")]]), torch.tensor([1, 1]))
    nan
    """
    if labels.is_floating_point() or not logits.isfinite().all():
        return math.nan
    return (predictions(logits) == labels).double().mean().item()
