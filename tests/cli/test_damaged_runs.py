"""Whatever a run's files say, a command ends in a sentence and an exit code, never in a traceback."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import tomli_w
from harness.hostile import rewritten

from grokscope.run.config import config_hash, run_id

DATA = Path(__file__).parent.parent / "run/data"
VALUES = [[], {}, "", "x", -1, 2**70, 1.5, float("nan"), True, [[]], "nan", "../..", "\x1b[31m", None]
SETTINGS = [
    *("format", "grokscope", "run", "config", "recipe", "unset", "task", "model", "training", "local"),
    *(
        "task.name",
        "task.p",
        "model.name",
        "model.hidden",
        "training.seed",
        "training.loss",
        "training.dtype",
    ),
    *("training.steps", "training.device", "local.data_dir"),
]
COMMANDS = [("show",), ("analyze", "-m", "fit,weight_norm", "--steps", "last", "--csv", "-", "-q")]


def ends_in_a_sentence(ended):
    assert ended.code in (0, 1, 2, 3), ended
    assert "Traceback" not in ended.err, ended.err
    assert "this is a bug" not in ended.err
    assert "\x1b" not in ended.err
    if ended.code:
        assert ended.err.strip()


@pytest.fixture
def broken(tmp_path):
    """Copy a run of `data` and write its run.toml with one value changed, and the identity that then fits."""

    def make(kind, name, value):
        path = shutil.copytree(DATA / kind, tmp_path / "run", dirs_exist_ok=True)
        found = tomllib.loads((path / "run.toml").read_text())
        table, _, last = name.rpartition(".")
        place = found.setdefault(table, {}) if table else found
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
        if name not in ("run", "config"):
            try:
                tables = {t: found[t] for t in ("task", "model", "training", "imported") if t in found}
                found |= {"run": run_id(tables), "config": config_hash(tables)}
            except Exception:  # then no identity fits, and that is refused too
                pass
        (path / "run.toml").write_text(tomli_w.dumps(found))
        return path

    return make


@pytest.mark.parametrize("name", SETTINGS)
def test_any_value_in_run_toml(cli, broken, name):
    for number, value in enumerate(VALUES[SETTINGS.index(name) % 3 :: 3]):
        path = broken("trained", name, value)
        command, *options = COMMANDS[number % len(COMMANDS)]
        ends_in_a_sentence(cli(command, path, *options))


@pytest.mark.parametrize("name", ["link", "rename", "contents", "layout"])
def test_any_value_in_the_table_of_an_import(cli, broken, name):
    for value in VALUES[::4]:
        ends_in_a_sentence(cli("show", broken("linked", f"imported.{name}", value)))


@pytest.mark.parametrize(
    "word", ["step", "run", "seed", "train_loss", "test_accuracy", "curve", "format", "config"]
)
def test_any_word_in_a_checkpoint_s_header(cli, tmp_path, word):
    for value in ["", "nan", "{}", f"[[{2**70},0,0,0,0]]", "[[0,[],0,0,0]]", None]:
        path = shutil.copytree(DATA / "trained", tmp_path / "run", dirs_exist_ok=True)

        def change(header, body, value=value):
            if value is None:
                header["__metadata__"].pop(word)
            else:
                header["__metadata__"][word] = value

        rewritten(path / "checkpoints/00000008.safetensors", change)
        (path / "index.h5").unlink()
        ended = cli("show", path)
        ends_in_a_sentence(ended)


@pytest.mark.parametrize("name", ["step", "source", "sha256", "position", "linked", "metrics"])
def test_any_value_in_imported_json(cli, tmp_path, name):
    from grokscope.declare import canonical_json
    from grokscope.run.files import sha256_hex

    for value in [[], "x", 2**70, {"train_loss": []}, {"train_loss": "x"}, True]:
        path = shutil.copytree(DATA / "linked", tmp_path / "run", dirs_exist_ok=True)
        table = json.loads((path / "imported.json").read_text())
        table["checkpoints"][0][name] = value
        table["seal"] = sha256_hex(canonical_json(table["checkpoints"]).encode())
        (path / "imported.json").write_text(json.dumps(table))
        (path / "index.h5").unlink(missing_ok=True)
        ends_in_a_sentence(cli("show", path))


def test_a_run_that_does_not_say_its_loss(cli, broken):
    ended = cli("analyze", broken("linked", "training", {}), "-m", "fit", "-q")
    assert ended.code == 2
    assert "must say its training.loss" in ended.err


def test_folders_that_are_none(cli, run_path):
    shutil.rmtree(run_path / "checkpoints")
    (run_path / "checkpoints").write_text("a file")
    for command in (["show", run_path], ["analyze", run_path, "-q"], ["plot", run_path]):
        ended = cli(*command)
        assert ended.code == 2
        assert "checkpoints must be a folder, got a file" in ended.err


def test_a_folder_that_cannot_be_listed(cli, run_path, monkeypatch):
    import os

    scan = os.scandir

    def refuse(path):
        if str(path).endswith("checkpoints"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    ended = cli("show", run_path)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "checkpoints cannot be listed: Permission denied" in ended.err


def test_a_bug_shows_its_traceback_and_how_to_report_it(cli, run_path, monkeypatch):
    from grokscope.run import Run

    def broken(*arguments, **options):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Run, "open", broken)
    ended = cli("show", run_path)
    lines = ended.err.strip().splitlines()
    assert ended.code == 1
    assert lines[0].startswith("Traceback")
    assert lines[-2] == "ZeroDivisionError: of ours"
    assert lines[-1].startswith("grokscope: this is a bug in grokscope or in a plugin; please report it")


def test_no_memory_is_one_sentence(cli, run_path, monkeypatch):
    from grokscope.run import Run

    def broken(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(Run, "open", broken)
    ended = cli("show", run_path)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "not enough memory" in ended.err
