"""The complexity family: how short a description of the network is enough."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_complexity.measures import compression


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [compression]
