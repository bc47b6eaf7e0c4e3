"""A linked checkpoint is the foreign file itself, believed while it is the one in the table."""

import json
import os
import re
import shutil

import pytest
from safetensors.torch import save_file

from grokscope import Run
from grokscope.errors import (
    DamagedFile,
    StorageError,
)


@pytest.fixture
def linked(states, bring, tmp_path):
    """Four safetensors files, and the run that links them."""
    for step, weights in states.items():
        save_file(weights, tmp_path / f"{step}.safetensors")
    return bring(link=True)


def test_a_link_is_the_file_itself(linked, tmp_path):
    for step in linked.steps:
        inside, outside = (
            linked.path / f"checkpoints/{step:08d}.safetensors",
            tmp_path / f"{step}.safetensors",
        )
        assert inside.samefile(outside)
        assert not inside.is_symlink()
    shutil.copytree(linked.path, tmp_path / "elsewhere")
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    moved = Run.open(tmp_path / "elsewhere")
    assert moved.checkpoints == linked.checkpoints
    assert moved.weights(60).keys() == linked.weights(60).keys()


def test_a_source_that_is_changed_in_place_is_noticed(linked, tmp_path):
    data = bytearray((tmp_path / "20.safetensors").read_bytes())
    data[-1] ^= 1
    with open(tmp_path / "20.safetensors", "r+b") as file:
        file.write(data)
    run = Run.open(linked.path)
    assert run.steps == (0, 40, 60)
    assert re.search(r"20\.safetensors is damaged, or 20\.safetensors was changed after", run.problems[0])
    with pytest.raises(DamagedFile, match="sha256 is not the recorded one"):
        linked.weights(20)


def test_a_foreign_file_that_the_table_does_not_have_is_refused(linked, states, bring, tmp_path):
    shutil.copy(tmp_path / "20.safetensors", linked.path / "checkpoints/00000030.safetensors")
    run = Run.open(linked.path)
    assert run.steps == (0, 20, 40, 60)
    assert "00000030.safetensors is foreign" in run.problems[0]
    copied = bring(out="copied")
    shutil.copy(tmp_path / "20.safetensors", copied.path / "checkpoints/00000020.safetensors")
    assert Run.open(copied.path).steps == (0, 40, 60)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table["checkpoints"][1].update(sha256="0" * 64),
        lambda table: table["checkpoints"][1]["metrics"].update(test_loss="0.0"),
        lambda table: table["checkpoints"][1].update(metrics=[]),
        lambda table: table["checkpoints"].pop(),
        lambda table: table.update(format=1),
        lambda table: table.update(format=3),
        lambda table: table["kinds"].update(buffers=table["kinds"]["parameters"], parameters="[]"),
        lambda table: table.clear(),
    ],
)
def test_a_changed_table_is_not_believed(linked, change):
    path = linked.path / "imported.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))
    (linked.path / "index.h5").unlink()
    run = Run.open(linked.path)
    assert run.steps == ()
    assert any("imported.json is damaged" in problem for problem in run.problems)


def test_where_the_file_system_does_not_link(states, bring, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    save_file(states[0], tmp_path / "0.safetensors")
    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageError, match="Invalid cross-device link; leave `link` out to copy it"):
        bring(link=True)
    assert os.listdir(tmp_path / "imported/checkpoints") == []


def test_a_link_s_source_may_be_a_symbolic_link(states, bring, tmp_path):
    (tmp_path / "store").mkdir()
    save_file(states[0], tmp_path / "store/blob.safetensors")
    (tmp_path / "0.safetensors").symlink_to(tmp_path / "store/blob.safetensors")
    run = bring(link=True)
    assert (run.path / "checkpoints/00000000.safetensors").samefile(tmp_path / "store/blob.safetensors")
    assert Run.open(run.path).steps == (0,)
