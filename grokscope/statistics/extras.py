"""What is said where a library of the extra `report` is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grokscope.errors import UsageError


@contextmanager
def from_extra(what: str) -> Iterator[None]:
    """Import inside this: of a library that is missing, UsageError says what needs it and how to get it."""
    try:
        yield
    except ImportError as error:
        library = {"sklearn": "scikit-learn"}.get(root := (error.name or "").split(".")[0], root)
        raise UsageError(f"{what} needs {library}: pip install 'grokscope[report]'") from error
