"""Runs at URLs, in memory: the same files, to the byte, and the same promises; what cannot be is said."""

import shutil
import sys

import pytest
import torch

import grokscope
from grokscope import Run, RunError, StorageError, UsageError
from grokscope.run import copied as copies
from grokscope.run import remote, segments, store
from grokscope.run.sites import Url, site_of
from grokscope.run.verify import verify_run

SMALL = {
    "task.p": 13,
    "task.train_fraction": 0.5,
    "model.hidden": [24],
    "training.steps": 60,
    "training.checkpoint_every": "10",
}


def contents(path):
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()
    }


def at(memory, folder="shelf/run"):
    return {
        name.removeprefix(f"/{folder}/"): memory.cat_file(name)
        for name in memory.find(f"/{folder}")
        if name.startswith(f"/{folder}/")
    }


@pytest.fixture
def failing(memory, monkeypatch):
    """Have some PUTs fail: `failing(lambda name: error)`, an exception or None."""
    put = type(memory).pipe_file

    def fail(when):
        def pipe_file(self, path, value, mode="overwrite", **options):
            if error := when(path):
                raise error
            return put(self, path, value, mode=mode, **options)

        monkeypatch.setattr(type(memory), "pipe_file", pipe_file)

    return fail


def test_a_run_that_is_trained_at_a_url_has_the_files_of_one_on_disk(trained, memory, read):
    run = grokscope.train("modadd", settings=SMALL, out="memory://shelf/run/")
    assert read == []  # what was just written is known
    assert str(run.path) == "memory://shelf/run"
    found, expected = at(memory), contents(trained)
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in expected if name != "index.h5")
    assert verify_run("memory://shelf/run") == []
    assert grokscope.train("modadd", settings=SMALL, out="memory://shelf/run").steps == run.steps
    with pytest.raises(RunError, match=r"memory://shelf/run holds another run: training\.seed"):
        grokscope.train("modadd", settings={**SMALL, "training.seed": 1}, out="memory://shelf/run")


@pytest.fixture
def read(memory, monkeypatch):
    """The checkpoints that are read and found: step, and up to which byte."""
    found, get = [], type(memory).cat_file

    def cat_file(self, path, start=None, end=None, **options):
        data = get(self, path, start=start, end=end, **options)
        if "checkpoints" in path:
            found.append((path[-20:-12], end))
        return data

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    return found


def test_a_copied_run_is_measured_without_reading_checkpoints_that_are_not(copied, read, monkeypatch):
    monkeypatch.setattr(copies, "START", 6000)
    run = Run.open(copied)
    assert run.steps == (0, 10, 20, 30, 40, 50, 60)
    assert {end for _, end in read} == {6000}
    assert len(read) == 7
    read.clear()
    assert grokscope.analyze(copied, "weight_norm", steps="30").computed == 1
    assert {step for step, end in read if end != 6000} == {"00000030"}
    read.clear()
    again = grokscope.analyze(copied, "weight_norm", steps="30")  # whose index has the objects' own stamps
    assert again.computed == 0
    assert read == []


def test_a_checkpoint_whose_header_is_another_is_read_whole(copied, memory):
    step = "/shelf/run/checkpoints/00000030.safetensors"
    memory.pipe_file(step, memory.cat_file(step).replace(b'"train_loss":"', b'"train_loss":"9', 1)[:-1])
    run = Run.open(copied)
    assert 30 not in run.steps
    assert "memory://shelf/run/checkpoints/00000030.safetensors is damaged" in run.problems[0]
    sound = step.replace("30", "40")
    memory.pipe_file(sound, memory.cat_file(sound)[:-1] + b"\xff")  # the same header, and other weights
    results = grokscope.analyze(copied, "weight_norm", steps="40")
    assert "its sha256 is not the recorded one" in str(results.failures[0])


