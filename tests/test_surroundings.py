"""What is global is put back after a plugin, whatever it set."""

import locale
import os
import random
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from grokscope import Run
from grokscope.surroundings import kept

SETS = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "threads": lambda: torch.set_num_threads(3),
    "seed": lambda: torch.manual_seed(7),
    "numpy's seed": lambda: np.random.seed(7),
    "numpy's generator": lambda: np.random.set_bit_generator(np.random.PCG64(1)),
    "random's seed": lambda: random.seed(7),
    "gradients": lambda: torch.set_grad_enabled(False),
    "determinism": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "denormals": lambda: torch.set_flush_denormal(True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "cudnn": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "numpy's errors": lambda: np.seterr(all="raise"),
    "warnings": lambda: warnings.simplefilter("error"),
    "directory": lambda: os.chdir("/"),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8"),
    "stdout": lambda: setattr(sys, "stdout", None),
    "a signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
}


def world():
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.empty(0).device,
        "threads": torch.get_num_threads(),
        "seed": torch.get_rng_state().tolist(),
        "numpy": [np.asarray(part).tobytes() for part in np.random.get_state(legacy=False)["state"].values()],
        "random": random.getstate(),
        "gradients": torch.is_grad_enabled(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "denormals": sys.float_info.min / 2,
        "anomalies": torch.is_anomaly_enabled(),
        "cudnn": torch.backends.cudnn.benchmark,
        "errors": np.geterr(),
        "warnings": list(warnings.filters),
        "directory": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "stdout": sys.stdout,
        "signal": signal.getsignal(signal.SIGTERM),
    }


@pytest.mark.parametrize("kind", SETS)
def test_what_a_plugin_sets_is_put_back(kind, capsys):
    before = world()
    with kept():
        SETS[kind]()
        inside = None if kind == "stdout" else world()
    assert inside != before
    assert world() == before


@pytest.mark.parametrize("kind", SETS)
def test_every_measure_finds_what_the_first_one_found(kind, run_path, plugin_of):
    from grokscope import analyze

    found = []

    def sets(weights):
        """Set."""
        SETS[kind]()
        return {"value": 1.0}

    def looks(weights):
        """Look."""
        found.append(world())
        return {"value": 1.0}

    before = world()
    assert not analyze(run_path, "looks,sets", steps="0,60", plugins=plugin_of(sets, looks)).failures
    assert found[0] == found[1]
    assert world() == before


IMPORTED = """
import os, random, warnings
import numpy, torch
torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
torch.set_num_threads(3)
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)
torch.set_flush_denormal(True)
torch.set_default_device("meta")
numpy.seterr(all="raise")
warnings.simplefilter("error")
os.chdir("/")
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("value", "a number")])
def one(weights):
    "One."
    return {"value": 1.0}

@hookimpl
def grokscope_measures():
    return [one]
"""


COMMAND = """
import sys
from grokscope.cli import main
try:
    main()
finally:
    print("torch._dynamo" in sys.modules)
"""


def test_training_has_the_same_weights_whatever_a_plugin_sets_at_import(stranger, tmp_path):
    """In a process that has no torch before, so that what it was must be known.

    Nor does training load torch._dynamo, which takes as long as torch itself.
    """
    arguments = ["train", "modadd", "--p", "7", "--hidden", "8", "--train-fraction", "0.5", "--steps", "20"]
    environment = stranger("meddler", IMPORTED)
    hashes = []
    for name, env in {"with": environment, "without": os.environ}.items():
        command = [sys.executable, "-c", COMMAND, *arguments, "-q", "--out", str(tmp_path / name)]
        ended = subprocess.run(command, env=env, check=True, capture_output=True, text=True, cwd=tmp_path)
        hashes.append([(info.step, info.sha256) for info in Run.open(tmp_path / name).checkpoints])
    assert hashes[0] == hashes[1]
    assert hashes[0][-1][0] == 20
    assert ended.stdout.split()[-1] == "False"
