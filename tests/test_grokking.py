"""The main result, end to end: a network groks, and synergy peaks between memorising and generalising."""

import pytest

from grokscope import analyze, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("grokking") / "run"
    return train("modadd", recipe="clauw", settings={"training.steps": 1000}, out=path)


def test_clauw_memorises_first_and_generalises_long_after(run):
    curves = run.curves
    at = {step: index for index, step in enumerate(curves["step"].tolist())}
    assert curves["train_accuracy"][at[60]] == 1.0
    assert curves["test_accuracy"][at[60]] < 0.05
    assert curves["test_accuracy"][at[500]] > 0.95
    assert run.memorisation_step() <= 60
    assert 100 < run.grokking_step() <= 500


def test_synergy_peaks_between_memorising_and_grokking_and_then_falls_while_redundancy_rises(run):
    results = analyze(run, "oinfo", steps="5:600")
    assert not results.failures
    synergy, redundancy = (results.columns[f"oinfo.{name}"] for name in ("synergy", "redundancy"))
    peak = results.steps[synergy.index(max(synergy))]
    assert run.memorisation_step() < peak < run.grokking_step()
    assert 2.5 < max(synergy) < 4
    assert synergy[0] < max(synergy) / 10  # near nothing: 0.28 of 3.4 nats were seen
    assert max(synergy[-10:]) < 0.75 * max(synergy)
    assert redundancy[-1] > 2 * min(redundancy)
