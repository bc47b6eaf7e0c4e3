"""What run.toml names is data: code is imported on the user's word alone, and places are only places."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from grokscope import RunError, analyze, import_checkpoints, load_plugins
from grokscope.analysis.engine import Bench
from grokscope.errors import UsageError
from grokscope.run import Run
from grokscope.run.config import config_hash, run_id

CODE = """
import pathlib
pathlib.Path(__file__).with_name("canary").touch()
import torch
from grokscope import Network, Task, model, task

class Line(Network):
    kind, hidden, outputs = "line", (), 2
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
    def encode(self, inputs):
        return inputs
    def trace(self, encoded):
        return {"first": encoded, "logits": self.layer(encoded)}

@task
def signs():
    inputs = torch.linspace(-1, 1, 30).reshape(10, 3)
    return Task("signs", "other", inputs, (inputs.sum(1) > 0).long(), 2, torch.arange(4), torch.arange(4, 10))

@model
def line(task):
    return Line()
"""
NAMES = ("--data", "lying_there:signs", "--model", "lying_there:line")


@pytest.fixture
def downloaded(tmp_path):
    """A run of an own task and network, and beside it the code that it names, which leaves a canary."""
    import torch

    (tmp_path / "lying_there.py").write_text(CODE)
    torch.save({"layer.weight": torch.ones(2, 3), "layer.bias": torch.zeros(2)}, tmp_path / "0.pt")
    sys.modules.pop("lying_there", None)
    sys.path.insert(0, str(tmp_path))
    try:
        import_checkpoints(
            tmp_path / "run",
            str(tmp_path / "0.pt"),
            task="lying_there:signs",
            model="lying_there:line",
            step_from=r"(\d+)",
        )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("lying_there", None)
    (tmp_path / "canary").unlink()
    return tmp_path / "run"


@pytest.mark.parametrize(
    "command",
    [
        ("analyze", "-m", "fit"),
        ("export", "-m", "fit", "-o", "-"),
        ("plot", "-m", "fit"),
        ("score", "-m", "fit"),
        ("predict", "-m", "fit"),
        ("report", "-m", "fit"),
        ("phases",),
    ],
    ids=lambda command: command[0],
)
def test_no_command_imports_what_a_run_names(downloaded, cli, monkeypatch, command):
    monkeypatch.syspath_prepend(downloaded.parent)
    monkeypatch.chdir(downloaded.parent)
    name, *options = command
    ended = cli(name, "run", *options, "-q")
    assert ended.code == 2, ended.err
    assert "run names the task lying_there:signs, code that no plugin brings" in ended.err
    assert "repeat the name as --data or" in ended.err
    assert "say so with --trust" in ended.err
    assert not (downloaded.parent / "canary").exists()


def test_the_network_needs_the_user_s_word_too(downloaded, cli, monkeypatch):
    monkeypatch.syspath_prepend(downloaded.parent)
    ended = cli("analyze", downloaded, "-m", "fit", "-q", "--data", "lying_there:signs")
    assert ended.code == 2
    assert "names the model lying_there:line" in ended.err
    assert "repeat the name as --model or" in ended.err


@pytest.mark.parametrize("word", [NAMES, ("--trust",)])
def test_what_is_repeated_or_trusted_is_imported(downloaded, cli, monkeypatch, word):
    monkeypatch.syspath_prepend(downloaded.parent)
    ended = cli("analyze", downloaded, "-m", "fit", "--csv", "-", "-q", *word)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("step,fit.train_loss")
    assert (downloaded.parent / "canary").exists()
    sys.modules.pop("lying_there", None)
    again = cli("analyze", downloaded, "-m", "fit", "--csv", "-", "-q")
    assert (again.code, again.out) == (0, ended.out)  # stored results need no code


def test_the_name_of_something_else_does_not_open_the_door(downloaded, monkeypatch):
    monkeypatch.syspath_prepend(downloaded.parent)
    for word in ({"data": "lying_there:line"}, {"model": "lying_there:signs2"}, {"data": "os:system"}):
        with pytest.raises(UsageError, match="must repeat a name that the run has"):
            analyze(downloaded, "fit", **word)
    assert not (downloaded.parent / "canary").exists()


def test_a_name_is_asked_for_only_where_the_network_is_needed(downloaded, cli):
    assert cli("show", downloaded).code == 0
    assert cli("export", downloaded, "-o", "-").code == 0


def test_in_a_downloaded_folder_nothing_that_lies_there_is_executed(run_path):
    """Neither under `python -m`, nor by the processes that measure, which Python starts with `-c`."""
    folder = run_path.parent
    for name in ("torch", "numpy", "h5py", "pandas", "rich", "multiprocessing", "lying_there"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'canary')!r}, 'a').write({name!r})\n")
    command = [
        sys.executable,
        "-m",
        "grokscope",
        "analyze",
        "run",
        "-m",
        "fit",
        "--csv",
        "-",
        "--workers",
        "2",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 8
    assert not (folder / "canary").exists()


def with_local(path: Path, **changes):
    """Write into the run's run.toml tables of one's own, with the identity that fits them."""
    found = tomllib.loads((path / "run.toml").read_text())
    for table, values in changes.items():
        found[table] = {**found.get(table, {}), **values} if isinstance(values, dict) else values
    tables = {table: found[table] for table in ("task", "model", "training")}
    found |= {"run": run_id(tables), "config": config_hash(tables)}
    (path / "run.toml").write_text(tomli_w.dumps(found))
    return path


@pytest.mark.parametrize(
    ("local", "words"),
    [
        (
            {"operation": "random"},
            "has 'operation' in its table local, which must hold places that task modadd",
        ),
        ({"data_dir": "/tmp"}, "has 'data_dir' in its table local"),
        ({"download": True}, r"local\.download must be a place on this machine, got True"),
        ({"data_dir": []}, r"local\.data_dir must be a place on this machine, got \[\]"),
        ({"data_dir": {"a": 1}}, r"local\.data_dir must be a place on this machine"),
        ({"data_dir": "https://example.org/x"}, r"local\.data_dir must be a place on this machine"),
    ],
)
def test_local_holds_places_that_the_task_declares_and_nothing_else(run_path, local, words):
    with pytest.raises(RunError, match=words):
        analyze(with_local(run_path, local=local), "fit", steps="last")


def test_a_local_that_is_no_table_is_refused(run_path):
    with pytest.raises(RunError, match="local must be a table, got 3"):
        Run.open(with_local(run_path, local=3))


@pytest.mark.parametrize("table", ["local", "task"])
@pytest.mark.parametrize("setting", [{"download": True}, {"download": 1}])
def test_nothing_is_fetched_on_the_word_of_a_run(tmp_path, monkeypatch, table, setting):
    from grokscope.tasks import images

    path = shutil.copytree(Path(__file__).parent / "data/trained", tmp_path / "run")
    monkeypatch.setattr(images, "download_mnist", lambda folder: pytest.fail("it was fetched"))
    task = {"name": "mnist", "train_size": 10, "test_size": 10}
    for name in ("p", "operation", "train_fraction", "split_seed", "split"):
        task[name] = None
    found = tomllib.loads((path / "run.toml").read_text())
    found["task"] = {name: value for name, value in task.items() if value is not None}
    (path / "run.toml").write_text(tomli_w.dumps(found))
    with_local(path, **{table: setting, "local" if table == "task" else "more": {}})
    monkeypatch.setenv("GROKSCOPE_DATA_DIR", str(tmp_path))
    for file in (path / "checkpoints").iterdir():
        file.unlink()
    plugins = load_plugins()
    with pytest.raises(RunError, match=r"download"):
        Bench(Run.open(path), plugins.tasks, plugins.models).check()


def test_a_recipe_fetches_nothing_either(tmp_path):
    from grokscope.errors import SettingError
    from grokscope.training import resolve_config

    text = 'name = "mine"\ntask = {name = "mnist", download = true}\nmodel = {name = "mlp"}\ntraining = {}\n'
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(SettingError, match=r"sets task\.download, which is for the command line alone"):
        resolve_config("mnist", recipe=str(tmp_path / "mine.toml"))
    assert os.listdir(tmp_path) == ["mine.toml"]
