"""The library names arguments; the command line says its flags."""

import ast
import re
from pathlib import Path

import pytest
import typer

import grokscope
from grokscope import UsageError, analyze
from grokscope.cli import app
from grokscope.cli import wording as worded

LIBRARY = Path(grokscope.__file__).parent


@pytest.mark.parametrize(
    ("argument", "flag", "given"),
    [
        ("steps", "--steps", "every"),
        ("baseline", "--baseline", "middle"),
        ("settings", "--set", "pmi=3"),
    ],
)
def test_a_refusal_names_what_the_caller_wrote(cli, run_path, argument, flag, given):
    ended = cli("analyze", run_path, "-m", "fit,pmi,weight_distance", flag, given)
    assert ended.code == 2
    assert f"{flag} must be" in ended.err
    assert "`" not in ended.err
    value = {"pmi": 3} if argument == "settings" else given
    with pytest.raises(UsageError, match=f"`{argument}` must be"):
        analyze(run_path, "fit,pmi,weight_distance", **{argument: value})


def test_an_argument_that_the_command_has_no_flag_for_is_left_as_it_is(cli, run_path):
    ended = cli("train", "modadd", "--out", run_path)
    assert "choose another directory with --out" in ended.err
    worded.speak_of(typer.main.get_command(app).commands["import"].params)
    assert (
        worded.worded("another directory with `out`, or `strip`") == "another directory with RUN, or --strip"
    )
    worded.speak_of([])
    assert worded.worded("`out` must be") == "`out` must be"


def sentences(path):
    """Every text in a file that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_sentence_of_the_library_names_a_flag():
    rooms = ("cli", "report", "reproduce", "reference")  # their pages and tables are the command line's own
    others = ("--sparse", "--editable")  # of cp and pip
    for path in LIBRARY.rglob("*.py"):
        if path.relative_to(LIBRARY).parts[0] not in rooms:
            for text in sentences(path):
                found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - set(others)
                # A command to run, `grokscope analyze RUN --steps 20`, is spread over several texts; what is
                # noted below a table is the command line's own.
                spared = "analyze" in text or path.name in ("subnetwork.py", "columns.py")
                assert not found or spared, (path, text)
