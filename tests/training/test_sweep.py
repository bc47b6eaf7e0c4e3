"""A sweep is the runs that `train` would make, each once, and one that breaks costs only itself."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from grokscope import Run, SettingError, Sweep, UnknownName, sweep, train

FIXED = {"p": 11, "hidden": [12], "steps": 12, "checkpoint_every": "6", "log_every": 3}


def hashes(path):
    return [checkpoint.sha256 for checkpoint in Run.open(path).checkpoints]


def test_every_combination_is_the_run_that_train_makes(tmp_path, monkeypatch):
    done = sweep("modadd", grid={"weight_decay": [0.1, 2]}, seeds=2, settings=FIXED, out=tmp_path / "all")
    assert isinstance(done, Sweep)
    assert done.paths == done.finished
    assert not done.failures
    assert not done.stopped
    found = [(Run.open(p).config["training"]["weight_decay"], Run.open(p).seed) for p in done.paths]
    assert found == [(0.1, 0), (0.1, 1), (2.0, 0), (2.0, 1)]
    assert sorted(os.listdir(tmp_path / "all")) == sorted(path.name for path in done.paths)
    monkeypatch.chdir(tmp_path)
    alone = train("modadd", settings={**FIXED, "training.weight_decay": 2, "training.seed": 1})
    assert alone.path.name == done.paths[3].name
    assert hashes(alone.path) == hashes(done.paths[3])


def test_processes_train_the_same_bits(tmp_path):
    options = {"grid": {"weight_decay": "0.1,2"}, "seeds": "2", "settings": FIXED}
    here = sweep("modadd", **options, out=tmp_path / "here")
    there = sweep("modadd", **options, out=tmp_path / "there", workers=3)
    assert [path.name for path in here.finished] == [path.name for path in there.finished]
    assert len(here.finished) == 4
    for one, other in zip(here.finished, there.finished, strict=True):
        assert hashes(one) == hashes(other)


def test_what_is_finished_is_skipped_and_what_was_stopped_goes_on(tmp_path):
    asked, told, seen = [], [], []

    def stop():
        asked.append(1)
        return len(asked) > 20  # in the second run: each asks at its start and at every step

    options = {"seeds": 3, "settings": FIXED, "out": tmp_path}
    first = sweep("modadd", **options, stop=stop)
    assert len(first.finished) == 1
    assert len(first.stopped) == 2
    assert 0 < Run.open(first.stopped[0]).steps[-1] < 12
    assert not first.stopped[1].exists()
    before = {path: path.stat().st_mtime_ns for path in first.finished[0].rglob("*.safetensors")}
    second = sweep("modadd", **options, notify=told.append, progress=seen.append)
    assert len(second.finished) == 3
    assert before == {path: path.stat().st_mtime_ns for path in first.finished[0].rglob("*.safetensors")}
    assert told == ["1 of 3 runs are finished already"]
    assert (seen[0].step, seen[0].steps, seen[0].finished) == (12 + Run.open(second.paths[1]).steps[1], 36, 1)
    assert (seen[-1].step, seen[-1].finished, seen[-1].runs) == (36, 3, 3)
    whole = sweep("modadd", **{**options, "out": tmp_path / "whole"})
    for path, other in zip(second.finished, whole.finished, strict=True):
        assert hashes(path)[-1] == hashes(other)[-1]


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    grid = {"init_scale": [1e6, 1]}
    seen = []
    fixed = {**FIXED, "lr": 1e6}
    done = sweep("modadd", grid=grid, settings=fixed | {"log_every": 1}, out=tmp_path, progress=seen.append)
    assert [failure.path for failure in done.failures] == list(done.paths)
    done = sweep("modadd", grid={"lr": [1e6, 0.01]}, settings={**FIXED, "init_scale": 1e6}, out=tmp_path)
    bad, good = done.paths
    assert done.finished == (good,)
    assert [failure.path for failure in done.failures] == [bad]
    assert str(done.failures[0]).startswith(f"{bad.name}: training stopped at step ")
    assert "the loss must be finite" in done.failures[0].message
    assert seen[-1].failed == 2
    assert seen[-1].step == seen[-1].steps  # nothing is left that will ever be trained


def test_a_directory_that_holds_something_else_is_left_alone(tmp_path):
    planned = sweep("modadd", seeds=2, settings=FIXED, out=tmp_path / "a").paths
    (tmp_path / "b" / planned[0].name).mkdir(parents=True)
    (tmp_path / "b" / planned[0].name / "letter.txt").write_text("dear")
    other = train("modadd", settings={**FIXED, "steps": 6}, out=tmp_path / "b" / planned[1].name)
    before = hashes(other.path)
    done = sweep("modadd", seeds=3, settings=FIXED, out=tmp_path / "b")
    assert [failure.path.name for failure in done.failures] == [path.name for path in planned]
    assert "letter.txt" in done.failures[0].message
    assert "holds another run: training.seed is 0 there and 1 here" in done.failures[1].message
    assert len(done.finished) == 1
    assert hashes(other.path) == before


def test_equal_configurations_are_one_run(tmp_path):
    done = sweep("modadd", grid={"weight_decay": ["2", 2.0, 2]}, settings=FIXED, out=tmp_path)
    assert len(done.paths) == 1


@pytest.mark.parametrize(
    ("grid", "settings", "name"),
    [
        ({"synergistic_dropout_share": "0.1,0.3"}, {}, "synergistic_dropout_share"),
        ({"training.abelian_reduction": "mean,sum"}, {}, "abelian_reduction"),
        ({"muon_lr": "none,0.1"}, {}, "muon_lr"),
        ({"optimizer": "adam,adamw"}, {"momentum": 0.9}, "momentum"),
    ],
    ids=str,
)
def test_a_setting_without_effect_in_any_run_is_refused_before_anything_is_trained(
    tmp_path, grid, settings, name
):
    with pytest.raises(SettingError, match=f"`{name}` must be given with"):
        sweep("modadd", grid=grid, settings={**FIXED, **settings}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_setting_is_left_out_where_others_of_the_grid_give_it_no_effect(tmp_path):
    grid = {"optimizer": "sgd,adamw", "training.momentum": "0.5,0.8", "init_scale": "1,2"}
    fixed = {**FIXED, "init_scale_only": "weights"}
    done = sweep("modadd", grid=grid, settings=fixed, out=tmp_path)
    assert not done.failures
    found = [Run.open(path).config["training"] for path in done.finished]
    names = ("optimizer", "momentum", "init_scale", "init_scale_only")
    assert [tuple(each.get(name) for name in names) for each in found] == [
        ("sgd", 0.5, 1, None),
        ("sgd", 0.5, 2, "weights"),
        ("sgd", 0.8, 1, None),
        ("sgd", 0.8, 2, "weights"),
        ("adamw", None, 1, None),
        ("adamw", None, 2, "weights"),
    ]


def test_lists_are_swept_with_semicolons(tmp_path):
    fixed = {name: value for name, value in FIXED.items() if name != "hidden"}
    done = sweep("modadd", grid={"hidden": "6;5,4;"}, settings=fixed, out=tmp_path)
    assert [Run.open(path).config["model"]["hidden"] for path in done.finished] == [[6], [5, 4]]


def test_models_are_swept_with_settings_that_each_has(tmp_path):
    small = {"steps": 1, "p": 5}
    done = sweep("modadd", grid={"model": ["mlp", "transformer"]}, settings=small, out=tmp_path)
    assert [Run.open(path).config["model"]["name"] for path in done.finished] == ["mlp", "transformer"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"grid": {"wieght_decay": [1]}}, UnknownName, "did you mean weight_decay"),
        ({"grid": {"training.lrr": [1]}}, UnknownName, "training.lr"),
        ({"grid": {"weight_decay": [1, -1]}}, SettingError, "weight_decay must be float >= 0"),
        ({"grid": {"weight_decay": "1,,2"}}, SettingError, "weight_decay must be float"),
        ({"grid": {"weight_decay": ""}}, SettingError, "at least one value"),
        ({"grid": {"weight_decay": []}}, SettingError, "at least one value"),
        ({"grid": {"lr": [1]}, "settings": {"lr": 1}}, SettingError, "`grid` and in `settings`"),
        (
            {"grid": {"lr": [1]}, "settings": {"training.lr": 1}},
            SettingError,
            "lr must be swept or fixed",
        ),
        ({"grid": {"model": ["mlp"]}, "settings": {"model.name": "mlp"}}, SettingError, "given once"),
        ({"grid": {"seed": [1]}, "seeds": 2}, SettingError, "`seeds` must be given once"),
        ({"seeds": 0}, SettingError, "at least 1"),
        ({"seeds": []}, SettingError, "empty list"),
        ({"seeds": "0,x"}, SettingError, "a list like 0,3,7"),
        ({"seeds": [-1]}, SettingError, "seed must be int >= 0"),
        ({"recipe": "clau"}, UnknownName, "did you mean clauw"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        sweep("modadd", **{"settings": {"p": 11}, **options}, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("seeds", "expected"), [("2", [0, 1]), ("7,", [7]), ([3, 0], [3, 0]), (None, [0])])
def test_seeds(tmp_path, seeds, expected):
    done = sweep("modadd", seeds=seeds, settings={**FIXED, "steps": 1, "checkpoint_every": 1}, out=tmp_path)
    assert [Run.open(path).seed for path in done.paths] == expected


def test_a_bare_name_that_two_tables_have_must_be_spelled_out(tmp_path):
    import types

    from grokscope import hookimpl, load_plugins, task
    from grokscope.tasks import modadd

    @task
    def twin(*, lr: float = 1.0):
        """A task with a setting that training has too."""
        return modadd.build(p=5)

    module = types.ModuleType("twin_plugin")
    module.grokscope_tasks = hookimpl(lambda: [twin])
    module.grokscope_tasks.__name__ = "grokscope_tasks"
    plugins = load_plugins(extra=[module])
    with pytest.raises(SettingError, match=r"lr must be spelled out: task\.lr or training\.lr"):
        sweep("twin", grid={"lr": [1]}, plugins=plugins, out=tmp_path)
    fixed = {"steps": 1, "hidden": [4]}
    done = sweep("twin", grid={"task.lr": [1, 2]}, settings=fixed, plugins=plugins, out=tmp_path)
    assert len(done.finished) == 2


DEADLY = """
import os, signal, sys
from grokscope import hookimpl, task
@task
def deadly(*, way: str = ""):
    "End the process that builds it."
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "exit":
        sys.exit(7)
    if way == "raise":
        raise ZeroDivisionError("by design")
    from grokscope.tasks import modadd
    return modadd.build(p=5)
