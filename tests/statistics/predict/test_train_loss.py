"""Oscillations of the training loss: Hjorth's numbers against closed forms, and what they foretell."""

import math
from dataclasses import replace

import numpy as np
import pytest

from grokscope.statistics.hjorth import hjorth
from grokscope.statistics.predict import predict


@pytest.mark.parametrize("frequency", [0.05, 0.3, 1.0])
def test_numbers_of_a_sine(frequency):
    """A difference of neighbours is a sine again, 2 sin(w / 2) as high."""
    found = hjorth(3 * np.sin(frequency * np.arange(200_000)) + 7)
    assert found["activity"] == pytest.approx(4.5, rel=1e-3)
    assert found["mobility"] == pytest.approx(2 * math.sin(frequency / 2), rel=1e-3)
    assert found["complexity"] == pytest.approx(1, rel=1e-3)


def test_numbers_of_noise_and_of_scale():
    noise = np.random.RandomState(0).standard_normal(200_000)
    found = hjorth(noise)
    assert found["mobility"] == pytest.approx(math.sqrt(2), rel=0.01)  # differences have variances 2 and 6
    assert found["complexity"] == pytest.approx(math.sqrt(3 / 2), rel=0.01)
    scaled = hjorth(-5 * noise + 3)
    assert scaled["activity"] == pytest.approx(25 * found["activity"])
    assert scaled["mobility"] == pytest.approx(found["mobility"])
    assert scaled["complexity"] == pytest.approx(found["complexity"])


def test_what_does_not_vary_has_no_frequency():
    assert all(map(math.isnan, hjorth(np.arange(3.0)).values()))
    assert hjorth(np.ones(9))["activity"] == 0
    assert math.isnan(hjorth(np.ones(9))["mobility"])
    assert math.isnan(hjorth(np.arange(9.0))["complexity"])


def swinging(make_run, compare, quick_ones):
    """Eight runs of which four grok, after 500; the loss of some swings ten times as quickly."""
    draw, runs = np.random.RandomState(1), []
    for at in range(8):
        grok = 600 + 50 * at if at < 4 else None
        run = make_run(f"run{at}", grok=grok, mem=500, columns={"x.x": draw.standard_normal(101)})
        steps = run.curve["step"]
        period = 2.3 if at in quick_ones else 23.0
        loss = 1 + 0.1 * np.sin(2 * np.pi * (np.arange(len(steps)) / period + draw.random_sample()))
        runs.append(replace(run, curve={**run.curve, "train_loss": loss}))
    return compare(runs)


def test_runs_whose_loss_swings_quickly_are_told_apart_by_it(make_run, compare):
    found = predict(swinging(make_run, compare, range(4)), budget="own", until=500, train_loss=True)
    rows = {(row.column, row.feature): row for row in found.predictors}
    assert [feature for column, feature in rows if column == "train_loss"] == [
        *("value", "slope", "peak", "activity", "mobility", "complexity")
    ]
    assert [feature for column, feature in rows if column == "x.x"] == ["value", "slope", "peak"]
    assert rows["train_loss", "mobility"].auroc == 1
    assert rows["train_loss", "mobility"].sign == "+"
    assert all(rows["train_loss", feature].auroc < 1 for feature in ("value", "slope", "activity"))


def test_nothing_of_the_loss_after_the_cut_enters(make_run, compare):
    plain = swinging(make_run, compare, range(2, 6))
    changed = compare(
        [
            replace(
                run,
                curve={
                    **run.curve,
                    "train_loss": np.where(run.curve["step"] > 500, 9.0, run.curve["train_loss"]),
                },
            )
            for run in plain.runs.values()
        ]
    )
    one, other = (
        predict(each, budget="own", until=500, columns=[], train_loss=True) for each in (plain, changed)
    )
    assert one.predictors == other.predictors
    assert {row.column for row in one.predictors} == {"train_loss"}
