"""What is said where a library that an extra brings is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from grokscope.errors import UsageError

KNOWN_AS = {"sklearn": "scikit-learn", "lightning": "Lightning", "datasets": "the datasets library"}


@contextmanager
def from_extra(
    extra: str, what: str, *, otherwise: str = "", fault: type[UsageError] = UsageError
) -> Iterator[None]:
    """Import inside this: of a library that is missing, `fault` says that `what` needs it, and how to get it.

    Args:
        extra: the extra of grokscope that brings the library, as in pyproject.toml.
        what: what needs it, as a sentence begins.
        otherwise: how to do without, said at the end.
        fault: the error to raise.
    """
    try:
        yield
    except ImportError as error:
        module = error.name.split(".")[0] if error.name else f"the extra {extra}"
        way = f"pip install 'grokscope[{extra}]'" + (f", or {otherwise}" if otherwise else "")
        raise fault(f"{what} needs {KNOWN_AS.get(module, module)}: {way}") from error
