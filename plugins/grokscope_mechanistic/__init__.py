"""The mechanistic family: how much of a network is the algorithm that was found by taking one apart."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_mechanistic.embedding import embedding_ipr
from grokscope_mechanistic.measures import fourier


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Return the family's measures."""
    return [fourier, embedding_ipr]
