"""Runs are found without following links; removing one deletes a run's own files and nothing else."""

import os
import shutil

import pytest

from grokscope import analyze
from grokscope.errors import RunError
from grokscope.run.folder import find_runs, remove_run, size_of


def test_runs_are_found_in_folders_below_but_not_through_links(run_path, tmp_path):
    deep = shutil.copytree(run_path, tmp_path / "runs" / "sweep" / "a")
    other = shutil.copytree(run_path, tmp_path / "elsewhere")
    os.symlink(other, tmp_path / "runs" / "link")
    assert list(find_runs(tmp_path / "runs")) == [deep]
    assert list(find_runs(deep)) == [deep]
    with pytest.raises(RunError, match="must be a directory"):
        list(find_runs(tmp_path / "nowhere"))


def test_a_run_goes_with_all_that_is_its_own(run_path):
    analyze(run_path, "weight_norm")
    assert size_of(run_path) == sum(path.stat().st_size for path in run_path.rglob("*") if path.is_file())
    remove_run(run_path)
    assert not run_path.exists()


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/best.pt", "results/notes/a.h5", ".hidden"])
def test_nothing_is_deleted_where_something_foreign_is(run_path, name):
    foreign = run_path / name
    foreign.parent.mkdir(parents=True, exist_ok=True)
    foreign.write_text("mine")
    before = sorted(run_path.rglob("*"))
    with pytest.raises(RunError, match="move that away first"):
        remove_run(run_path)
    assert sorted(run_path.rglob("*")) == before


def test_what_links_point_to_stays(run_path, tmp_path):
    kept = tmp_path / "kept.safetensors"
    first = run_path / "checkpoints" / "00000000.safetensors"
    shutil.move(first, kept)
    os.symlink(kept, first)
    remove_run(run_path)
    assert kept.exists()
    assert not run_path.exists()


def test_a_folder_that_is_no_run_and_a_link_to_a_run_are_refused(run_path, tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(RunError, match="is no run"):
        remove_run(tmp_path / "plain")
    os.symlink(run_path, tmp_path / "link")
    with pytest.raises(RunError, match="got a link"):
        remove_run(tmp_path / "link")
    assert run_path.exists()
