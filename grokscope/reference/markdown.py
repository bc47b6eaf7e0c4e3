"""How text becomes Markdown: nothing in a docstring or a help text is read as markup that it did not mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from grokscope.sections import read_sections

_CODE = re.compile(r"(`[^`]*`)")


def escaped(words: object) -> str:
    """Return text in which `<` begins no tag; what stands in backticks is left as it is.

    >>> escaped("<w, w0> of `<w>`")
    '&lt;w, w0> of `<w>`'
    """
    parts = _CODE.split(str(words))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def code(words: object) -> str:
    """Return text as code.

    >>> code(0.1)
    '`0.1`'
    """
    return f"`{words}`"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Return a table; a cell is one line of Markdown.

    >>> print(table(["name", "what"], [["`a`", "x | y"]]))
    | name | what |
    |---|---|
    | `a` | x \| y |
    """
    lines = [list(headers), *rows]
    cells = [" | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) for line in lines]
    head, *body = (f"| {line} |" for line in cells)
    return "\n".join([head, "|" + "---|" * len(headers), *body])


def prose(docstring: str) -> str:
    """Return a docstring as paragraphs and lists, each later section's title in bold before its first."""
    parts: list[str] = []
    for number, section in enumerate(read_sections(docstring)):
        if number:
            parts.append(f"**{section.title}**")
        for is_list, group in groupby(section.blocks, lambda block: block.startswith("- ")):
            blocks = [_paragraph(block) for block in group]
            parts += ["\n".join(blocks)] if is_list else blocks
    return "\n\n".join(parts)


def _paragraph(block: str) -> str:
    return f"```\n{block}\n```" if block.startswith((" ", ">>>")) else escaped(block)


def page(title: str, opening: str, *parts: str) -> str:
    """Return a whole page, which says that it is made."""
    made = "<!-- made by `python -m grokscope.reference` from the declarations; do not edit -->"
    return "\n\n".join([made, f"# {title}", opening, *filter(None, parts)]) + "\n"
