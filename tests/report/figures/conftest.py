"""Runs made up of known courses, so that a figure can be compared with what it must show."""

import numpy as np
import pytest

from grokscope import Column, Comparison
from grokscope.results import Results

STEPS = np.arange(0, 601, 10)
CONFIG = {"recipe": "clauw", "task": {"name": "modadd"}}


def accuracy(steps, at):
    """Rises from 0 to 1, and is 1 from step `at` on."""
    return np.clip(1 + np.log((steps + 1) / (at + 1)), 0, 1)


@pytest.fixture
def made_up():
    """Make a run: `made_up("a", {"m.up": values}, memorised=40, grokked=300, unit="nats")`."""

    def make(name="run-s0", columns=None, *, memorised=40, grokked=300, steps=STEPS, unit="", text=()):
        steps = np.asarray(steps)
        columns = {"m.up": np.sqrt(steps)} if columns is None else columns
        curve = {
            "step": steps,
            "train_loss": np.exp(-steps / 50) + 0.01,
            "test_loss": np.exp(-steps / 200) + 0.01,
            "train_accuracy": accuracy(steps, memorised),
            "test_accuracy": accuracy(steps, grokked) if grokked else 0.0 * steps,
        }
        declared = {each: Column(each.split(".")[1].split(":")[0], "", unit=unit) for each in columns}
        declared |= {each: Column(each.split(".")[1], "", text=True) for each in text}
        values = {each: np.asarray(column, float).tolist() for each, column in columns.items()}
        values |= {each: ["word"] * len(steps) for each in text}
        return Results(name, {"step": steps.tolist(), **values}, declared, curve=curve, config=CONFIG)

    return make


@pytest.fixture
def compared():
    """Put runs side by side: `compared([run, other], weight_decay=[1, 2])`."""

    def put(runs, **settings):
        return Comparison({results.run: results for results in runs}, settings, {})

    return put
