"""Comparisons made from courses whose transitions, leads and dependences are known."""

import numpy as np
import pytest

from grokscope import Column, Comparison, Results

STEPS = np.arange(0, 2005, 10)
MEMORISED = 100
ROLES = {"weight_norm.l2_all": "control", "oinfo.synergy": "synergy", "oinfo.redundancy": "redundancy"}


def sigmoid(middle, width=0.05):
    """A rise from 0 to 1 around `middle`, over the log step axis."""
    return 1 / (1 + np.exp(-(np.log10(STEPS + 10) - np.log10(middle + 10)) / width))


def smooth(rng, reach=15):
    """Noise whose neighbours depend on each other, as those of a training do."""
    return np.convolve(rng.normal(size=len(STEPS) + reach - 1), np.ones(reach) / np.sqrt(reach), mode="valid")


def results(columns, accuracy, *, memorised=MEMORISED, peak=(), test_loss=None, text=(), at=STEPS):
    steps = at.tolist()
    curve = {
        "step": at,
        "train_accuracy": (memorised <= at).astype(float),
        "test_accuracy": np.asarray(accuracy, float),
        "train_loss": np.zeros(len(at)),
        "test_loss": np.zeros(len(at)) if test_loss is None else np.asarray(test_loss, float),
    }
    declared = {
        name: Column(
            name,
            "a number",
            direction="peak" if name in peak else "",
            text=name in text,
            role=ROLES.get(name, ""),
        )
        for name in columns
    }
    from grokscope.run.curves import first_step_staying_above

    return Results(
        run="run",
        columns={"step": steps} | {name: list(values) for name, values in columns.items()},
        declared=declared,
        memorisation_step=first_step_staying_above(steps, curve["train_accuracy"], 0.99),
        grokking_step=first_step_staying_above(steps, accuracy, 0.95),
        curve=curve,
    )


@pytest.fixture(scope="session")
def make():
    """What the tests build courses from."""

    class Make:
        steps = STEPS
        memorised = MEMORISED
        sigmoid = staticmethod(sigmoid)
        smooth = staticmethod(smooth)
        results = staticmethod(results)

        @staticmethod
        def comparison(runs):
            return Comparison(runs={f"s{at}": each for at, each in enumerate(runs)}, settings={}, failed={})

    return Make
