"""How a docstring is set in the terminal: titles bold, paragraphs filled to the width."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from grokscope.report.text import printable
from grokscope.sections import read_sections


def prose(docstring: str) -> Iterator[RenderableType]:
    """Yield the docstring's sections, each with its title, paragraphs set in and an empty line below."""
    for section in read_sections(docstring):
        yield Text(printable(section.title), style="bold")
        for number, block in enumerate(section.blocks):
            if number and not block.startswith("- "):
                yield Text()
            yield Padding(Text(printable(block)), (0, 0, 0, 2))
        yield Text()
