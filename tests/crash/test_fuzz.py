"""A run is written, killed, damaged and opened again in any order: what is whole is there, and only that."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run, segments
from grokscope.run.files import TEMPORARY
from grokscope.run.verify import verify_run

CONFIG = {
    "recipe": "clauw",
    "task": {"name": "modadd", "p": 13},
    "model": {"name": "mlp", "hidden": [4]},
    "training": {"seed": 3, "lr": 0.03},
}
LEARNED = {"train_loss": 0.25, "test_loss": 4.5, "train_accuracy": 1.0, "test_accuracy": 0.125}
CALLS = ("open", "write", "fsync", "close", "replace", "mkdir", "unlink")
STEPS = st.integers(0, 9)
FOREIGN = {"mine.txt": b"mine", "results/mine.h5": b"mine", "checkpoints/1.safetensors": b"mine"}


class Killed(BaseException):
    """The process is gone: from here on nothing reaches the disk, no cleaning up either."""


def killed_at(number):
    """Let the calls of the process through until the `number`-th, and none after it."""
    left = [number]

    def stand_before(call):
        def act(*arguments, **more):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*arguments, **more)

        return act

    return mock.patch.multiple(os, **{name: stand_before(getattr(os, name)) for name in CALLS})


class Store(RuleBasedStateMachine):
    """A run directory, and beside it what must be in it."""

    @initialize()
    def make(self):
        self.folder = Path(tempfile.mkdtemp())
        self.run = Run.create(self.folder / "run", CONFIG)
        for name, data in FOREIGN.items():
            (self.path / name).write_bytes(data)
        self.steps = {}  # step: the sha256 of what was saved and not damaged since
        self.cells = set()  # the keys of what was stored; in which file says only the disk
        self.number = 0
        self.damaged = False
        self.spoiled = set()  # steps whose file is there, but not as it was written

    @property
    def path(self):
        return self.folder / "run"

    def teardown(self):
        shutil.rmtree(self.folder)

    def save(self, step):
        self.run.save_checkpoint(step, {"w": torch.full((3,), float(step))}, LEARNED)

    @rule(step=STEPS)
    def save_checkpoint(self, step):
        self.save(step)
        self.steps[step] = float(step)
        self.spoiled.discard(step)

    @rule(step=STEPS, at=st.integers(0, 8))
    def save_and_be_killed(self, step, at):
        with suppress(Killed), killed_at(at):
            self.save(step)
        self.die()
        if step in self.run.steps:  # it was in when it was killed; what is there must be whole
            self.steps[step] = float(step)
            self.spoiled.discard(step)

    def new_cells(self, many):
        for _ in range(many):
            self.number += 1
            of = self.run.checkpoints[self.number % len(self.run.checkpoints)]
            text = f'{{"n":{self.number}}}'
            key = CellKey(of.sha256, "a:m", 1, text, self.run.data_hash, self.run.noise_seed)
            yield Cell(key, of.step, (Row((), {"x": float(self.number)}),))

    @precondition(lambda self: self.run.steps)
    @rule(many=st.integers(1, 3))
    def store(self, many):
        cells = list(self.new_cells(many))
        self.run.store(cells)
        self.cells |= {cell.key for cell in cells}

    @precondition(lambda self: self.run.steps)
    @rule(at=st.integers(0, 30))
    def store_and_be_killed(self, at):
        cells = list(self.new_cells(1))
        with suppress(Killed), killed_at(at):
            self.run.store(cells)
        self.die()

    @rule()
    def refresh(self):
        self.run.refresh_index()

    @rule(at=st.integers(0, 8))
    def refresh_and_be_killed(self, at):
        with suppress(Killed), killed_at(at):
            self.run.refresh_index()
        self.die()

    def die(self):
        """The process that wrote is no more: give its temporary files the name of one that has ended."""
        for path in self.path.rglob("*"):
            found = TEMPORARY.fullmatch(path.name)
            if found:
                path.rename(path.with_name(path.name.replace(f"-{found['start']}-", "-1-")))
        self.open()

    def files(self):
        """What damage may be done to."""
        checkpoints = [self.path / f"checkpoints/{step:08d}.safetensors" for step in self.steps]
        stored = [path for path in (self.path / "results").iterdir() if segments.NAME.fullmatch(path.name)]
        found = [*checkpoints, *sorted(stored), self.path / "index.h5"]
        return [path for path in found if path.is_file() and not path.is_symlink()]

    @precondition(lambda self: self.files())
    @rule(
        which=st.integers(0, 99),
        kind=st.sampled_from(["flip", "cut", "empty", "delete", "grow", "link"]),
        share=st.integers(0, 999),
    )
    def damage(self, which, kind, share):
        path = self.files()[which % len(self.files())]
        whole = path.read_bytes()
        at = len(whole) * share // 1000
        self.forget(path, whole, kind)
        self.damaged = True
        if kind == "delete":
            path.unlink()
        elif kind == "link":
            elsewhere = self.folder / f"elsewhere-{path.name}"
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
        else:
            changed = {
                "flip": whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] if whole else b"x",
                "cut": whole[:at],
                "empty": b"",
                "grow": whole + b"\0",
            }
            path.write_bytes(changed[kind])
            os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))  # a change is later than the file
        self.open()

    def forget(self, path, whole, kind):
        """What the damaged file alone held need no longer be there."""
        if path.parent.name == "checkpoints" and kind != "link":
            del self.steps[int(path.stem)]
            if kind != "delete":
                self.spoiled.add(int(path.stem))
        elif path.parent.name == "results":
            elsewhere = [
                cell.key
                for other in self.files()
                if other.parent == path.parent and other != path
                for cell in segments.believed(other.read_bytes(), other)
            ]
            for cell in segments.believed(whole, path):
                if cell.key not in elsewhere:
                    self.cells.discard(cell.key)

    @rule()
    def open(self):
        self.run = Run.open(self.path)

    @invariant()
    def what_is_whole_is_there_and_only_that(self):
        if not hasattr(self, "run"):
            return
        run = Run.open(self.path)
        assert set(run.steps) == set(self.steps)
        for step, value in self.steps.items():
            assert run.weights(step)["w"].eq(value).all()
        found = run.cells()
        assert found.keys() >= self.cells
        for key, cell in found.items():
            assert cell.rows[0].values == {"x": float(json.loads(key.parameters)["n"])}
        assert run.conflicts == []
        self.verified()
        for name, data in FOREIGN.items():
            assert (self.path / name).read_bytes() == data
        assert not [path for path in self.path.rglob("*") if TEMPORARY.fullmatch(path.name)]

    def verified(self):
        """`verify` is silent about a run that was only killed, and is not about one that was damaged."""
        Run.open(self.path).refresh_index()
        found = [finding for finding in verify_run(self.path) if finding.file not in FOREIGN]
        assert not found or self.damaged
        lost = {f"checkpoints/{step:08d}.safetensors" for step in self.spoiled}
        assert lost <= {finding.file for finding in found}


def fuzz(monkeypatch, examples, steps, phases=(Phase.generate,)):
    monkeypatch.setattr(segments, "COMPACT_AT", 4)
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=phases,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_few_courses(monkeypatch):
    fuzz(monkeypatch, examples=6, steps=12)


@pytest.mark.crash
def test_many_courses(monkeypatch):
    fuzz(monkeypatch, examples=150, steps=25, phases=(Phase.generate, Phase.shrink))
