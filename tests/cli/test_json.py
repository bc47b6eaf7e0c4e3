"""`--json` on every command that prints: one JSON document on stdout, and nothing else there."""

import json

import pytest
import typer

from grokscope.cli import app

# What writes a file, draws, or removes has nothing to print.
PRINTS_NO_DATA = {"plot", "report", "export", "rm"}


def test_every_command_that_prints_has_it():
    for name, command in typer.main.get_command(app).commands.items():
        flags = [flag for option in command.params for flag in option.opts]
        assert ("--json" in flags) == (name not in PRINTS_NO_DATA), name


@pytest.mark.parametrize(
    ("words", "first", "has"),
    [
        (("measures",), "fit", {"name", "columns", "parameters", "help"}),
        (("measures", "pmi"), "pmi", {"name", "columns", "parameters", "help"}),
        (("plugins",), "core", {"name", "measures", "tasks", "figures", "problem"}),
        (("recipes", "nanda"), "nanda", {"name", "task", "settings", "must_show"}),
        (("predict", "--list"), None, {"name", "claim", "columns", "about"}),
        (("reproduce", "--list"), None, {"name", "claim", "title", "runs"}),
    ],
)
def test_what_is_registered(cli, words, first, has):
    ended = cli(*words, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert has <= set(found[0])
    if first:
        assert first in [each["name"] for each in found]


def test_a_run(cli, run_path):
    shown = json.loads(cli("show", run_path, "--json").out)
    assert shown["config"]["task"]["p"] == 13
    assert shown["checkpoint_steps"] == [0, 10, 20, 30, 40, 50, 60]
    assert len(shown["curves"]["step"]) == len(shown["curves"]["test_accuracy"])
    assert [run["run"] for run in json.loads(cli("show", run_path, run_path, "--json").out)] == [
        str(run_path)
    ] * 2


def test_a_new_plugin(cli, tmp_path):
    files = json.loads(cli("new-plugin", "tails", "--out", tmp_path, "--json").out)
    assert all(str(tmp_path) in file for file in files)
