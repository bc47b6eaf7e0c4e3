"""The user's own data as a task: what a data factory may return, which examples are drawn, what is kept."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from grokscope.errors import DataError, PluginError, described
from grokscope.tasks.task import Task

SEED = 0  # draws the examples
INPUTS, LABELS = ("input_ids", "inputs", "x", "image", "pixel_values"), ("labels", "label", "targets", "y")
Pair = tuple[torch.Tensor, torch.Tensor]


def own_task(name: str, made: Any, most: int) -> Task:
    """Return the task of what a data factory made: (train, test).

    Each is a pair of tensors (inputs, labels), a Dataset of such pairs, or an iterable of batches of them; a
    dict may stand for a pair. Of more than `most` examples so many are drawn, always the same; of an iterable
    the first are taken. Labels are classes (n,), classes per position (n, t), -100 where one does not count,
    or numbers to be predicted (n, k).

    Raises PluginError where it is none of these, DataError where a split is empty.
    """
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise PluginError(f"data {name} must return (train, test), got {type(made).__name__}")
    return task_of(
        name,
        {split: _pair(name, split, each, most) for split, each in zip(("train", "test"), made, strict=True)},
    )


def task_of(name: str, pairs: Mapping[str, Pair]) -> Task:
    """Return the task whose splits are these pairs of inputs and labels."""
    (inputs, labels), (test_inputs, test_labels) = pairs["train"], pairs["test"]
    for what, one, other in (("inputs", inputs, test_inputs), ("labels", labels, test_labels)):
        if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
            raise PluginError(
                f"data {name}: {what} of train and test must be alike, got {tuple(one.shape)} of {one.dtype} "
                f"and {tuple(other.shape)} of {other.dtype}"
            )
    everything, every_label = torch.cat([inputs, test_inputs]), torch.cat([labels, test_labels])
    return Task(
        name=name,
        kind="own",
        inputs=everything,
        labels=every_label,
        classes=0 if labels.is_floating_point() else int(every_label.max()) + 1,
        train=torch.arange(len(inputs)),
        test=torch.arange(len(inputs), len(everything)),
        vocabulary=0 if inputs.is_floating_point() else int(everything.max()) + 1,
    )


def _pair(name: str, split: str, data: Any, most: int) -> Pair:
    with torch.random.fork_rng(devices=[]):
        states = random.getstate(), np.random.get_state()
        torch.manual_seed(SEED)
        random.seed(SEED)
        np.random.seed(SEED)
        try:
            found = _read(data, most)
        except Exception as error:  # a data set of the user's own may raise anything
            raise PluginError(f"data {name}: the {split} split cannot be read: {described(error)}") from error
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
    if not found:
        raise PluginError(
            f"data {name}: the {split} split must be a pair of tensors, a Dataset of pairs or an iterable of "
            f"batches of them, got {type(data).__name__}"
        )
    inputs, labels = found
    if len(inputs) != len(labels):
        raise PluginError(f"data {name}: {split} has {len(inputs)} inputs and {len(labels)} labels")
    if not len(inputs):
        raise DataError(f"data {name}: the {split} split is empty")
    return _numbers(inputs), _classes_or_numbers(labels)


def _read(data: Any, most: int) -> Pair | None:
    if _is_pair(data):
        inputs, labels = data
        if len(inputs) != len(labels):
            return inputs, labels
        chosen = _draw(len(inputs), most)
        return inputs[chosen], labels[chosen]
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        items = [_as_pair(data[int(place)]) for place in _draw(len(data), most)]
        return _stacked(items, torch.stack)
    if isinstance(data, Iterable):
        return _batched(data, most)
    return None


def _batched(data: Iterable[Any], most: int) -> Pair | None:
    batches, count = [], 0
    for batch in data:
        batches.append(_as_pair(batch))
        count += len(batches[-1][0])
        if count >= most:
            break
    found = _stacked(batches, torch.cat)
    return found and (found[0][:most], found[1][:most])


def _draw(count: int, most: int) -> torch.Tensor:
    """Return which of `count` examples are kept, in their order."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:most]
    return drawn.sort().values


def _stacked(pairs: Sequence[Pair], join: Any) -> Pair | None:
    return (join([x for x, _ in pairs]), join([y for _, y in pairs])) if pairs else None


def _is_pair(data: Any) -> bool:
    return (
        isinstance(data, (tuple, list))
        and len(data) == 2
        and all(isinstance(part, torch.Tensor) and part.ndim > 0 for part in data)
    )


def _as_pair(item: Any) -> Pair:
    """Return inputs and labels of an example or a batch, as tensors."""
    if isinstance(item, Mapping):
        item = [next((item[name] for name in names if name in item), None) for names in (INPUTS, LABELS)]
    inputs, labels = islice(item, 2)
    return torch.as_tensor(inputs), torch.as_tensor(labels)


def _numbers(inputs: torch.Tensor) -> torch.Tensor:
    """Return inputs as float32, or as int64 tokens."""
    if inputs.is_floating_point() or inputs.dtype == torch.bool:
        return inputs.float()
    return inputs.long()


def _classes_or_numbers(labels: torch.Tensor) -> torch.Tensor:
    labels = labels.float() if labels.is_floating_point() else labels.long()
    if labels.is_floating_point() and labels.ndim == 1:
        return labels[:, None]
    return labels[:, 0] if not labels.is_floating_point() and labels.shape[1:] == (1,) else labels
