"""Several inputs of an example side by side in one tensor, so that examples are chosen and kept as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch

EXACT = 1 << 24  # whole numbers up to here are themselves in float32
ONLY = ""  # the name of an input that is alone


@dataclass(frozen=True)
class Part:
    """One of several inputs.

    Attributes:
        name: the keyword that the network takes it by, or digits: its place among the arguments.
        shape: of one example's.
        dtype: as the network is given it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


def packed(inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, tuple[Part, ...]]:
    """Return inputs as one tensor and its parts; (n, values), or what is alone as it is, without parts."""
    if list(inputs) == [ONLY]:
        return inputs[ONLY], ()
    parts = tuple(Part(name, tuple(each.shape[1:]), each.dtype) for name, each in inputs.items())
    whole = all(not part.dtype.is_floating_point for part in parts)
    large = any(
        int(each.long().abs().max()) > EXACT
        for each in inputs.values()
        if not each.is_floating_point() and each.numel()
    )
    dtype = torch.int64 if whole else torch.float64 if large else torch.float32
    return torch.cat([each.reshape(len(each), -1).to(dtype) for each in inputs.values()], dim=1), parts


def unpacked(inputs: torch.Tensor, parts: Sequence[Part]) -> dict[str, torch.Tensor]:
    """Return the inputs that were packed, by name, in their order."""
    if not parts:
        return {ONLY: inputs}
    sizes = [torch.Size(part.shape).numel() for part in parts]
    ends = accumulate(sizes)
    return {
        part.name: inputs[:, end - size : end].reshape(len(inputs), *part.shape).to(part.dtype)
        for part, size, end in zip(parts, sizes, ends, strict=True)
    }


def arguments(inputs: Mapping[str, torch.Tensor]) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Return inputs as a network is called with them: by place, and by keyword."""
    by_place = [each for name, each in inputs.items() if name == ONLY or name.isdigit()]
    return by_place, {name: each for name, each in inputs.items() if name != ONLY and not name.isdigit()}


def by_name(inputs: Any) -> dict[str, torch.Tensor]:
    """Return what somebody's data gives as inputs: a tensor, a tuple or a dict of tensors.

    Raises ValueError for a name that can be no keyword.
    """
    if isinstance(inputs, Mapping):
        found = {str(name): torch.as_tensor(each) for name, each in inputs.items()}
        wrong = next((name for name in found if not name.isidentifier()), None)
        if wrong is not None:
            raise ValueError(f"an input must be called as the network's argument is, got {wrong!r}")
        return found
    if (
        isinstance(inputs, (tuple, list))
        and inputs
        and all(isinstance(each, (torch.Tensor, np.ndarray)) for each in inputs)
    ):
        return {str(place): torch.as_tensor(each) for place, each in enumerate(inputs)}
    return {ONLY: torch.as_tensor(inputs)}
