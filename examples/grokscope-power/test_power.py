"""Run with `pytest` once grokscope and this plugin are installed."""

import numpy as np
import pytest

import grokscope_power
from grokscope import Comparison, Results, load_plugins, verdicts
from grokscope.reproduce import reproduce
from grokscope.testing import check_hypothesis

STEPS = np.arange(0, 1001, 10)


@pytest.fixture
def plugins(monkeypatch):
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "power")  # the installed one, for this one
    return load_plugins([grokscope_power])


def run(share, grokking_step, seed=0):
    """Results whose test accuracy is at 1 from a step on, and never where that is None."""
    test = (grokking_step or np.inf) <= STEPS
    curve = {"step": STEPS, "train_accuracy": STEPS >= 50, "test_accuracy": test}
    curve = {name: np.asarray(values, float) for name, values in curve.items()}
    config = {"task": {"train_fraction": share}, "training": {"seed": seed}}
    return Results(f"{share}-{seed}", {"step": STEPS.tolist()}, {}, curve=curve, config=config)


@pytest.mark.parametrize(
    ("less", "more", "verdict"),
    [
        (600, 200, "held"),
        (None, 200, "held"),
        (200, 600, "did not hold"),
        (None, None, "undecided"),
    ],
)
def test_the_claim_tells_true_from_false(less, more, verdict):
    runs = [run(share, step, seed) for share, step in ((0.4, less), (0.8, more)) for seed in range(5)]
    found = Comparison({each.run: each for each in runs}, {}, {})
    assert verdicts(found, [grokscope_power.later_with_less_data])[0].verdict == verdict


def test_it_keeps_the_contract_of_every_claim():
    check_hypothesis(grokscope_power.later_with_less_data, config={"task": {"train_fraction": 0.4}})


def test_the_figure_is_trained_judged_and_drawn(plugins, tmp_path):
    found = reproduce("power-1", quick=True, out=tmp_path, plugins=plugins)
    assert not found.failures
    assert [part.rule for part in found.parts] == [
        "40 % of the data and 80 % of the data: with less data test accuracy is at 95 % later, or not at all"
    ]
    assert found.verdict == "undecided"  # by --quick nothing is
    assert len(found.draw().axes) == 1
