"""With --watch, analyze, report and plot go on with what another process writes, as it comes."""

import signal
import subprocess
import sys

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


@pytest.fixture
def trainer(tmp_path, until):
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


def watching(command, run, *more):
    words = [sys.executable, "-m", "grokscope", command, run, "-m", "weight_norm", "--watch", *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.slow  # five processes that load torch
def test_what_comes_is_measured_until_the_recording_ends(trainer, tmp_path, until):
    run = tmp_path / "run"
    watchers = [
        watching("analyze", run, "--csv", tmp_path / "1.csv"),
        watching("report", run, "-o", tmp_path / "2.html"),
        watching("plot", run),
    ]
    until(lambda: measured_steps(run) == [0, 1])
    until((tmp_path / "2.html").exists)
    early = (tmp_path / "2.html").read_text()
    assert all(watcher.poll() is None for watcher in watchers)
    (tmp_path / "go1").touch()
    until(lambda: measured_steps(run) == [0, 1, 2])
    until(lambda: (tmp_path / "2.html").read_text() != early)
    (tmp_path / "go2").touch()
    (tmp_path / "go3").touch()
    outs = [watcher.communicate(timeout=120)[0] for watcher in watchers]
    assert [watcher.returncode for watcher in watchers] == [0, 0, 0]
    assert measured_steps(run) == [0, 1, 2, 3]
    assert len(Run.open(run)._segments.read()[1]) == 4, "something was computed twice"
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 5
    assert outs[2].count("weight_norm.l2_all") >= 2


@pytest.mark.slow
@pytest.mark.parametrize("command", ["analyze", "report", "plot"])
def test_ctrl_c_keeps_what_was_measured(command, trainer, tmp_path, until):
    watcher = watching(command, tmp_path / "run", *["-o", tmp_path / "a.html"] * (command == "report"))
    until(lambda: measured_steps(tmp_path / "run") == [0, 1])
    if command == "report":
        until((tmp_path / "a.html").exists)
    watcher.send_signal(signal.SIGINT)
    watcher.communicate(timeout=60)
    assert watcher.returncode == 130
    assert measured_steps(tmp_path / "run") == [0, 1]


@pytest.mark.parametrize("command", ["report", "plot"])
def test_pages_and_figures_are_made_anew_when_a_checkpoint_comes(cli, run_path, monkeypatch, command):
    """The last checkpoint comes while the command waits for it."""
    last = run_path / "checkpoints" / "00000060.safetensors"
    away = last.rename(run_path.parent / "last")
    page = run_path.parent / "page.html"
    seen = []

    def meanwhile(seconds):
        seen.append(page.read_bytes() if command == "report" else b"")
        away.rename(last)

    monkeypatch.setattr("grokscope.analysis.watching.time.sleep", meanwhile)
    ended = cli(command, run_path, "-m", "weight_norm", "--watch", *["-o", page] * (command == "report"))
    assert ended.code == 0, ended.err
    assert len(seen) == 1
    assert measured_steps(run_path)[-1] == 60
    if command == "report":
        assert page.read_bytes() != seen[0]
        assert ended.err.count("page.html: ") == 2
    else:
        assert ended.out.count("weight_norm.l2_all") == 2


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
