"""Runs with courses that are known: nothing is trained here."""

import numpy as np
import pytest

from grokscope import Column, Comparison, Results

STEPS = np.arange(0, 1001, 10)


@pytest.fixture
def steps():
    return STEPS


@pytest.fixture
def make_run():
    """`make_run("a", grok=400, columns={"x.x": values at the steps})`: memorised at 50, trained to 1000."""

    def make(name="run", *, grok=400, mem=50, last=1000, columns=None, training=None, at=None):
        at = np.asarray(STEPS if at is None else at)
        at = at[at <= last]
        curve = np.arange(0, last + 1, 10)
        train = np.where(curve >= mem, 1.0, 0.2) if mem is not None else np.full(len(curve), 0.5)
        test = np.where(curve >= grok, 1.0, 0.1) if grok is not None else np.full(len(curve), 0.1)
        courses = {key: [float(v) for v in values][: len(at)] for key, values in (columns or {}).items()}
        return Results(
            run=name,
            columns={"step": at.tolist(), **courses},
            declared={key: Column(key.partition(".")[2].partition(":")[0], "a course") for key in courses},
            curve={
                "step": curve,
                "train_accuracy": train,
                "test_accuracy": test,
                "train_loss": 1 - train,
                "test_loss": 1 - test,
            },
            config={"training": training or {}},
        )

    return make


@pytest.fixture
def compare():
    """`compare(runs, weight_decay=[...])` puts runs side by side."""

    def side_by_side(runs, **settings):
        return Comparison(runs={run.run: run for run in runs}, settings=settings, failed={})

    return side_by_side
