"""The family `oinfo`: synergy and redundancy of a hidden layer (Clauw et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_oinfo.measures import oinfo


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [oinfo]
