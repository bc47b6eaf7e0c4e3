"""What measuring gives: the results of a run, of several side by side, and what their columns are called.

Its rooms are opened when something of theirs is first asked for: who chooses measures wants names only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grokscope.results.comparison import Comparison
    from grokscope.results.names import ColumnName
    from grokscope.results.results import Failure, Provenance, Results

__all__ = ["ColumnName", "Comparison", "Failure", "Provenance", "Results"]

_LAZY = {
    "ColumnName": "names",
    "Comparison": "comparison",
    "Failure": "results",
    "Provenance": "results",
    "Results": "results",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"grokscope.results.{_LAZY[name]}"), name)
