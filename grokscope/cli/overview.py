"""What `grokscope --help` shows: a line for each command, drawn without making one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

NAMES, SHORT, BORDER = "bold cyan", "bold green", "dim"  # as typer shows the help of a command


def print_overview(usage: str, about: str, options: Iterable[Any], commands: Mapping[str, Any]) -> None:
    """Print how the command line is used, its options, and by panel each command's name and what it does."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    shown = [_option_row(each) for each in options if not each.hidden]
    width = max(len(name) for rows in commands.values() for name, _ in rows)
    panels = {"Options": _grid(shown), **{title: _grid(rows, width) for title, rows in commands.items()}}
    console = Console(highlight=False, emoji=False)
    console.print(Padding(Text(usage, "bold"), 1))
    console.print(Padding(about, (0, 1, 1, 1)))
    for title, content in panels.items():
        console.print(Panel(content, title=Text(title), title_align="left", border_style=BORDER))


def _option_row(option: Any) -> tuple[str, str, str]:
    long = ",".join(flag for flag in option.opts if flag.startswith("--"))
    short = ",".join(flag for flag in option.opts if not flag.startswith("--"))
    return long, short, option.help or ""


def _grid(rows: Sequence[Sequence[str]], width: int | None = None) -> Table:
    from rich.table import Table

    grid = Table(show_header=False, expand=True, box=None, pad_edge=False, padding=(0, 1))
    grid.add_column(style=NAMES, no_wrap=True, width=width)
    if len(rows[0]) == 3:
        grid.add_column(style=SHORT, no_wrap=True)
    grid.add_column(ratio=1)
    for row in rows:
        grid.add_row(*row)
    return grid
