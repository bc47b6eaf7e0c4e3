"""Tan & Huang's abelian test: does the network know that a + b = b + a?"""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_abelian.measures import abelian


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Register the family `abelian`."""
    return [abelian]
