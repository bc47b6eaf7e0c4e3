"""The script for CUDA machines runs: here it compares the CPU with itself, and finds no difference."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("gpu.sh")


@pytest.mark.slow
def test_the_cpu_agrees_with_itself(tmp_path):
    kept = tmp_path / "kept.json"
    command = ["sh", str(SCRIPT), "cpu", "--quick", "--keep", str(kept)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(kept.read_text())
    assert {"clauw", "nanda", "parity"} <= {row["recipe"] for row in found["training"]}
    assert {row["apart"] for row in found["training"]} == {0.0}
    assert all(row["apart"] < 1e-2 and row["together"] > 0 for row in found["seeds"])
    assert [row["differ"] for row in found["measures"]] == [{}, {}]
    assert all(row["columns"] > 20 for row in found["measures"])
