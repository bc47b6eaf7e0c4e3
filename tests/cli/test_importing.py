"""`grokscope import` as it is typed."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from grokscope import Run

SMALL = (
    "--task",
    "modadd",
    "--model",
    "mlp",
    "--set",
    "task.p=13",
    "--set",
    "model.hidden=24",
    "--set",
    "model.last_bias=no",
)
SMALL = (*SMALL, "--set", "task.train_fraction=0.5", "--step-from", r"ckpt_(\d+)")


@pytest.fixture
def theirs(trained, tmp_path):
    """The trained run's weights as plain safetensors."""
    run = Run.open(trained)
    for step in run.steps:
        save_file(run.weights(step), tmp_path / f"ckpt_{step}.safetensors")
    return run


def test_import_then_show_and_analyze(cli, theirs, tmp_path):
    ended = cli("import", tmp_path / "run", "--checkpoints", tmp_path / "*.safetensors", *SMALL, "--link")
    assert (ended.code, ended.out) == (0, f"{tmp_path / 'run'}\n"), ended.err
    assert Run.open(tmp_path / "run").steps == theirs.steps
    shown = cli("show", tmp_path / "run").out
    assert "names: own  linked" in shown
    csv = cli("analyze", tmp_path / "run", "-m", "fit", "--csv", "-", "--workers", "2").out
    assert csv.splitlines()[0] == "step,fit.train_loss,fit.test_loss,fit.train_accuracy,fit.test_accuracy"
    assert len(csv.splitlines()) == 1 + len(theirs.steps)
    refused = cli("train", "modadd", "--out", tmp_path / "run")
    assert refused.code == 2
    assert "holds imported checkpoints, which cannot be trained on" in refused.err


def test_a_pattern_that_the_shell_has_filled_in(cli, theirs, tmp_path):
    files = sorted(tmp_path.glob("*.safetensors"))
    ended = cli("import", tmp_path / "run", "--checkpoints", *files, *SMALL)
    assert ended.code == 0, ended.err
    assert Run.open(tmp_path / "run").steps == theirs.steps


def test_one_of_task_and_data(cli, theirs, tmp_path):
    given = ("import", tmp_path / "run", "--checkpoints", tmp_path / "*.safetensors", "--model", "mlp")
    for extra in ((), ("--task", "modadd", "--data", "a.b:c")):
        ended = cli(*given, *extra)
        assert ended.code == 2
        assert "import must have either --task NAME or --data package.module:factory" in ended.err
    assert (
        "--data must be package.module:factory, text:FILE, FILE.npy or FILE.bin, got 'modadd'"
        in cli(*given, "--data", "modadd").err
    )
    assert not (tmp_path / "run").exists()


def test_a_file_that_needs_pickle(cli, theirs, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "ckpt_70.pt")
    ended = cli("import", tmp_path / "run", "--checkpoints", tmp_path / "ckpt_*", *SMALL)
    assert ended.code == 3
    assert "needs pickle: it holds torch.nn.modules.linear.Linear" in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_equal_files_are_reported_unless_quiet(cli, theirs, tmp_path):
    shutil.copy(tmp_path / "ckpt_0.safetensors", tmp_path / "ckpt_5.safetensors")
    given = ("import", tmp_path / "run", "--checkpoints", tmp_path / "*.safetensors", *SMALL)
    assert "steps 0, 5 hold the same weights" in cli(*given).err
    assert cli(*given, "--quiet").err == ""
