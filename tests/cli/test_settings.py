"""The options of `train` and `sweep` are what is declared: by training, the task, the network, a plugin."""

import json
import re

import pytest

from grokscope import load_plugins, model, task
from grokscope.cli.settings import options_of
from grokscope.training.settings import TRAINING

PLUGGED = """
from typing import Annotated
import torch
from grokscope import Param, Task, hookimpl, task

@task
def copying(*, letters: Annotated[int, Param("symbols to copy", min=2, max=64)] = 8,
            seed: Annotated[int, Param("draws the split", min=0)] = 0, shuffled: bool = True):
    "Say the letter that was said."
    return Task("copying", "other", inputs=torch.arange(letters)[:, None], labels=torch.arange(letters),
                train=torch.arange(letters // 2), test=torch.arange(letters // 2, letters),
                vocabulary=letters, classes=letters)

@hookimpl
def grokscope_tasks():
    return [copying]
"""


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_help_of_a_task_has_every_setting_of_it_its_network_and_training(cli, wide, command):
    plugins = load_plugins()
    for name, network in (("modadd", "mlp"), ("digits", "mlp"), ("imdb", "lstm"), ("parity", "mlp")):
        ended = cli(command, name, "--model", network, "--help")
        assert ended.code == 0, ended.err
        for parameters in (TRAINING, plugins.tasks[name].parameters, plugins.models[network].parameters):
            for setting in parameters:
                assert f"--{setting.replace('_', '-')} " in ended.out, (name, setting)
    assert "--p " not in cli(command, "digits", "--help").out
    assert "--d-model" in cli(command, "modadd", "--recipe", "nanda", "--help").out


def test_help_shows_what_the_recipe_sets_and_bounds_and_choices(cli, wide):
    out = cli("train", "modadd", "--recipe", "nanda", "--help").out
    assert "the modulus; a prime for divide (>= 2, <= 2048) [default: 113]" in out
    assert "one of add, subtract, multiply, divide, quadratic, random" in out
    assert "<bool>" not in out
    assert "the modulus" not in cli("train", "--help").out


def test_a_setting_whose_name_is_taken_has_its_table_s_name_before_it():
    @task
    def said(*, seed: int = 0, out: str = ""):
        """Whatever."""

    @model
    def hears(task, *, out: str = "", seed: float = 1.0):
        """Whatever."""

    declared = {"training": TRAINING, "task": said.parameters, "model": hears.parameters}
    flags = {option.dotted: option.flag for option in options_of(declared, ["--out"])}
    assert flags["training.seed"] == "--seed"
    assert (flags["task.seed"], flags["task.out"]) == ("--task-seed", "--task-out")
    assert (flags["model.seed"], flags["model.out"]) == ("--model-seed", "--model-out")


def test_a_plugin_s_task_has_its_settings_as_options(stranger_here, cli, wide, tmp_path):
    stranger_here("mine", PLUGGED)
    words = (
        "copying",
        "--letters",
        "10",
        "--task-seed",
        "3",
        "--no-shuffled",
        "--steps",
        "2",
        "--hidden",
        "4",
    )
    ended = cli("train", *words, "--seed", "1", "--out", tmp_path / "run", "--json", "--quiet")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["seed"] == 1
    text = (tmp_path / "run" / "run.toml").read_text()
    for line in ("letters = 10", "seed = 3", "shuffled = false", "steps = 2"):
        assert line in text
    refused = cli("train", "copying", "--letters", "1")
    assert refused.code == 2
    assert "letters must be int >= 2, <= 64, got '1'" in refused.err


def test_sweep_takes_the_options_of_train(cli, tmp_path):
    fixed = ("--p", "11", "--hidden", "12", "--steps", "4", "--checkpoint-every", "4")
    ended = cli(
        *("sweep", "modadd", *fixed, "--grid", "weight_decay=0.1,2", "--workers", "1"),
        *("--out", tmp_path, "--json", "--quiet"),
    )
    assert ended.code == 0, ended.err
    swept = json.loads(ended.out)
    assert [run["steps"] for run in swept["runs"]] == [4, 4]
    assert swept["failed"] == []
    alone = cli("train", "modadd", *fixed, "--weight-decay", "2", "--out", tmp_path / "alone", "--json", "-q")
    assert json.loads(alone.out)["state"] == "finished"
    configs = [
        (path / "run.toml").read_text() for path in (tmp_path / "alone", tmp_path / swept["runs"][1]["run"])
    ]
    assert configs[0] == configs[1]


def test_words_stand_in_any_order_and_the_task_is_found(cli, tmp_path):
    words = (
        "--steps",
        "2",
        "--p",
        "7",
        "--no-constrain-norm",
        "--hidden=8",
        "modadd",
        "--out",
        tmp_path / "r",
    )
    ended = cli("train", *words, "--json", "--quiet")
    assert json.loads(ended.out)["task"] == "modadd"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("modadd", "--pp", "3"), "o such option.*--pp"),
        (("digits", "--p", "3"), "o such option.*--p"),
        (("modadd", "--lr", "0.1", "--set", "lr=1"), "training.lr must be given once, got it as lr too"),
        (("modadd", "--steps", "many"), "steps must be int"),
    ],
)
def test_what_is_no_setting_of_the_task_is_refused(cli, tmp_path, words, sentence):
    ended = cli("train", *words, "--out", tmp_path / "run")
    assert ended.code == 2
    assert re.search(sentence, ended.err), ended.err
    assert not (tmp_path / "run").exists()


def test_a_plugin_left_out_brings_no_task_and_is_not_loaded(stranger_here, cli):
    stranger_here("mine", PLUGGED.replace("import torch", "import torch; print('loaded')"))
    ended = cli("train", "copying", "--no-plugins", "mine", "--help")
    assert ended.code == 2
    assert "loaded" not in ended.out + ended.err
    assert "unknown task 'copying'" in ended.err
