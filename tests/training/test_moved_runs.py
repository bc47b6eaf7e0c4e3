"""A run that is renamed, deleted or replaced under training ends it, and nothing begins anew in its place."""

import shutil

import pytest

from grokscope import StorageError, train
from grokscope.run import Cell, CellKey, Run

SMALL = {
    "task.p": 5,
    "model.hidden": [4],
    "training.steps": 8,
    "training.checkpoint_every": "2",
}


def rename(path, config):
    path.rename(path.with_name("elsewhere"))


def delete(path, config):
    shutil.rmtree(path)


def replace(path, config):
    rename(path, config)
    Run.create(path, {**config, "training": {**config["training"], "seed": 9}})


@pytest.mark.parametrize("act", [rename, delete, replace])
def test_training_ends_in_a_sentence(tmp_path, act):
    path = tmp_path / "run"

    def watch(state):
        if state.step == 3:
            act(path, Run.open(path).config)

    with pytest.raises(StorageError, match="is no longer this run: it was renamed, moved or deleted"):
        train("modadd", settings=SMALL, out=path, progress=watch)
    if act is replace:
        assert Run.open(path).steps == ()
    else:
        assert not path.exists()
    if act is not delete:
        assert Run.open(tmp_path / "elsewhere").steps == (0, 2)


def test_moved_back_it_goes_on(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(StorageError):
        train("modadd", settings=SMALL, out=path, progress=lambda state: state.step == 3 and rename(path, {}))
    (tmp_path / "elsewhere").rename(path)
    assert train("modadd", settings=SMALL, out=path).steps == (0, 2, 4, 6, 8)


def test_no_result_brings_a_deleted_run_back(tmp_path):
    run = train("modadd", settings={**SMALL, "training.steps": 2}, out=tmp_path / "run")
    shutil.rmtree(run.path)
    with pytest.raises(StorageError, match="cannot be written"):
        run.store([Cell(CellKey("0" * 64, "a:b", 1, "{}", run.data_hash, run.noise_seed), 0)])
    assert not run.path.exists()
