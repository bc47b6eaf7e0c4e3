"""A run as its users see it: made, found again, listed, damaged, read-only."""

import json
import math
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch

from grokscope.errors import DamagedFile, RunError, StorageError, UnknownName
from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run, first_step_staying_above
from grokscope.run.segments import believed


def cell(run, step=0, value=1.0, measure="a:b"):
    info = next(i for i in run.checkpoints if i.step == step)
    key = CellKey(info.sha256, measure, 1, "{}", run.data_hash, run.noise_seed)
    return Cell(key, step, (Row(("layer",), {"x": value}, {"v": np.arange(3.0)}),))


def flip(path, position=-1):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def listing(path):
    return {str(file): file.stat().st_mtime_ns for file in path.rglob("*")}


def test_a_run_is_found_again(run, config):
    again = Run.create(run.path, config)
    assert again.config == run.config
    assert again.config["training"] == {"seed": 3, "lr": 0.03, "clip": None}
    assert again.config["model"]["hidden"] == [4]
    assert again.steps == (0, 10, 20)
    assert (again.id, again.name, again.seed) == (run.id, "run", 3)
    Run.create(run.path, {**config, "recipe": "only a name"})


@pytest.mark.parametrize(
    ("table", "setting", "words"),
    [
        ("training", {"seed": 4}, "training.seed is 3 there and 4 here"),
        ("training", {"clip": 0.5}, "training.clip is None there and 0.5 here"),
        ("task", {"p": 17}, "task.p is 13 there and 17 here"),
        ("model", {"hidden": (4, 4)}, "model.hidden"),
    ],
)
def test_another_configuration_is_refused_and_nothing_touched(run, config, table, setting, words):
    before = listing(run.path)
    with pytest.raises(RunError, match=words):
        Run.create(run.path, {**config, table: {**config[table], **setting}})
    assert listing(run.path) == before


def test_checkpoints_come_back(run):
    again = Run.open(run.path)
    assert again.checkpoints == run.checkpoints
    assert [i.file for i in again.checkpoints][-1] == "checkpoints/00000020.safetensors"
    assert again.checkpoints[0].test_loss == 4.5
    assert again.weights(20)["a"].eq(20).all()
    assert again.weights(20)["b"].dtype == torch.float64
    with pytest.raises(UnknownName, match="10"):
        again.weights(11)
    assert again.problems == []


def test_saving_the_same_again_writes_nothing(run):
    before = listing(run.path)
    weights = run.weights(0)
    metrics = {"train_loss": 0.25, "test_loss": 4.5, "train_accuracy": 1.0, "test_accuracy": 0.125}
    run.save_checkpoint(0, weights, metrics)
    assert listing(run.path) == before
    run.save_checkpoint(0, {**weights, "a": weights["a"] + 1}, metrics)
    assert listing(run.path) != before
    assert run.weights(0)["a"].eq(1).all()


def test_metrics_need_not_be_finite_or_known(run):
    run.save_checkpoint(
        30, {}, {"train_loss": math.inf, "train_accuracy": 0.5}, {"step": [25], "test_loss": [math.nan]}
    )
    info = Run.open(run.path).checkpoints[-1]
    assert (info.train_loss, info.train_accuracy) == (math.inf, 0.5)
    assert math.isnan(info.test_accuracy)
    with pytest.raises(ValueError, match="margin"):
        run.save_checkpoint(40, {}, {"margin": 1.0})
    with pytest.raises(ValueError, match="within 0"):
        run.save_checkpoint(100_000_000, {}, {})


@pytest.mark.parametrize("with_index", [True, False])
def test_curves_are_the_same_with_and_without_index(run, with_index):
    run.refresh_index()
    if not with_index:
        (run.path / "index.h5").unlink()
    curves = Run.open(run.path).curves
    assert curves["step"].tolist() == [0, 5, 10, 15, 20]
    assert curves["train_accuracy"].tolist() == [1.0] * 5
    assert curves["step"].dtype == np.int64