def test_commands_print_of_a_url_what_they_print_of_the_directory(copied, memory, trained, tmp_path, cli):
    local = tmp_path / "shelf" / "run"
    shutil.copytree(trained, local)
    for path in (local, copied):
        grokscope.analyze(path, "weight_norm,fit")
    for command in (
        ["show", "RUN", "--json"],
        ["export", "RUN", "-o", "-"],
        ["analyze", "RUN", "-m", "weight_norm", "--csv", "-"],
        ["list", "DIR", "--json"],
        ["verify", "RUN"],
    ):
        said = []
        for run in (str(local), copied):
            folder = run.removesuffix("/run")
            words = [word.replace("RUN", run).replace("DIR", folder) for word in command]
            ended = cli(*words)
            assert ended.code == 0, ended.err
            said.append(ended.out.replace(folder, "DIR"))
        assert said[0] == said[1], command
    assert "checkpoints  7, steps 0 to 60" in cli("show", copied).out


def test_results_of_two_who_measure_at_once_are_joined_and_none_is_lost(copied, memory, monkeypatch):
    monkeypatch.setattr(segments, "COMPACT_AT", 3)
    runs = [Run.open(copied), Run.open(copied)]
    for step, run in enumerate([*runs, *runs]):
        grokscope.analyze(run, "weight_norm", steps=f"{step}0")
    assert {key.checkpoint for key in Run.open(copied).cells()} == {
        info.sha256 for info in runs[0].checkpoints if info.step < 40
    }
    assert len(memory.ls("/shelf/run/results")) < 4
    damaged = next(name for name in memory.find("/shelf/run/results"))
    memory.pipe_file(damaged, memory.cat_file(damaged)[:-1] + b"?")
    assert "it was moved to results/quarantine" in _problem(copied)
    assert memory.exists(damaged.replace("results/", "results/quarantine/"))


def _problem(url):
    run = Run.open(url)
    run.cells()
    return " ".join(run.problems)


def test_of_two_that_begin_a_run_at_once_the_first_has_it(memory, trained, failing):
    mine, other = (
        {**Run.open(trained).config, "recipe": name, "training": {"seed": seed}}
        for name, seed in (("mine", 1), ("other", 2))
    )

    def meanwhile(path):
        if path.endswith("run.toml") and not memory.exists(path):
            memory.store.clear()
            failing(lambda path: None)
            Run.create("memory://shelf/run", other)

    failing(meanwhile)
    with pytest.raises(RunError, match=r"holds another run: training\.seed is 2 there and 1 here"):
        Run.create("memory://shelf/run", mine)
    assert Run.open("memory://shelf/run").config["recipe"] == "other"


def test_training_goes_on_after_a_put_that_failed(trained, memory, failing):
    failing(lambda path: OSError(5, "the store is busy") if path.endswith("00000030.safetensors") else None)
    with pytest.raises(StorageError, match=r"00000030.safetensors cannot be written: the store is busy"):
        grokscope.train("modadd", settings=SMALL, out="memory://shelf/run")
    assert Run.open("memory://shelf/run").steps == (0, 10, 20)
    failing(lambda path: None)
    grokscope.train("modadd", settings=SMALL, out="memory://shelf/run")
    expected = contents(trained)
    found = at(memory)
    assert all(found[name] == expected[name] for name in expected if name.startswith("checkpoints/"))


def test_of_read_only_ground_it_is_said_before_anything_is_computed(copied, memory, failing, tmp_path, cli):
    failing(lambda path: PermissionError("Access Denied"))
    told = []
    with pytest.raises(StorageError, match=r"memory://shelf/run is read-only: `out` must say where"):
        grokscope.analyze(copied, "weight_norm", progress=lambda *done: told.append(done))
    assert not told
    assert cli("show", copied).code == 0
    kept = grokscope.analyze_many([copied], "weight_norm", out=tmp_path / "results")
    assert [results.computed for results in kept.runs.values()] == [7]
    assert not Run.open(copied).cells()
    longer = {**SMALL, "training.steps": 80}
    with pytest.raises(StorageError, match=r"memory://shelf/new/run.toml cannot be written: Access Denied"):
        grokscope.train("modadd", settings=longer, out="memory://shelf/new")
    memory.rm_file("/shelf/run/checkpoints/00000060.safetensors")
    with pytest.raises(StorageError, match=r"memory://shelf/run is read-only"):
        grokscope.train("modadd", settings=SMALL, out=copied)


