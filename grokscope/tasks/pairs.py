"""Where the two operands are in a task's inputs, also inside a longer sequence such as `a + b =`."""

from __future__ import annotations

import torch

from grokscope.errors import NotApplicable
from grokscope.tasks.task import IGNORED


def pairs_of(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the ordered pair of tokens that each example is, (N, 2) int64, all different.

    They stand at the two places of the inputs at which tokens differ from example to example.

    Where labels are one per position only one may count, the same in all examples; what stands after it, such
    as the answer that a language model is shown, is not looked at.

    Args:
        inputs: (N, length) whole numbers.
        labels: (N,), or (N, length) with -100 where none counts.

    Raises:
        NotApplicable: there are no such pairs; the sentence says what is there instead.
    """
    if inputs.is_floating_point() or inputs.ndim != 2 or not len(inputs):
        what = "numbers" if inputs.is_floating_point() else "tokens"
        raise NotApplicable(
            f"it is about pairs of tokens, and the inputs are {what} of shape (n, {_shape(inputs)})"
        )
    end = _asked_at(labels, inputs.shape[1])
    varying = (inputs[:, : end + 1] != inputs[0, : end + 1]).any(dim=0).nonzero()[:, 0].tolist()
    if len(varying) != 2:
        where = f"place{'' if len(varying) == 1 else 's'} {_listed(varying)}" if varying else "none"
        raise NotApplicable(
            "it is about pairs of tokens, which differ from example to example at two places of the "
            f"{end + 1} up to the answer; here they differ at {where} (counted from 0)"
        )
    pairs = inputs[:, varying]
    least, span = pairs.amin(), pairs.amax() - pairs.amin() + 1
    numbered = (pairs[:, 0] - least) * span + pairs[:, 1] - least
    found, counts = numbered.unique(return_counts=True)
    if len(found) < len(pairs):
        most = found[counts.argmax()]
        a, b = int(most // span + least), int(most % span + least)
        raise NotApplicable(
            f"it needs every pair of tokens once, and ({a}, {b}) is there {int(counts.max())} times"
        )
    return pairs


def _asked_at(labels: torch.Tensor, length: int) -> int:
    """Return the place of the one label that each example has; the last where labels are one per example."""
    if labels.is_floating_point():
        raise NotApplicable("it is about classes, and the labels are numbers to be predicted")
    if labels.ndim == 1:
        return length - 1
    counting = labels != IGNORED
    places = counting.any(dim=0).nonzero()[:, 0].tolist()
    if labels.ndim != 2 or len(places) != 1 or not counting[:, places].all():
        raise NotApplicable(
            "it needs one label for each pair, and labels are one per position, of which "
            f"{int(counting.sum())} count in {len(labels)} examples: make those -100 that are not the answer"
        )
    return int(places[0])


def _shape(inputs: torch.Tensor) -> str:
    return ", ".join(map(str, inputs.shape[1:]))


def _listed(places: list[int], most: int = 6) -> str:
    more = f" and {len(places) - most} more" if len(places) > most else ""
    return ", ".join(map(str, places[:most])) + more