def test_a_long_curve_is_thinned_and_keeps_its_end(run):
    steps = list(range(21, 20_021))
    run.save_checkpoint(20_020, {}, {}, {"step": steps, "train_loss": [0.1234567890123] * len(steps)})
    curves = Run.open(run.path).curves
    assert 3000 < len(curves["step"]) < 5000
    assert curves["step"][-1] == 20_020


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([0, 0.95, 1, 1], 10),
        ([1, 1, 0, 1], None),
        ([1, 1, 1, 0], 0),
        ([1, 1, math.nan, 1], None),
        ([0, 1, 1], None),
        ([], None),
    ],
)
def test_the_first_step_staying_above(values, step):
    assert first_step_staying_above([0, 10, 20, 30][: len(values)], values, 0.95) == step


def test_memorisation_and_grokking(run):
    assert (run.memorisation_step(), run.grokking_step(), run.grokking_step(0.125)) == (0, None, 0)


@pytest.mark.parametrize("refresh", [True, False])
def test_a_flipped_bit_of_a_checkpoint_is_named(run, refresh):
    if refresh:
        run.refresh_index()
    path = run.path / "checkpoints/00000010.safetensors"
    data, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    for bit in range(0, 8 * len(data), 7 if refresh else 61):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        os.utime(path, ns=times)
        if refresh:
            with pytest.raises(DamagedFile, match="00000010"):
                run.weights(10)
        else:
            again = Run.open(run.path)
            assert again.steps == (0, 20)
            assert "00000010" in again.problems[0]


def test_damaged_and_foreign_checkpoints_are_named_and_the_rest_goes_on(run, config, tmp_path):
    folder = run.path / "checkpoints"
    other = Run.create(tmp_path / "other", {**config, "training": {"seed": 9}})
    other.save_checkpoint(30, run.weights(0), {})
    (folder / "00000030.safetensors").write_bytes(
        (other.path / "checkpoints/00000030.safetensors").read_bytes()
    )
    (folder / "00000040.safetensors").write_bytes((folder / "00000010.safetensors").read_bytes())
    (folder / "00000010.safetensors").write_bytes((folder / "00000010.safetensors").read_bytes()[:-1])
    (folder / "00000050.safetensors").mkdir()
    (folder / "best.safetensors").write_bytes(b"mine")
    (folder / "00000060.safetensors").symlink_to(other.path / "checkpoints/00000030.safetensors")
    again = Run.open(run.path)
    assert again.steps == (0, 20)
    assert [text.split(".safetensors")[0][-8:] for text in again.problems] == [
        "00000010",
        "00000030",
        "00000040",
        "00000050",
        "00000060",
    ]
    assert [remark for remark in again.remarks if "best.safetensors is left out" in remark] == again.remarks
    assert "truncated" in again.problems[0]
    assert "foreign: its run must be" in again.problems[1]
    assert "foreign: its step must be 40, got 10" in again.problems[2]


def test_a_linked_folder_is_refused(run, tmp_path):
    (run.path / "results").rmdir()
    (tmp_path / "elsewhere").mkdir()
    (run.path / "results").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="must not be a link"):
        Run.open(run.path)


def test_resume_comes_back(run):
    assert run.load_resume() is None
    run.save_resume({"a": torch.ones(2)}, {"step": "20", "threads": "1"})
    run.save_resume({"a": torch.zeros(2)}, {"step": "30", "threads": "1"})
    tensors, words = Run.open(run.path).load_resume()
    assert tensors["a"].eq(0).all()
    assert words == {"step": "30", "threads": "1"}
    flip(run.path / "resume.safetensors")
    with pytest.raises(DamagedFile, match=r"resume\.safetensors is damaged"):
        run.load_resume()


def test_results_come_back_from_segments_and_the_index_shows_them(run):
    run.store([cell(run, 0), cell(run, 10)])
    run.store([cell(run, 20, math.nan), Cell(CellKey("f" * 64, "a:c", 1, "{}", "d", "n"), 5, (), "no")])
    found = Run.open(run.path).cells()
    assert len(found) == 4
    assert Run.open(run.path).refresh_index() == ""
    again = Run.open(run.path)
    assert again._read_index().segments == run._segments.names()
    assert again.cells().keys() == found.keys()
    assert again.cells()[cell(run, 10).key].rows[0].arrays["v"].tolist() == [0, 1, 2]
    again.store([cell(run, 10, measure="a:d")])
    assert len(again.cells()) == 5
    assert len(run.cells()) == 5


def test_what_the_user_deletes_does_not_come_back(run):
    run.store([cell(run, 0)])
    run.store([cell(run, 10)])
    run.refresh_index()
    sorted((run.path / "results").glob("*.h5"))[0].unlink()
    assert len(Run.open(run.path).cells()) == 1


def test_differing_results_are_kept_and_reported(run):
    run.store([cell(run, 0, 1.0), cell(run, 10)])
    run.store([cell(run, 0, 1.0)])
    assert run.conflicts == []
    run.store([cell(run, 0, 2.0)])
    for _ in range(2):
        again = Run.open(run.path)
        assert len(again.cells()) == 2
        assert again.conflicts == [
            "a:b with {} at step 0 has differing results: the measure is not deterministic"
        ]
        again.refresh_index()
    again._segments.compact(again._segments.names())
    assert len(os.listdir(run.path / "results")) == 1
    assert len(Run.open(run.path).conflicts) == 1


def test_a_damaged_segment_is_quarantined_and_named(run):
    run.store([cell(run, 0)])
    run.store([cell(run, 10)])
    bad = sorted((run.path / "results").glob("*.h5"))[0]
    flip(bad, 100)
    (run.path / "results" / "notes.h5").write_bytes(b"mine")
    again = Run.open(run.path)
    assert len(again.cells()) == 1
    assert again.problems == [
        f"{bad} is damaged: its bytes must have the sha256 in its name; "
        "it was moved to results/quarantine, its results are computed again"
    ]
    assert os.listdir(run.path / "results/quarantine") == [bad.name]
    assert (run.path / "results/notes.h5").exists()
    assert Run.open(run.path).problems == []


def test_every_flipped_bit_of_a_segment_is_noticed(run):
    run.store([cell(run, 0)])
    (path,) = (run.path / "results").glob("*.h5")
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DamagedFile):
            believed(flipped, path)
    assert len(believed(data, path)) == 1


def test_many_segments_become_few(run):
    for number in range(150):
        run.store([cell(run, 0, float(number), f"a:m{number}")])
    assert len(list((run.path / "results").glob("*.h5"))) < 64
    assert len(Run.open(run.path).cells()) == 150


def test_the_index_is_there_from_the_start_and_rebuilt_once(run):
    assert run.refresh_index() == ""
    path = run.path / "index.h5"
    for damage, word in [
        (path.unlink, "missing"),
        (lambda: path.write_bytes(path.read_bytes()[:500]), "changed or damaged"),
        (lambda: path.write_bytes(b"text"), "changed or damaged"),
    ]:
        damage()
        again = Run.open(run.path)
        assert again.steps == (0, 10, 20)
        assert again.refresh_index() == (
            f"index.h5 was {word}; it was rebuilt from the checkpoints and results"
        )
        assert again.refresh_index() == ""
        assert Run.open(run.path).refresh_index() == ""


def test_a_fresh_index_is_not_written_again(run):
    run.save_checkpoint(30, {}, {})
    run.store([cell(run, 0)])
    run.refresh_index()
    before = listing(run.path)
    again = Run.open(run.path)
    assert again.refresh_index() == ""
    assert again.steps == (0, 10, 20, 30)
    assert listing(run.path) == before


def test_a_stale_index_is_not_believed(run):
    run.refresh_index()
    folder = run.path / "checkpoints"
    (folder / "00000010.safetensors").unlink()
    flip(folder / "00000020.safetensors")
    assert Run.open(run.path).steps == (0,)


def test_a_malicious_index_is_refused_and_rebuilt(run, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["checkpoints"] = [1]
    with h5py.File(run.path / "index.h5", "w") as file:
        file.attrs["format"] = 1
        for name in ("checkpoints", "curves", "segments", "results"):
            file[name] = h5py.ExternalLink(tmp_path / "secret.h5", "/checkpoints")
    again = Run.open(run.path)
    assert again.steps == (0, 10, 20)
    assert again.refresh_index() == ""
    with h5py.File(run.path / "index.h5") as file:
        assert file["checkpoints"].shape == (3,)


@pytest.mark.parametrize("apart", [101, pytest.param(23, marks=pytest.mark.crash)])
def test_a_flipped_bit_in_the_index_never_changes_an_answer(run, apart):
    run.store([cell(run, 0)])
    run.refresh_index()
    path = run.path / "index.h5"
    data = path.read_bytes()
    truth = run.checkpoints, run.curves["step"].tolist(), list(run.cells())
    for byte in range(0, len(data), apart):
        flipped = bytearray(data)
        flipped[byte] ^= 1 << byte % 8
        path.write_bytes(flipped)
        again = Run.open(run.path)
        assert (again.checkpoints, again.curves["step"].tolist(), list(again.cells())) == truth


def test_h5py_opens_the_index(run):
    run.store([cell(run, 0)])
    run.refresh_index()
    with h5py.File(run.path / "index.h5") as file:
        assert file["checkpoints"]["step"].tolist() == [0, 10, 20]
        assert file["curves"]["step"].tolist() == [5, 15]
        assert file["results/rows"]["column"].tolist() == [b"x", b"v"]
        assert file.attrs["run"] == run.id
        (array,) = file["results/arrays"].values()
        assert array[0].tolist() == [0, 1, 2]


@pytest.fixture
def read_only(run, monkeypatch):
    run.store([cell(run, 0)])
    (run.path / "index.h5").unlink()
    monkeypatch.setattr(os, "access", lambda *_args, **_kwargs: False)
    return Run.open(run.path)


def test_on_read_only_ground_everything_is_read_and_nothing_written(read_only):
    (segment,) = (read_only.path / "results").glob("*.h5")
    segment.with_name("0" * 64 + ".h5").write_bytes(b"damaged")
    before = listing(read_only.path)
    assert read_only.steps == (0, 10, 20)
    assert len(read_only.cells()) == 1
    assert read_only.refresh_index() == ""
    assert read_only.weights(10)["a"].eq(10).all()
    assert len(read_only.problems) == 1
    assert listing(read_only.path) == before


def test_on_read_only_ground_writing_is_one_sentence(read_only):
    for act in (
        lambda: read_only.store([cell(read_only, 0, 2.0)]),
        lambda: read_only.save_checkpoint(30, {}, {}),
        lambda: read_only.save_resume({}, {}),
    ):
        with pytest.raises(StorageError, match="is read-only"):
            act()


def test_an_index_that_cannot_be_written_is_no_failure(run, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    run.store([cell(run, 0)])
    monkeypatch.setattr(os, "write", full)
    assert "the disk is full" in run.refresh_index()
    assert len(run.cells()) == 1
    with pytest.raises(StorageError, match="the disk is full"):
        run.store([cell(run, 10)])
    with pytest.raises(StorageError, match="the disk is full"):
        run.save_checkpoint(30, {}, {})
    monkeypatch.undo()
    assert run.steps == (0, 10, 20)
    assert run.refresh_index() == ""


def test_listing_and_results_import_no_torch(run):
    run.store([cell(run, 0)])
    code = f"""
import json, sys
import grokscope.run
light = [name for name in ("torch", "numpy", "h5py", "safetensors") if name in sys.modules]
run = grokscope.run.Run.open({str(run.path)!r})
run.checkpoints, run.curves, run.cells(), run.refresh_index(), run.grokking_step()
run.problems, run.conflicts
print(json.dumps([light, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], False]
