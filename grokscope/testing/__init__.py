"""What a plugin's own tests need: small real networks to measure, and the contracts of measures and hypotheses."""

from grokscope.testing.contract import check_measure, example_pair, example_probe, example_task, probe_of
from grokscope.testing.hypotheses import check_hypothesis

__all__ = ["check_hypothesis", "check_measure", "example_pair", "example_probe", "example_task", "probe_of"]
