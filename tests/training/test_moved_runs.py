"""A run that is renamed, deleted or replaced under training ends it, and nothing begins anew in its place."""

import shutil

import pytest

from grokscope import StorageError, train
from grokscope.run import Cell, CellKey, Run, directory

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


def is_written(path, step):
    """Whether the checkpoint and the state beside it are there: training does not wait for them."""
    state = Run.open(path).load_resume()
    return state is not None and state[1]["step"] == str(step)


@pytest.mark.parametrize("act", [rename, delete, replace])
def test_training_ends_in_a_sentence(tmp_path, act, until):
    path = tmp_path / "run"

    def watch(state):
        if state.step == 3:
            until(lambda: is_written(path, 2))
            act(path, Run.open(path).config)

    with pytest.raises(StorageError, match="is no longer this run: it was renamed, moved or deleted"):
        train("modadd", settings=SMALL, out=path, progress=watch)
    if act is replace:
        assert Run.open(path).steps == ()
    else:
        assert not path.exists()
    if act is not delete:
        assert Run.open(tmp_path / "elsewhere").steps == (0, 2)


def test_a_run_that_goes_while_it_is_written_to_is_told_by_the_same_sentence(tmp_path, monkeypatch):
    path, write = tmp_path / "run", directory.atomic_write

    def moved_meanwhile(file, data, *more):
        if file.name == "00000002.safetensors":
            rename(path, {})
        write(file, data, *more)

    monkeypatch.setattr(directory, "atomic_write", moved_meanwhile)
    with pytest.raises(StorageError, match="is no longer this run: it was renamed, moved or deleted"):
        train("modadd", settings=SMALL, out=path)
    assert Run.open(tmp_path / "elsewhere").steps == (0,)


def test_moved_back_it_goes_on(tmp_path, until):
    path = tmp_path / "run"

    def watch(state):
        if state.step == 3:
            until(lambda: is_written(path, 2))
            rename(path, {})

    with pytest.raises(StorageError):
        train("modadd", settings=SMALL, out=path, progress=watch)
    (tmp_path / "elsewhere").rename(path)
    assert train("modadd", settings=SMALL, out=path).steps == (0, 2, 4, 6, 8)


def test_no_result_brings_a_deleted_run_back(tmp_path):
    run = train("modadd", settings={**SMALL, "training.steps": 2}, out=tmp_path / "run")
    shutil.rmtree(run.path)
    with pytest.raises(StorageError, match="cannot be written"):
        run.store([Cell(CellKey("0" * 64, "a:b", 1, "{}", run.data_hash, run.noise_seed), 0)])
    assert not run.path.exists()
