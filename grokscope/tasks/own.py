"""The user's own data as a task: what a data factory may return, which examples are drawn, what is kept."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from grokscope.errors import DataError, PluginError, described
from grokscope.tasks.packing import by_name, packed
from grokscope.tasks.task import IGNORED, Task

SEED = 0  # draws the examples
INPUTS, LABELS = ("input_ids", "inputs", "x", "image", "pixel_values"), ("labels", "label", "targets", "y")
WITH_TOKENS = ("attention_mask", "token_type_ids", "position_ids", "decoder_input_ids")  # of a dict with both
Inputs = dict[str, torch.Tensor]
Pair = tuple[Inputs, torch.Tensor]


def own_task(name: str, made: Any, most: int) -> Task:
    """Return the task of what a data factory made: (train, test).

    Each is a pair of tensors (inputs, labels), a Dataset of such pairs, or an iterable of batches of them; a
    dict may stand for a pair, and arrays for tensors. Where the network takes several inputs, `inputs` is a
    tuple or a dict of tensors. Of more than `most` examples so many are drawn, always the same; of an
    iterable the first are taken. Labels are classes (n,), classes per position (n, t), -100 where one does
    not count, or numbers to be predicted (n, k). Items whose labels are their own `input_ids`, as
    transformers' causal language models are given them, are labelled by the token after each.

    Raises PluginError where it is none of these, DataError where a split is empty.
    """
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise PluginError(f"data {name} must return (train, test), got {type(made).__name__}")
    if all(isinstance(each, (torch.Tensor, np.ndarray)) for each in made):
        raise PluginError(
            f"data {name} must return (train, test), each a pair (inputs, labels); got one pair"
        )
    return task_of(
        name,
        {split: _pair(name, split, each, most) for split, each in zip(("train", "test"), made, strict=True)},
    )


def task_of(name: str, pairs: Mapping[str, tuple[Any, torch.Tensor]]) -> Task:
    """Return the task whose splits are these pairs of inputs - a tensor, or several by name - and labels."""
    (inputs, labels), (test_inputs, test_labels) = (
        (given if isinstance(given, dict) else by_name(given), found)
        for given, found in (pairs["train"], pairs["test"])
    )
    if list(inputs) != list(test_inputs):
        raise PluginError(f"data {name}: train has the inputs {list(inputs)}, test {list(test_inputs)}")
    alike = [("inputs", inputs[each], test_inputs[each]) for each in inputs]
    for what, one, other in (*alike, ("labels", labels, test_labels)):
        if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
            raise PluginError(
                f"data {name}: {what} of train and test must be alike, got {tuple(one.shape)} of {one.dtype} "
                f"and {tuple(other.shape)} of {other.dtype}"
            )
    together = {each: torch.cat([inputs[each], test_inputs[each]]) for each in inputs}
    everything, parts = packed(together)
    main, every_label = next(iter(together.values())), torch.cat([labels, test_labels])
    return Task(
        name=name,
        kind="own",
        inputs=everything,
        labels=every_label,
        classes=0 if labels.is_floating_point() else int(every_label.max()) + 1,
        train=torch.arange(len(labels)),
        test=torch.arange(len(labels), len(every_label)),
        vocabulary=0 if main.is_floating_point() else int(main.max()) + 1,
        parts=parts,
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
    for each in inputs.values():
        if len(each) != len(labels):
            raise PluginError(f"data {name}: {split} has {len(each)} inputs and {len(labels)} labels")
    if not len(labels):
        raise DataError(f"data {name}: the {split} split is empty")
    numbers = {
        each: values if place and values.dtype == torch.bool else _numbers(values)  # a mask stays one
        for place, (each, values) in enumerate(inputs.items())
    }
    return numbers, _classes_or_numbers(labels)


def _read(data: Any, most: int) -> Pair | None:
    if _is_pair(data):
        inputs, labels = by_name(data[0]), torch.as_tensor(data[1])
        if any(len(each) != len(labels) for each in inputs.values()):
            return inputs, labels
        chosen = _draw(len(labels), most)
        return {name: each[chosen] for name, each in inputs.items()}, labels[chosen]
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
        count += len(batches[-1][1])
        if count >= most:
            break
    found = _stacked(batches, torch.cat)
    return found and ({name: each[:most] for name, each in found[0].items()}, found[1][:most])


def _draw(count: int, most: int) -> torch.Tensor:
    """Return which of `count` examples are kept, in their order."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:most]
    return drawn.sort().values


def _stacked(pairs: Sequence[Pair], join: Any) -> Pair | None:
    if not pairs:
        return None
    parts = [[x[name] for x, _ in pairs] for name in pairs[0][0]] + [[y for _, y in pairs]]
    for tensors in parts:
        _check_alike(tensors, batched=join is torch.cat)
    *inputs, labels = map(join, parts)
    return dict(zip(pairs[0][0], inputs, strict=True)), labels


def _check_alike(tensors: Sequence[torch.Tensor], batched: bool) -> None:
    """Raise ValueError where examples are of several shapes."""
    shapes = list(dict.fromkeys(tuple(each.shape[batched:]) for each in tensors))
    if len(shapes) > 1:
        raise ValueError(
            f"all examples must have one shape, got {shapes[0]} and {shapes[1]}: pad or cut them, with -100 "
            "for labels that do not count"
        )


def _is_pair(data: Any) -> bool:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        return False
    inputs = data[0].values() if isinstance(data[0], Mapping) else data[0]
    several = isinstance(data[0], (Mapping, tuple, list))
    tensors = [*(inputs if several else [inputs]), data[1]]
    return all(isinstance(part, (torch.Tensor, np.ndarray)) and part.ndim > 0 for part in tensors)


def _as_pair(item: Any) -> Pair:
    """Return inputs, by name, and labels of an example or a batch, as tensors."""
    if isinstance(item, Mapping):
        labels = next((item[name] for name in LABELS if name in item), None)
        item = _inputs_of(item), _next_tokens(item.get("input_ids"), labels)
    inputs, labels = islice(item, 2)
    return by_name(inputs), torch.as_tensor(labels)


def _next_tokens(tokens: Any, labels: Any) -> Any:
    """Return the labels, one place on where they are the tokens: their network itself compares with the next.

    No other network is asked for the token that it is given at the same place.
    """
    if tokens is None or labels is None:
        return labels
    tokens, found = torch.as_tensor(tokens), torch.as_tensor(labels)
    counts = found != IGNORED
    if tokens.shape != found.shape or not found.ndim or not counts.any() or (found != tokens)[counts].any():
        return labels
    return torch.cat([found[..., 1:], torch.full_like(found[..., :1], IGNORED)], dim=-1)


def _inputs_of(item: Mapping[str, Any]) -> Any:
    """Return the inputs in a dict that holds labels too; of tokens, what goes with them."""
    main = next((name for name in INPUTS if name in item), None)
    more = {name: item[name] for name in WITH_TOKENS if name in item}
    if main == "input_ids" and more:
        return {main: item[main], **more}
    return item[main] if main else None


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
