"""What a plugin's tests need: small real networks, and what measures and hypotheses must keep to."""

from grokscope.testing.contract import check_measure
from grokscope.testing.examples import example_pair, example_probe, example_task, probe_of
from grokscope.testing.hypotheses import check_hypothesis

__all__ = ["check_hypothesis", "check_measure", "example_pair", "example_probe", "example_task", "probe_of"]
