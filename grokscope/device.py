"""Where torch computes, and with how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grokscope.errors import SettingError

if TYPE_CHECKING:
    import torch


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_device(name: str, setting: str) -> torch.device:
    """Return the torch device called `name`. Raises SettingError, naming `setting`, when there is none."""
    import torch

    try:
        number = torch.zeros(1, device=name)
        number.item()
        return number.device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0]
        raise SettingError(f"{setting} must be a device of this machine, got {name!r}: {reason}") from error


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with `count` threads for the block: sums of float32 differ between thread counts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
