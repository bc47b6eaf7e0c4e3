"""What measuring gives: the results of a run, of several side by side, and what their columns are called."""

from grokscope.results.comparison import Comparison
from grokscope.results.names import ColumnName
from grokscope.results.results import Failure, Provenance, Results

__all__ = ["ColumnName", "Comparison", "Failure", "Provenance", "Results"]
