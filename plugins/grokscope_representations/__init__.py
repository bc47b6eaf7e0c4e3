"""The family `representations`: what hidden layers hold, read by simple means."""

from __future__ import annotations

from collections.abc import Sequence

from grokscope import Measure, hookimpl
from grokscope_representations.attention import attention_entropy
from grokscope_representations.measures import feature_rank, linear_probe, neural_collapse


@hookimpl
def grokscope_measures() -> Sequence[Measure]:
    """Register the family's measures."""
    return [linear_probe, neural_collapse, feature_rank, attention_entropy]
