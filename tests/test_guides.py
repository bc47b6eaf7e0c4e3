"""Guides are true as far as is told cheaply: commands, options, snippets and files that they name exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from grokscope.cli import app

ROOT = Path(__file__).parent.parent
GUIDES = sorted((ROOT / "examples" / "guides").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`((?:tests|examples|grokscope|plugins)/[\w./-]+\w)`|\b(tests/[\w./-]+\.(?:sh|py|txt))\b")


def blocks(path, language):
    return [text for found, text in BLOCK.findall(path.read_text()) if found == language]


def test_there_are_guides():
    assert GUIDES


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_commands_and_options_exist(path):
    known = typer.main.get_command(app).commands
    lines = [line for text in blocks(path, "console") for line in text.splitlines()]
    for line in lines:
        if line.startswith("$ grokscope "):
            _, name, *arguments = shlex.split(line[2:], comments=True)
            known[name].make_context(name, arguments, resilient_parsing=True)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_snippets_compile(path):
    for text in blocks(path, "python"):
        compile(text, path.name, "exec")


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_files_exist(path):
    for names in FILE.findall(path.read_text()):
        name = next(filter(None, names))
        assert (ROOT / name).exists(), f"{path.name} names {name}, which is not there"
