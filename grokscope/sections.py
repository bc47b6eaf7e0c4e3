"""A docstring as sections: which titles a measure's has, and where one section ends and the next begins."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

OPENING = "What it is"  # what stands before the first title: the summary and the formula
TITLES = ("Shapes and units", "How it is computed", "Cost", "Traps", "Source")
LISTS = ("Args", "Attributes", "Raises")  # their lines are entries, `name: what it is`
_TITLE = re.compile(r"^([^\s-].*):\n(?=[ ]+\S)", flags=re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A title and its blocks: paragraphs on one line, list items (`- ...`), and what is set in, as it is."""

    title: str
    blocks: tuple[str, ...]


def read_sections(docstring: str) -> list[Section]:
    r"""Return the sections of a docstring without indentation, as `inspect.getdoc` gives it.

    A title is a line that ends in a colon, with a line that is set in below it.

    >>> for section in read_sections("Count.\n\nOne by\none.\n\nCost:\n    Time.\n\n    Memory."):
    ...     print(section)
    Section(title='What it is', blocks=('Count.', 'One by one.'))
    Section(title='Cost', blocks=('Time.', 'Memory.'))
    """
    opening, *rest = _TITLE.split(docstring)
    titled = [(OPENING, opening), *zip(rest[::2], rest[1::2], strict=True)]
    return [Section(title, tuple(_blocks(textwrap.dedent(body), title in LISTS))) for title, body in titled]


def _blocks(body: str, entries: bool) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", body.strip("\n")):
        if block.startswith((" ", ">>>")):
            yield block
            continue
        for item in re.split(r"\n(?=\S)" if entries else r"\n(?=- )", block):
            yield "- " * entries + " ".join(item.split())
