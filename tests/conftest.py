"""What many tests stand on: a small trained run, and the command line called in this process."""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before torch is first imported: one thread, as grokscope itself computes; also for every subprocess.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = {
    "task.p": 13,
    "task.train_fraction": 0.5,
    "model.hidden": [24],
    "training.steps": 60,
    "training.checkpoint_every": "10",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run of a small network; never written to by a test."""
    from grokscope import train

    return train("modadd", settings=SMALL, out=tmp_path_factory.mktemp("trained") / "run").path


@pytest.fixture
def run_path(trained, tmp_path):
    """A copy of the trained run that a test may do anything to."""
    return shutil.copytree(trained, tmp_path / "run")


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd, monkeypatch):
    """Call the command line: `cli("show", path)` returns its exit code, stdout and stderr."""

    def call(*arguments):
        from grokscope.cli import main

        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["grokscope", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def hostile():
    """The builders of hostile files, tests/hostile.py."""
    path = Path(__file__).parent / "hostile.py"
    spec = importlib.util.spec_from_file_location("hostile", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stranger(tmp_path):
    """Make a plugin of one file; `stranger("noisy", source)` is the environment of processes that find it."""

    def install(name, source):
        site = tmp_path / "site"
        metadata = site / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[grokscope]\n{name} = {name}\n")
        (site / f"{name}.py").write_text(source)
        return {**os.environ, "PYTHONPATH": str(site)}

    return install
