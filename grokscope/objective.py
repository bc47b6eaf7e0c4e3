"""Loss and accuracy, defined once for training, probes and measures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from grokscope.errors import PluginError, SettingError, UnknownName, described
from grokscope.importable import function_at, name_of
from grokscope.numbers import all_finite
from grokscope.run.code import UNNAMED_LOSS

LOSSES = ("cross_entropy", "mse", "stablemax_cross_entropy")
ACCURACIES = ("positions", "sequences")  # what is right or wrong where an example has several labels
NUMPYS = (torch.float32, torch.float64)
ROWS = 256  # of which the largest is looked for at once: they stay in a core's cache
VALUES = 1 << 21  # numbers taken to float64 at once: 16 MB
OwnLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """What a network is trained on and judged by.

    Attributes:
        name: one of LOSSES, or what the user's own loss is called.
        own: the user's own loss: the mean over rows, a tensor of one number, of the logits (rows, outputs)
            in the network's type and their labels (rows,), or numbers (rows, k); rows without a label are
            left out. None for one of LOSSES.
        accuracy: `positions`: the share of labels that are answered right; `sequences`: of examples all of
            whose labels are.
    """

    name: str
    own: OwnLoss | None = None
    accuracy: str = "positions"

    def __post_init__(self) -> None:
        if self.accuracy not in ACCURACIES:
            raise SettingError(f"accuracy must be of {' or '.join(ACCURACIES)}, got {self.accuracy!r}")

    @property
    def code(self) -> tuple[Any, ...]:
        """The user's own code in it: nothing, or the loss."""
        return () if self.own is None else (self.own,)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean loss. Raises UnknownName, and PluginError where the user's own gives none."""
        if self.own is None:
            return loss(self.name, logits, labels)
        try:
            found = self.own(logits, labels.to(logits.dtype) if labels.is_floating_point() else labels)
        except Exception as error:  # a function of somebody's own may raise anything
            raise PluginError(
                f"loss {self.name} cannot be computed of logits {tuple(logits.shape)} and labels "
                f"{tuple(labels.shape)}: {described(error)}"
            ) from error
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise PluginError(
                f"loss {self.name} must return a tensor of one number, the mean over rows, got {shape}"
            )
        return found.reshape(())

    def mean_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> float:
        """Return the loss as a number, in float64; the user's own sees the network's own type."""
        if self.own:
            return self.loss(logits, labels).item()
        size = rows_at_once(logits)
        pairs = zip(logits.split(size), labels.split(size), strict=True)
        return self.loss_over((rows.double(), own) for rows, own in pairs)

    def loss_over(self, parts: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        """Return the loss of logits and labels that come in parts, the mean over all rows.

        The user's own, of which nothing is known but its value on all rows, sees these together.
        """
        if self.own:
            logits, labels = (torch.cat(each) for each in zip(*parts, strict=True))
            return self.loss(logits, labels).item()
        means, counts = [], []
        for logits, labels in parts:
            means.append(self.loss(logits, labels).item())
            counts.append(len(logits))
        if len(means) == 1:
            return means[0]
        products = (mean * count for mean, count in zip(means, counts, strict=True))
        return math.fsum(products) / sum(counts)

    def share_right(
        self, logits: torch.Tensor, labels: torch.Tensor, examples: torch.Tensor | None = None
    ) -> float:
        """Return the accuracy; `examples` (rows,) says which example each row is of, by whole numbers.

        NaN where it is not known, see `accuracy`.
        """
        if self.accuracy == "positions" or examples is None or not len(labels):
            return accuracy(logits, labels)
        if labels.is_floating_point() or not all_finite(logits):
            return math.nan
        return self.share_of(predictions(logits), labels, examples)

    def share_of(self, answers: torch.Tensor, labels: torch.Tensor, examples: torch.Tensor) -> float:
        """Return the accuracy of `predictions` (rows,), all of them answers; otherwise as `share_right`."""
        if self.accuracy == "positions" or not len(labels):
            return (answers == labels).double().mean().item()
        _, place = examples.unique(return_inverse=True)
        wrong = torch.zeros(int(place.max()) + 1, dtype=torch.float64, device=labels.device)
        wrong.index_add_(0, place.to(labels.device), (answers != labels).double())
        return (wrong == 0).double().mean().item()


def rows_at_once(rows: torch.Tensor) -> int:
    """Return how many of the rows (n, ...) are taken to float64 at once."""
    return max(1, VALUES // max(1, rows[:1].numel()))


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
        raise UnknownName("loss", str(name), LOSSES, "or `package.module:function`, a loss of your own")
    if numbers and name != "mse":
        raise SettingError(
            f"the labels are numbers to be predicted: the loss must be mse or of your own, got {name}"
        )
    return name


def own_or_fitting(
    wanted: str | OwnLoss | None, labels: torch.Tensor, accuracy: str = "positions"
) -> Objective:
    """Return the objective with the loss asked for.

    One of LOSSES, a loss of the user's own, by name or itself, or none: the one that goes with the labels.
    Raises as `fitting_loss` does, PluginError where a loss of the user's own cannot be imported.
    """
    if callable(wanted):
        return Objective(name_of(wanted) or UNNAMED_LOSS, wanted, accuracy)
    if wanted is not None and ":" in wanted:
        return Objective(wanted, function_at("loss", wanted), accuracy)
    return Objective(fitting_loss(wanted, labels), None, accuracy)


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
    answers = _places_of_highest(class_logits(logits))
    return answers if all_finite(logits) else answers.where(logits.isfinite().all(dim=1), -1)


def _places_of_highest(rows: torch.Tensor) -> torch.Tensor:
    """Return where each of the rows (n, K) has its largest number, (n,) int64: the first of equal ones.

    By numpy, in a third of the time of torch; of copies, as what measures share is not handed to it.
    """
    if rows.device.type != "cpu" or rows.dtype not in NUMPYS or not rows.shape[1]:
        return rows.max(dim=1).indices
    found = [torch.from_numpy(part.detach().clone().numpy().argmax(axis=1)) for part in rows.split(ROWS)]
    return torch.cat(found)


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
    if labels.is_floating_point() or not all_finite(logits) or not len(labels):
        return math.nan
    rows = class_logits(logits)
    strange = labels.min() < 0 or labels.max() >= rows.shape[1]  # a loss of one's own may say so
    largest = rows.amax(dim=1, keepdim=True)  # argmax takes three times as long as this and looking for ties
    if strange or torch.count_nonzero(rows == largest) > len(rows):
        return (predictions(rows) == labels).double().mean().item()
    return torch.count_nonzero(rows.gather(1, labels[:, None]) == largest).item() / len(rows)
