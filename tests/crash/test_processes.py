"""SIGKILL of whole processes at random moments: nothing is lost or torn, the same command finishes."""

import hashlib
import random
import signal
import subprocess
import sys
import time

import pytest

from grokscope import Run

pytestmark = pytest.mark.crash
KILLS = 10
SEED = 20240611
TRAIN = (
    "--p",
    "17",
    "--hidden",
    "32",
    "--train-fraction",
    "0.5",
    "--steps",
    "2500",
    "--checkpoint-every",
    "5",
)


def files(folder):
    """Every finished file under `folder` by name, with the hash of its bytes."""
    found = {}
    for path in folder.rglob("*"):
        if path.name.endswith((".safetensors", ".h5")) and path.name not in (
            "resume.safetensors",
            "index.h5",
        ):
            try:
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
            except FileNotFoundError:
                continue  # compacted or renamed while we looked
    return found


def kill_once(command, folder, moment):
    """Start the command, wait until it has written something, and kill it `moment` seconds later.

    Returns what stood there before the kill, or None when the command ended by itself.
    """
    before = files(folder)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while process.poll() is None and files(folder).keys() <= before.keys():
            time.sleep(0.005)
        time.sleep(moment)
        there = files(folder)
        ended = process.poll() is not None
        process.send_signal(signal.SIGKILL)
    finally:
        process.wait()
        process.stderr.close()
    return None if ended else there


def grokscope(*arguments):
    return [sys.executable, "-m", "grokscope", *map(str, arguments)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run(grokscope("train", "modadd", *TRAIN, "--out", path), check=True, capture_output=True)
    return path


def test_train_survives_kill(tmp_path, whole):
    path = tmp_path / "run"
    command = grokscope("train", "modadd", *TRAIN, "--out", path)
    chance = random.Random(SEED)
    kills = 0
    for _ in range(KILLS):
        there = kill_once(command, path, chance.uniform(0, 0.12))
        if there is None:
            break
        kills += 1
        after = files(path)
        assert {name: after.get(name) for name in there} == there
        run = Run.open(path)
        assert not run.problems
        assert len(run.steps) >= len([name for name in there if name.suffix == ".safetensors"])
    assert kills == KILLS, "the run ended before it was killed often enough; give it more steps"
    subprocess.run(command, check=True, capture_output=True)
    finished, uninterrupted = Run.open(path), Run.open(whole)
    assert [c.sha256 for c in finished.checkpoints] == [c.sha256 for c in uninterrupted.checkpoints]
    assert not list(path.rglob("*.tmp"))


def test_analyze_survives_kill(whole):
    chance = random.Random(SEED)
    for kill in range(KILLS):
        # Another parameter each time, so that there is always work left to be killed in.
        settings = (
            "--set",
            f"matrix_information.alpha={2 + kill}",
            "--set",
            "matrix_information.batch_size=50",
        )
        command = grokscope(
            "analyze", whole, "--measure", "pe,pmi,mid", *settings, "--workers", "1", "--quiet"
        )
        stored = Run.open(whole).cells()
        there = kill_once(command, whole / "results", chance.uniform(0, 1))
        assert there is not None, "the analysis ended before it was killed; give it more to do"
        run = Run.open(whole)
        now = run.cells()
        assert not run.problems
        assert not run.conflicts
        assert stored.keys() < now.keys()
        assert {name for name in there if name.exists()} == set(there)
    done = subprocess.run([*command, "--csv", "-"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1 + len(Run.open(whole).checkpoints)
    mine = [key for key in Run.open(whole).cells() if f'"alpha":{2.0 + kill}' in key.parameters]
    assert len(mine) == 3 * len(Run.open(whole).checkpoints)
