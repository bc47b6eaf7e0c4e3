"""`analyze --watch` measures what another process writes, as it comes."""

import signal
import subprocess
import sys
import time

import pytest

from grokscope import Run
from grokscope.analysis.watching import Watch
from grokscope.run.holding import by_turns, hold, is_written

TRAINER = """
import sys, torch, grokscope
from pathlib import Path

folder = Path(sys.argv[1])
network = torch.nn.Linear(3, 2)
data = torch.randn(8, 3), torch.arange(8) % 2
with grokscope.record(folder / "run", model=network, train=data, test=data, checkpoint_every="1") as recorder:
    for step in range(1, 4):
        with torch.no_grad():
            network.weight += 0.1
        recorder.step(step)
        (folder / f"at{step}").touch()
        while not (folder / f"go{step}").exists():
            import time; time.sleep(0.02)
"""


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture
def trainer(tmp_path):
    """A process that records a run step by step: it goes on when a file `goN` appears."""
    process = subprocess.Popen([sys.executable, "-c", TRAINER, tmp_path])
    until((tmp_path / "at1").exists)
    yield process
    for step in (1, 2, 3):
        (tmp_path / f"go{step}").touch()
    process.wait(60)


def measured_steps(path):
    steps = {info.sha256: info.step for info in Run.open(path).checkpoints}
    return sorted(steps[key.checkpoint] for key in Run.open(path).cells())


@pytest.mark.slow  # four processes that load torch
def test_what_comes_is_measured_until_the_recording_ends(trainer, tmp_path):
    command = [sys.executable, "-m", "grokscope", "analyze", tmp_path / "run", "-m", "weight_norm", "--watch"]
    watchers = [
        subprocess.Popen(
            [*command, "--csv", tmp_path / f"{n}.csv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for n in (1, 2)
    ]
    until(lambda: measured_steps(tmp_path / "run") == [0, 1])
    assert all(watcher.poll() is None for watcher in watchers)
    (tmp_path / "go1").touch()
    until(lambda: measured_steps(tmp_path / "run") == [0, 1, 2])
    (tmp_path / "go2").touch()
    (tmp_path / "go3").touch()
    for watcher in watchers:
        assert watcher.wait(120) == 0
    assert measured_steps(tmp_path / "run") == [0, 1, 2, 3]
    assert (tmp_path / "1.csv").read_text() == (tmp_path / "2.csv").read_text()
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured(trainer, tmp_path):
    command = [sys.executable, "-m", "grokscope", "analyze", tmp_path / "run", "-m", "weight_norm", "--watch"]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: measured_steps(tmp_path / "run") == [0, 1])
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(60) == 130
    assert measured_steps(tmp_path / "run") == [0, 1]


def test_a_run_that_has_ended_is_looked_at_once(run_path):
    watch = Watch([run_path], pause=0)
    assert watch.look()
    assert not watch.look()


def test_an_unfinished_run_is_waited_for(run_path):
    last = run_path / "checkpoints" / "00000060.safetensors"
    away = last.rename(run_path.parent / "last")
    watch = Watch([run_path], pause=0)
    assert watch.look()
    away.rename(last)
    assert watch.look()
    assert not watch.look()


def test_locks_end_with_who_holds_them_and_turns_are_taken(run_path):
    assert not is_written(run_path)
    held = hold(run_path / "checkpoints", alone=False)
    assert is_written(run_path)
    held.release()
    held.release()
    assert not is_written(run_path)
    with by_turns([run_path]):
        assert hold(run_path / "run.toml", alone=True, wait=False) is None
    assert hold(run_path / "run.toml", alone=True, wait=False)
