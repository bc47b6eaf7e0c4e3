"""Processes that train one network together write one run, and the first of them writes it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from grokscope import Run

SCRIPT = Path(__file__).parent / "several.py"


@pytest.mark.slow  # two processes each that load torch
@pytest.mark.parametrize("kind", ["ddp", "fsdp", "fsdp1"])
def test_the_first_process_writes_the_whole_network_under_its_own_names(kind, tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path, kind, str(rank)], stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert [code for _, code in ends] == [0, 0], ends
    found, run = torch.load(tmp_path / "expected.pt"), Run.open(tmp_path / "run")
    assert run.steps == (0, 3, 6, 7)
    for step in (3, 6, 7):
        weights, expected = run.weights(step), found["states"][step]
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[name], expected[name]) for name in weights)
    evaluated = run.checkpoints[-1].train_loss
    assert (evaluated == evaluated) == (kind == "ddp")
    assert len(found["said"]) == (0 if kind == "ddp" else 2)
    assert set(run.load_checkpoint(3).kinds.buffers) == {
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }
