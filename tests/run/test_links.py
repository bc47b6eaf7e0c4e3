"""A checkpoint may be a link to a file; a folder and what is written may not; what is left out is said."""

import os

import pytest

from grokscope import train
from grokscope.errors import DamagedFile, RunError, StorageError
from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run

NAME = "checkpoints/00000010.safetensors"


@pytest.fixture
def linked(run, tmp_path):
    """The run with its checkpoint at 10 moved away and linked to, as DVC and git-annex do."""
    os.rename(run.path / NAME, tmp_path / "blob")
    (run.path / NAME).symlink_to(tmp_path / "blob")
    return Run.open(run.path)


def result(run, step=0):
    info = next(info for info in run.checkpoints if info.step == step)
    return Cell(
        CellKey(info.sha256, "a:b", 1, "{}", run.data_hash, run.noise_seed), step, (Row((), {"x": 1.0}),)
    )


def test_a_linked_checkpoint_is_one_like_the_others(run, linked):
    assert linked.checkpoints == run.checkpoints
    assert linked.problems == []
    assert linked.weights(10)["a"].eq(10).all()
    assert linked.refresh_index() == ""
    assert Run.open(run.path).checkpoints == run.checkpoints


def test_a_linked_checkpoint_that_is_saved_again_stays_a_link(run, linked):
    weights, metrics = linked.weights(10), dict.fromkeys(["train_loss"], 0.25)
    before = (run.path / NAME).read_bytes()
    run.save_checkpoint(20, linked.weights(20), metrics)
    linked.save_checkpoint(10, weights, {"train_loss": 9.0})
    assert not (run.path / NAME).is_symlink()
    assert (run.path.parent / "blob").read_bytes() == before


def test_what_a_link_leads_to_is_held_against_the_recorded_hash(run, linked, tmp_path):
    linked.refresh_index()
    times = os.stat(tmp_path / "blob").st_mtime_ns
    other = (run.path / "checkpoints/00000020.safetensors").read_bytes()
    (tmp_path / "blob").write_bytes(other)
    os.utime(tmp_path / "blob", ns=(times, times))
    with pytest.raises(DamagedFile, match="sha256 is not the recorded one"):
        Run.open(run.path).weights(10)
    (run.path / "index.h5").unlink()
    assert "foreign: its step must be 10, got 20" in Run.open(run.path).problems[0]


@pytest.mark.parametrize("target", ["nowhere", "circle", "folder", "pipe", "device"])
def test_a_link_that_leads_to_no_file_is_left_out_and_said(run, tmp_path, target):
    path = run.path / NAME
    path.unlink()
    if target == "circle":
        path.symlink_to(path)
    elif target == "folder":
        path.symlink_to(tmp_path)
    elif target == "pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    else:
        path.symlink_to("/dev/zero" if target == "device" else tmp_path / "nowhere")
    again = Run.open(run.path)
    assert again.steps == (0, 20)
    (problem,) = again.problems
    assert NAME in problem
    assert "link" in problem or "must be a regular file" in problem


@pytest.mark.parametrize("name", ["checkpoints", "results", "results/quarantine"])
def test_no_folder_may_be_a_link_or_a_file(run, tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    folder = run.path / name
    if folder.exists():
        os.rename(folder, tmp_path / "old")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="must not be a link"):
        Run.open(run.path)
    folder.unlink()
    folder.write_text("a file")
    with pytest.raises(RunError, match="must be a folder, got a file"):
        Run.open(run.path)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("name", ["checkpoints", "results", "results/quarantine"])
def test_a_folder_that_becomes_a_link_later_is_not_written_through(run, tmp_path, name):
    again = Run.open(run.path)
    (tmp_path / "elsewhere").mkdir()
    folder = run.path / name
    if name == "results/quarantine":
        (run.path / "results" / ("0" * 64 + ".h5")).write_bytes(b"damaged")
    elif folder.exists():
        os.rename(folder, tmp_path / "old")
    folder.symlink_to(tmp_path / "elsewhere")
    if name == "checkpoints":
        with pytest.raises(StorageError, match="must not be a link"):
            again.save_checkpoint(30, {}, {})
    elif name == "results":
        with pytest.raises(StorageError, match="must not be a link"):
            again.store([result(run)])
    else:
        again.cells()
        assert (run.path / "results" / ("0" * 64 + ".h5")).exists()
        assert "is damaged" in again.problems[0]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_linked_segment_is_left_out_and_said(run, tmp_path):
    run.store([result(run)])
    (segment,) = (run.path / "results").glob("*.h5")
    os.rename(segment, tmp_path / "away")
    segment.symlink_to(tmp_path / "away")
    again = Run.open(run.path)
    assert again.cells() == {}
    assert again.problems == [f"{segment} is left out: it must be a file, and a link is not followed"]
    again.store([result(run)])
    assert not segment.is_symlink()
    assert len(Run.open(run.path).cells()) == 1


@pytest.mark.parametrize("name", ["run.toml", "resume.safetensors", "index.h5"])
def test_a_file_that_is_written_is_not_read_through_a_link(run, tmp_path, name):
    run.save_resume({}, {"step": "20"})
    run.refresh_index()
    os.rename(run.path / name, tmp_path / "away")
    before = (tmp_path / "away").read_bytes()
    (run.path / name).symlink_to(tmp_path / "away")
    if name == "run.toml":
        with pytest.raises(RunError, match="must be a regular file, got a link"):
            Run.open(run.path)
    elif name == "index.h5":
        assert "rebuilt" in Run.open(run.path).refresh_index()
        assert not (run.path / name).is_symlink()
    else:
        with pytest.raises(DamagedFile, match="must be a regular file, got a link"):
            Run.open(run.path).load_resume()
        run.save_resume({}, {"step": "30"})
        assert not (run.path / name).is_symlink()
    assert (tmp_path / "away").read_bytes() == before


def test_commands_see_links_and_say_what_they_leave_out(cli, run_path, tmp_path):
    folder = run_path / "checkpoints"
    for step in (30, 40):
        os.rename(folder / f"{step:08d}.safetensors", tmp_path / f"{step}")
        (folder / f"{step:08d}.safetensors").symlink_to(tmp_path / f"{step}")
    (folder / "best.safetensors").write_bytes(b"mine")
    shown = cli("show", run_path)
    assert "7, steps 0 to 60" in shown.out
    measured = cli("analyze", run_path, "-m", "weight_norm", "--csv", "-")
    assert measured.code == 0, measured.err
    assert len(measured.out.splitlines()) == 8
    for ended in (shown, measured):
        assert "best.safetensors is left out" in ended.err
    (tmp_path / "30").unlink()
    for ended in (cli("show", run_path), cli("analyze", run_path, "-m", "weight_norm", "--csv", "-")):
        assert "00000030.safetensors is left out: it is a link, and" in ended.err


def test_training_leaves_linked_checkpoints_as_they_are(run_path, tmp_path):
    (tmp_path / "store").mkdir()
    for path in (run_path / "checkpoints").iterdir():
        os.rename(path, tmp_path / "store" / path.name)
        path.symlink_to(tmp_path / "store" / path.name)
    told, config = [], Run.open(run_path).config
    settings = {
        f"{table}.{name}": value
        for table in ("task", "model", "training")
        for name, value in config[table].items()
        if (table, name) != ("task", "name")
    }
    train("modadd", settings=settings, out=run_path, notify=told.append)
    assert told == [f"{run_path} is complete: all 60 steps are trained"]
    assert all(path.is_symlink() for path in (run_path / "checkpoints").iterdir())
