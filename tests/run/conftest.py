"""Runs small enough to flip every bit of."""

import subprocess
import sys

import pytest
import torch

from grokscope.run import Run

DEAD = """
import os, pathlib, sys
from grokscope.run import files
path = pathlib.Path(sys.argv[1]) / files.temporary_name()
path.write_bytes(b"half")
print(path.name)
"""
LEARNED = {"train_loss": 0.25, "test_loss": 4.5, "train_accuracy": 1.0, "test_accuracy": 0.125}


@pytest.fixture
def config():
    return {
        "recipe": "clauw",
        "task": {"name": "modadd", "p": 13},
        "model": {"name": "mlp", "hidden": (4,), "dropout": None},
        "training": {"seed": 3, "lr": 0.03, "clip": None},
    }


@pytest.fixture
def run(tmp_path, config):
    """A run with checkpoints at 0, 10 and 20."""
    run = Run.create(tmp_path / "run", config)
    for step in (0, 10, 20):
        weights = {"a": torch.full((2, 3), float(step)), "b": torch.arange(3, dtype=torch.float64)}
        curve = {"step": [step - 5], **{name: [value] for name, value in LEARNED.items()}} if step else {}
        run.save_checkpoint(step, weights, LEARNED, curve)
    return run


@pytest.fixture(scope="session")
def abandoned():
    """Leave a temporary file in a folder whose process has ended; return its name."""

    def leave(folder):
        done = subprocess.run(
            [sys.executable, "-c", DEAD, str(folder)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return leave
