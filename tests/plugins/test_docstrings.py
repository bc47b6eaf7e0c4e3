"""Every measure's docstring says the same things in the same order, under titles that the terminal sets."""

import pytest
from rich.console import Console, Group

from grokscope import load_plugins
from grokscope.report.prose import prose
from grokscope.sections import OPENING, TITLES, read_sections

MEASURES = [entry.measure for entry in load_plugins().registered if entry.distribution == "grokscope"]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_measure_says_what_it_is_and_all_that_must_be_known(measure):
    sections = read_sections(measure.help)
    titles = [section.title for section in sections if section.title != "Raises"]
    assert titles == [OPENING, *TITLES]
    assert len(sections[0].blocks) > 1, "the formula follows the summary"
    for section in sections:
        assert all(len(block) > 4 for block in section.blocks), f"{section.title} is empty"


def test_there_are_measures_of_every_family():
    assert len(MEASURES) > 30


def test_sections_are_set_with_their_titles():
    console = Console(width=40, record=True)
    console.print(
        Group(*prose("Count.\n\nA list:\n- [bold]one;\n  more\n- two.\n\nCost:\n    Time,\n    all of it."))
    )
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    wanted = ["What it is", "  Count.", "", "  A list:", "  - [bold]one; more", "  - two.", ""]
    assert lines == [*wanted, "Cost", "  Time, all of it.", ""]
