"""Writers are killed at random and run side by side: what was acknowledged is there, nothing is torn."""

import json
import os
import subprocess
import sys

import pytest

from grokscope.run import Run
from grokscope.run.files import TEMPORARY

# What a writer does, in a process of its own or in this one.
WRITE = """
from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run

def write(path, first, last, say=lambda number: None):
    run = Run.open(path)
    for number in range(first, last):
        key = CellKey("f" * 64, f"a:m{number}", 1, "{}", run.data_hash, run.noise_seed)
        run.store([Cell(key, number, (Row((), {"x": float(number)}),))])
        say(number)
"""
STORE = f"""
import sys
import h5py
from grokscope.run import segments
{WRITE}
segments.COMPACT_AT = 6
print("ready", flush=True)
write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), lambda number: print(number, flush=True))
"""
KILLED = f"""
import json, os, random, signal, sys, time
import h5py
from grokscope.run import segments
{WRITE}
segments.COMPACT_AT = 6
dice = random.Random(0)
for attempt in range(10):
    read, line = os.pipe()
    writer = os.fork()
    if not writer:
        first = 1000 * attempt
        write(sys.argv[1], first, first + 1000, lambda number: os.write(line, b"%d " % number))
    os.close(line)
    time.sleep(dice.uniform(0, 0.25))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    print(json.dumps([*map(int, os.fdopen(read, "rb").read().split())]), flush=True)
    sys.stdin.readline()
"""
SAVE = """
import json, os, random, signal, sys, time
import torch
from grokscope.run import Run
dice, acknowledged = random.Random(1), []
for _ in range(10):
    read, write = os.pipe()
    writer = os.fork()
    if not writer:
        run = Run.open(sys.argv[1])
        for number in range(run.steps[-1] + 1, 100_000):
            state = {"w": torch.full((100, 100), float(number))}
            run.save_checkpoint(number, state, {"train_loss": 1 / number})
            run.save_resume(state, {"step": str(number)})
            os.write(write, b"%d " % number)
    os.close(write)
    said = os.read(read, 1)  # on a busy machine a writer may need a second to begin
    time.sleep(dice.uniform(0, 0.1))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    acknowledged += map(int, (said + os.fdopen(read, "rb").read()).split())
print(json.dumps(acknowledged))
"""


def write(path, first, last):
    """Store as another writer would."""
    names = {}
    exec(WRITE, names)
    names["write"](path, first, last)


def started(run, first, last):
    command = [sys.executable, "-c", STORE, str(run.path), str(first), str(last)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "ready\n"
    return writer


def stored(run):
    return {cell.step: cell.rows[0].values["x"] for cell in Run.open(run.path).cells().values()}


def leftovers(run):
    return [path for path in run.path.rglob("*") if TEMPORARY.fullmatch(path.name)]


def test_results_survive_ten_kills(run):
    command, acknowledged = [sys.executable, "-c", KILLED, str(run.path)], set()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killing:
        for _ in range(10):
            acknowledged.update(json.loads(killing.stdout.readline()))
            found = stored(run)
            assert acknowledged <= found.keys()
            assert all(step == value for step, value in found.items())
            again = Run.open(run.path)
            assert (len(again.cells()), again.problems, again.conflicts) == (len(found), [], [])
            assert leftovers(run) == []
            killing.stdin.write("go on\n")
            killing.stdin.flush()
    assert killing.returncode == 0
    assert acknowledged


def test_checkpoints_survive_ten_kills(run):
    done = subprocess.run(
        [sys.executable, "-c", SAVE, str(run.path)], stdout=subprocess.PIPE, text=True, check=True
    )
    acknowledged = json.loads(done.stdout)
    again = Run.open(run.path)
    assert again.problems == []
    assert acknowledged
    assert set(acknowledged) <= set(again.steps)
    assert all(again.weights(step)["w"].eq(step).all() for step in again.steps[3:])
    tensors, words = again.load_resume()
    assert tensors["w"].eq(int(words["step"])).all()
    assert int(words["step"]) >= acknowledged[-1]
    assert leftovers(run) == []


def test_writers_side_by_side_lose_nothing(run):
    """Three writers, each compacting at six segments, two of them with the same results, and a reader."""
    writers = [started(run, first, first + 60) for first in (0, 0, 60)]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        now = len(stored(run))
        assert now >= seen
        seen = now
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for writer in writers:
        writer.stdout.close()
    again = Run.open(run.path)
    assert sorted(cell.step for cell in again.cells().values()) == list(range(120))
    assert (again.conflicts, again.problems) == ([], [])
    assert len(os.listdir(run.path / "results")) < 20


def test_a_segment_that_vanishes_while_it_is_read_is_looked_for_again(run, monkeypatch):
    write(run.path, 0, 3)
    reader = Run.open(run.path)
    load, compactor = type(reader._segments)._load, Run.open(run.path)._segments
    pending = [compactor.names()]

    def slow(self, name):
        while self is reader._segments and pending:
            compactor.compact(pending.pop())
        return load(self, name)

    monkeypatch.setattr(type(reader._segments), "_load", slow)
    assert len(reader.cells()) == 3
    assert reader.problems == []


def test_two_compactions_of_the_same_segments_lose_nothing(run):
    write(run.path, 0, 4)
    one, two = Run.open(run.path)._segments, Run.open(run.path)._segments
    names = one.names()
    one.read()
    two.read()
    one.compact(names)
    two.compact(names)
    assert len(one.names()) == 2
    one.compact(one.names())
    assert len(Run.open(run.path).cells()) == 4


def test_a_full_disk_during_compaction_loses_nothing(run, monkeypatch):
    write(run.path, 0, 4)
    segments = Run.open(run.path)._segments

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Exception, match="the disk is full"):
        segments.compact(segments.names())
    monkeypatch.undo()
    assert len(stored(run)) == 4
