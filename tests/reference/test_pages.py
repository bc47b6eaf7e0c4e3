"""The reference pages are those of the declarations, and a page that is not is found."""

from pathlib import Path

import pytest

from grokscope import load_plugins
from grokscope.cli import PANELS
from grokscope.reference.__main__ import main
from grokscope.reference.pages import pages

FOLDER = Path(__file__).parents[2] / "examples" / "reference"


@pytest.fixture(scope="module")
def made():
    return pages()


def test_the_pages_are_those_of_the_declarations():
    assert main([str(FOLDER), "--check"]) == 0, "run python -m grokscope.reference"


def test_a_page_that_differs_or_is_no_page_is_named_and_made_good(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    (tmp_path / "claims.md").write_text("by hand")
    (tmp_path / "old.md").touch()
    assert main([str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == [
        str(tmp_path / "claims.md"),
        str(tmp_path / "old.md"),
    ]
    assert main([str(tmp_path)]) == main([str(tmp_path), "--check"]) == 0
    assert not (tmp_path / "old.md").exists()


def test_every_command_and_every_measure_has_its_page(made):
    for commands in PANELS.values():
        for name in commands:
            assert f"\n### grokscope {name}\n" in made["commands.md"]
    for entry in load_plugins().registered:
        if entry.distribution == "grokscope":
            assert f"(measures/{entry.plugin}.md#{entry.measure.name})" in made["measures.md"]
            assert f"\n## {entry.measure.name}\n" in made[f"measures/{entry.plugin}.md"]


def test_tables_have_as_many_cells_in_every_row(made):
    for name, text in made.items():
        for block in text.split("\n\n"):
            if block.startswith("| "):
                cells = {line.replace("\\|", "").count("|") for line in block.splitlines()}
                assert len(cells) == 1, f"{name}: {block[:80]}"
