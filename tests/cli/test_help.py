"""What `--help` has of every command: examples that can be parsed, flags without a type, the variables."""

import re
import shlex

import pytest
import typer

from grokscope.cli import app
from grokscope.cli.command import EXAMPLES, help_and_examples

COMMANDS = typer.main.get_command(app).commands


def examples(name):
    title, *lines = COMMANDS[name].epilog.split("\n\n")
    assert title == EXAMPLES
    return lines


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_two_or_three_examples_that_can_be_parsed(cli, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "120")
    assert 2 <= len(examples(name)) <= 3
    end = cli(name, "--help").out.split(EXAMPLES)[-1]
    assert [line.strip() for line in end.splitlines() if line.strip()] == examples(name)
    whole = typer.main.get_command(app)
    for example in examples(name):
        program, *words = shlex.split(example)
        assert (program, words[0]) == ("grokscope", name)
        with whole.make_context("grokscope", words) as context:
            _, command, others = whole.resolve_command(context, words)
            command.make_context(name, others, parent=context).close()  # raises where a word is none


@pytest.mark.parametrize("name", COMMANDS)
def test_a_flag_shows_no_type(cli, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "120")
    out = cli(name, "--help").out
    assert "<bool>" not in out
    assert not re.search(r"\bBOOLEAN\b", out)


def test_the_variables_are_named(cli):
    out = cli("--help").out
    for name in ("GROKSCOPE_DATA_DIR", "GROKSCOPE_DISABLE_PLUGINS", "GROKSCOPE_DEBUG"):
        assert name in out
    assert "GROKSCOPE_DATA_DIR" in cli("analyze", "--help").out
    assert "<bool>" not in out


def test_examples_stand_at_the_end_of_a_docstring():
    words, last = help_and_examples("Do it.\n\nSoon.\n\nExamples:\n    grokscope a\n    grokscope b\n")
    assert words == "Do it.\n\nSoon."
    assert last == "Examples\n\ngrokscope a\n\ngrokscope b"


def test_what_was_written_before_the_options_had_one_name_still_works(cli, run_path, tmp_path):
    ended = cli(
        "analyze", run_path, "-m", "weight_norm", "--steps", "0", "--csv", "-", "--out", tmp_path / "kept"
    )
    assert ended.code == 0, ended.err
    assert list((tmp_path / "kept").rglob("*.h5"))
    again = cli("export", run_path, "--results", tmp_path / "kept", f"--out={tmp_path / 'a.csv'}")
    assert again.code == 0, again.err
    assert "weight_norm" in (tmp_path / "a.csv").read_text()
    assert "--out " not in cli("analyze", "--help").out
