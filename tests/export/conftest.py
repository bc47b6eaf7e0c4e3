"""Two small runs with stored results, one of them in two sets of parameters."""

import shutil

import pytest

from grokscope import analyze, train


@pytest.fixture(scope="session")
def measured_runs(trained, tmp_path_factory):
    """Never written to by a test."""
    folder = tmp_path_factory.mktemp("measured")
    settings = {"task.p": 13, "task.train_fraction": 0.5, "model.hidden": [8, 6], "training.steps": 30}
    other = train("modadd", settings=settings | {"training.checkpoint_every": "10"}, out=folder / "deeper")
    runs = [shutil.copytree(trained, folder / "run"), other.path]
    for run in runs:
        analyze(run, "fit,weight_norm,oinfo,cka")
    return runs


@pytest.fixture
def runs(measured_runs, tmp_path):
    """Copies that a test may do anything to."""
    return [shutil.copytree(path, tmp_path / "runs" / path.name) for path in measured_runs]