@hookimpl
def grokscope_tasks():
    return [deadly]
"""


def test_a_process_that_dies_costs_only_its_run(tmp_path, stranger):
    command = [sys.executable, "-m", "grokscope", "sweep", "deadly", "--workers", "2", "--set", "steps=2"]
    ended = subprocess.run(
        [*command, "--grid", "way=kill,fine,exit,raise,good", "--out", str(tmp_path / "out")],
        env=stranger("deadly", DEADLY),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 3, ended.stderr
    assert len(ended.stdout.splitlines()) == 2
    for path in ended.stdout.splitlines():
        assert Run.open(path).steps[-1] == 2
    assert "its process died (killed by SIGKILL)" in ended.stderr
    assert "SystemExit: 7" in ended.stderr
    assert "ZeroDivisionError: by design" in ended.stderr
    assert "3 of 5 runs failed" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("signum", "group", "code"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)]
)
def test_a_signal_lets_every_worker_write_its_checkpoint(tmp_path, signum, group, code, until):
    fixed = ["p=13", "hidden=16", "steps=40000", "checkpoint_every=1,40000", "log_every=50"]
    command = [sys.executable, "-m", "grokscope", "sweep", "modadd", "--seeds", "3", "--workers", "2"]
    command += ["--out", str(tmp_path / "out"), *(word for each in fixed for word in ("--set", each))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until(lambda: len(list(tmp_path.glob("out/*/checkpoints/*.safetensors"))) >= 4, process)
        if group:  # as a terminal's Ctrl-C does
            os.killpg(process.pid, signum)
        else:
            process.send_signal(signum)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert out == ""
    assert "stopped with 0 of 3 runs finished; to go on: grokscope sweep modadd" in err
    assert "Traceback" not in err
    steps = [Run.open(path).steps for path in (tmp_path / "out").iterdir()]
    assert len(steps) == 2
    assert all(found[:2] == (0, 1) and len(found) == 3 and found[2] < 40000 for found in steps), steps


def test_workers_write_a_checkpoint_and_end_when_the_sweep_is_killed(tmp_path, until):
    fixed = ["p=13", "hidden=16", "steps=99999999", "checkpoint_every=1,99999999", "log_every=50"]
    command = [sys.executable, "-m", "grokscope", "sweep", "modadd", "--seeds", "2", "--workers", "2"]
    command += ["--out", str(tmp_path), *(word for each in fixed for word in ("--set", each))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: len(list(tmp_path.glob("*/checkpoints/*.safetensors"))) >= 4, process)
    finally:
        process.kill()
    _, err = process.communicate(timeout=60)  # it ends when the last process that may write there has gone
    assert "Traceback" not in err
    assert [len(Run.open(path).steps) for path in tmp_path.iterdir()] == [3, 3]


def test_an_interrupted_caller_leaves_no_process_behind(tmp_path):
    class Interrupted(Exception):
        pass

    def progress(state):
        if state.step:
            raise Interrupted

    fixed = {**FIXED, "steps": 99_999_999, "checkpoint_every": "99999999"}
    with pytest.raises(Interrupted):
        sweep("modadd", seeds=2, settings=fixed, out=tmp_path, workers=2, progress=progress)
    started = list(tmp_path.iterdir())
    assert started
    for path in started:
        assert len(Run.open(path).steps) <= 2
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_clauw_groks_with_weight_decay_2_and_not_yet_with_less(tmp_path):
    grid = {"weight_decay": [0.1, 2]}
    done = sweep(
        "modadd", recipe="clauw", grid=grid, seeds=2, settings={"steps": 450}, out=tmp_path, workers=2
    )
    assert len(done.finished) == 4, done.failures
    runs = [Run.open(path) for path in done.finished]
    for run in runs:
        assert run.memorisation_step() <= 60
    assert [run.grokking_step() is not None for run in runs] == [False, False, True, True]
