"""Who waits for a measure that takes long is told so once, and how long all of it will take."""

from grokscope import analyze
from grokscope.analysis.watched import LONG


def test_what_a_measure_foretells_is_said_once_and_only_where_it_is_long(run_path, plugin_of):
    def long(probe):
        """Take long, says the measure."""
        probe.foretell(3600.0)
        return {"value": 1.0}

    def short(probe):
        """Take no time to speak of."""
        probe.foretell(LONG / 2)
        return {"value": 1.0}

    said = []
    found = analyze(run_path, "long,short", plugins=plugin_of(long, short), notify=said.append)
    assert said == ["long will take about 60 min a checkpoint, some 7 h for the 7 that are left"]
    assert found.computed == 14


def test_nothing_is_said_of_others_where_the_last_one_is_left(run_path, plugin_of):
    def late(probe):
        """Take long at the last checkpoint."""
        probe.foretell(50.0 if probe.step == 60 else 0.0)
        return {"value": 1.0}

    said = []
    analyze(run_path, "late", plugins=plugin_of(late), notify=said.append)
    assert said == ["late will take about 50 s a checkpoint"]
