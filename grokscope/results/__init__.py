"""What measuring gives: the results of a run, of several side by side, and what their columns are called.

Its rooms are opened when something of theirs is first asked for: who chooses measures wants names only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope.lazily import opened

if TYPE_CHECKING:
    from grokscope.results.comparison import Comparison
    from grokscope.results.names import ColumnName
    from grokscope.results.results import Failure, Provenance, Results

__all__ = ["ColumnName", "Comparison", "Failure", "Provenance", "Results"]

__getattr__ = opened(
    __name__,
    {
        "ColumnName": "names",
        "Comparison": "comparison",
        "Failure": "results",
        "Provenance": "results",
        "Results": "results",
    },
)
