"""Which of several processes that train one network together writes the run: the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from grokscope.errors import GrokscopeError, RunError, told

T = TypeVar("T")


def is_first() -> bool:
    """Return whether this process writes: the only one, or rank 0."""
    return not _several() or dist.get_rank() == 0


def by_first(make: Callable[[], T]) -> T:
    """Return in every process what `make` returns in the first; it must be a plain value.

    Raises in every process what it raises in the first, in the others as RunError.
    """
    if not _several():
        return make()
    word: list[Any] = [None, ""]
    trouble: GrokscopeError | None = None
    if is_first():
        try:
            word = [make(), ""]
        except GrokscopeError as error:
            trouble, word = error, [None, told(error)]
    dist.broadcast_object_list(word)
    if trouble or word[1]:
        raise trouble or RunError(word[1])
    found: T = word[0]
    return found


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
