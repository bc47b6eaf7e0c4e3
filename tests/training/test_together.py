"""Seeds trained together are the runs that each would be by itself, to rounding, and are said to be so."""

import shutil
import threading

import pytest
import torch

from grokscope import Run, sweep
from grokscope.run.files import sha256_hex
from grokscope.training import is_finished

PARITY = {"n": 10, "hidden": [20], "train_size": 50, "test_size": 50, "batch_size": 16}
MODADD = {"p": 7, "hidden": [12, 8], "lr": 0.01}
SHORT = {"steps": 300, "checkpoint_every": "100", "log_every": 50, "dtype": "float64"}
SAID = "training goes on under other conditions (seeds together {}): it will not be bit for bit what an "


def apart(one, other):
    """The largest difference of two runs' weights, at any checkpoint."""
    assert one.steps == other.steps
    pairs = ((one.weights(step), other.weights(step)) for step in one.steps)
    return max((a[name] - b[name]).abs().max().item() for a, b in pairs for name in a)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("parity", PARITY),
        ("parity", {**PARITY, "optimizer": "sgd", "weight_decay": 0.1, "loss": "cross_entropy"}),
        ("parity", {**PARITY, "optimizer": "sgd", "momentum": 0, "warmup_steps": 9}),
        ("modadd", {**MODADD, "batch_size": 8}),
        ("modadd", {**MODADD, "optimizer": "adam", "init_zero": "last_layer"}),
    ],
    ids=str,
)
def test_each_seed_is_the_run_that_it_is_by_itself(tmp_path, task, settings):
    told = []
    options = {"seeds": [3, 0, 1], "settings": {**SHORT, **settings}, "notify": told.append}
    alone = sweep(task, **options, out=tmp_path / "alone", together=False)
    together = sweep(task, **options, out=tmp_path / "together", together=True)
    assert not told
    assert [path.name for path in together.finished] == [path.name for path in alone.finished]
    for one, other in zip(map(Run.open, alone.finished), map(Run.open, together.finished), strict=True):
        assert apart(one, other) < 1e-10
        assert one.weights(0).keys() == other.weights(0).keys()
        for name, value in one.curves.items():
            torch.testing.assert_close(value, other.curves[name], rtol=1e-9, atol=1e-12, equal_nan=True)
        mine, theirs = (run.load_resume() for run in (one, other))
        assert (theirs[1]["seeds together"], mine[1]["seeds together"]) == ("3", "1")
        assert theirs[0].keys() == mine[0].keys()
        for name, value in mine[0].items():
            exact = not value.is_floating_point()  # generators, and where in their order the examples are
            assert torch.equal(theirs[0][name], value) if exact else True
