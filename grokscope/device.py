"""Where torch computes, and with how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grokscope.errors import SettingError
from grokscope.surroundings import flushes_denormals

if TYPE_CHECKING:
    import torch

LARGEST = 31 << 20  # bytes; from 32 MB on glibc learns nothing


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


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Compute 0 for denormal results in the block: a processor takes up to a hundred times longer for them.

    Only with one thread: torch's other threads cannot be told, and some numbers would be flushed, some not.
    """
    import torch

    before = flushes_denormals()
    if torch.get_num_threads() == 1:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def keep_memory() -> None:
    """Have the C library keep what one step frees for the next, which else finds new pages, each a fault.

    glibc gives back what is free above twice the largest piece that it ever got back from the system: it is
    shown one. Other libraries are not moved.
    """
    import torch

    torch.empty(LARGEST, dtype=torch.uint8)
