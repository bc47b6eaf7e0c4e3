"""What a network's losses and accuracies on its task are, wherever they are asked for at a checkpoint."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from grokscope.errors import PluginError
from grokscope.tasks.task import IGNORED

if TYPE_CHECKING:
    from grokscope.models.network import Network
    from grokscope.objective import Objective
    from grokscope.tasks.task import Task

CHUNK = 4096  # examples per forward pass: what still fits the cache
CHUNK_INPUTS = 1 << 17  # numbers in them: an LSTM keeps a state for every token


def check_classes(network: Network, task: Task, judged: Objective) -> None:
    """Raise PluginError where labels are no classes of a network with so many logits.

    A loss of the user's own may mean something else by whole numbers.
    """
    labels, most = network.row_labels(task.labels), max(network.outputs, 2) - 1
    wrong = labels[(labels != IGNORED) & ((labels < 0) | (labels > most))]
    if judged.own is None and not labels.is_floating_point() and len(wrong):
        raise PluginError(
            f"labels must be classes 0 to {most}, as the network has {network.outputs} logits, or {IGNORED} "
            f"where one does not count, got {int(wrong[0])}"
        )


def evaluate(
    network: Network, task: Task, judged: Objective, trained: torch.Tensor | None = None
) -> dict[str, float]:
    """Return train_loss, test_loss, train_accuracy and test_accuracy.

    The forward passes run in the network's type and mode as they are, in chunks; the loss is computed in
    float64. Rows without a label do not count. NaN on a split without examples. `trained` are the logits of
    the training split where they are known.
    """
    found: dict[str, float] = {}
    for split in ("train", "test"):
        inputs, labels = task.examples(split)
        if not len(inputs):
            found |= {f"{split}_loss": math.nan, f"{split}_accuracy": math.nan}
            continue
        known = trained if split == "train" else None
        logits = _logits(network, inputs) if known is None else known
        logits, rows, examples = _counted(logits, network.row_labels(labels), len(inputs))
        found[f"{split}_loss"] = judged.mean_loss(logits, rows)
        found[f"{split}_accuracy"] = judged.share_right(logits, rows, examples)
    return {
        f"{split}_{name}": found[f"{split}_{name}"]
        for name in ("loss", "accuracy")
        for split in ("train", "test")
    }


def at_once(inputs: torch.Tensor) -> int:
    """Return how many of the inputs are passed at once."""
    return min(CHUNK, max(1, CHUNK_INPUTS // inputs[0].numel()))


def _logits(network: Network, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        parts = [network(chunk) for chunk in inputs.split(at_once(inputs))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _counted(
    logits: torch.Tensor, labels: torch.Tensor, examples: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the rows that have a label, their labels, and which of the `examples` each is of."""
    of = torch.arange(len(labels), device=labels.device) // max(1, len(labels) // max(1, examples))
    if labels.is_floating_point() or (labels != IGNORED).all():
        return logits, labels, of
    kept = labels != IGNORED
    return logits[kept], labels[kept], of[kept]