def test_checkpoints_of_others_and_loops_of_ones_own_become_runs_at_urls(trained, memory):
    files = str(trained / "checkpoints" / "*.safetensors")
    task = {"p": 13, "train_fraction": 0.5, "hidden": [24]}
    given = {"task": "modadd", "model": "mlp", "settings": task}
    run = grokscope.import_checkpoints("memory://shelf/imported", files, **given)
    assert run.steps == (0, 10, 20, 30, 40, 50, 60)
    assert grokscope.import_checkpoints("memory://shelf/imported", files, **given).steps == run.steps
    with pytest.raises(StorageError, match="it must be copied, leave `link` out"):
        grokscope.import_checkpoints("memory://shelf/linked", files, **given, link=True)
    network, data = torch.nn.Linear(4, 2), (torch.randn(8, 4), torch.arange(8) % 2)
    recording = {"model": network, "train": data, "test": data, "checkpoint_every": "1"}
    with grokscope.record("memory://shelf/recorded", **recording) as recorder:
        recorder.step(1)
    assert Run.open("memory://shelf/recorded").steps == (0, 1)
    assert grokscope.analyze("memory://shelf/recorded", "weight_norm", model=network).computed == 2


@pytest.mark.parametrize("url", ["s3://", "s3://bucket//run", "s3://bucket/../run", "a::s3://bucket/run"])
def test_a_url_that_names_no_place_is_refused(url):
    with pytest.raises(UsageError, match=r"must be SCHEME://BUCKET/FOLDER"):
        grokscope.analyze(url, "weight_norm")


def test_what_is_missing_is_said(monkeypatch, memory, tmp_path, cli):
    remote._made.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    ended = cli("show", "s3://bucket/run")
    assert ended.code == 2
    assert ended.err == "grokscope: a run at s3:// needs s3fs: pip install 'grokscope[remote]'\n"
    said = cli("analyze", "nosuch://bucket/run", "-m", "weight_norm").err
    assert "a run at nosuch:// must be at a scheme that fsspec knows" in said
    assert "memory://shelf/none is no run: it has no run.toml" in cli("show", "memory://shelf/none").err
    ended = cli("new-plugin", "mine", "--out", "s3://bucket/run")
    assert (ended.code, ended.err) == (
        2,
        "grokscope: --out must be on this machine, got the URL s3://bucket/run\n",
    )
    ended = cli("export", "memory://shelf/run", "-o", "s3://bucket/table.csv")
    assert (ended.code, "s3://bucket/table.csv cannot be written: runs may lie at URLs" in ended.err) == (
        1,
        True,
    )
    assert site_of(f"file://{tmp_path}") == tmp_path
    assert site_of("S3://bucket/run") == Url("s3", "bucket/run")


def test_what_the_verbs_do_of_objects(memory, failing):
    memory.pipe_file("/shelf/a", b"12345")
    memory.pipe_file("/shelf/none", b"")
    assert remote.read_bytes(Url("memory", "shelf/a"), 5) == b"12345"
    assert remote.read_bytes(Url("memory", "shelf/none"), 5) == b""
    with pytest.raises(grokscope.DamagedFile, match="at most 4 bytes"):
        remote.read_bytes(Url("memory", "shelf/a"), 4)
    assert remote.write_new(Url("memory", "shelf/b"), b"1")
    assert not remote.write_new(Url("memory", "shelf/b"), b"2")
    assert memory.cat_file("/shelf/b") == b"1"
    assert remote.read_starts([Url("memory", "shelf/a"), Url("memory", "shelf/gone")], 2) == [b"12", b""]
    assert remote.read_starts([], 2) == []
    remote.delete(Url("memory", "shelf/gone"))
    assert not store.exists(Url("memory", "shelf"))  # a folder is no object
    assert store.is_writable(Url("memory", "shelf"))
    assert memory.find("/shelf") == ["/shelf/a", "/shelf/b", "/shelf/none"]
    failing(lambda path: OSError(5, "the store is busy"))
    with pytest.raises(StorageError, match="the store is busy"):
        store.is_writable(Url("memory", "shelf"))
