"""How foreign text and numbers become something safe and readable: nothing here trusts a name."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
_UNESCAPED = re.compile(r"[\x7f-\x9f]")  # what json.dumps leaves as it is
BLOCKS = "▁▂▃▄▅▆▇█"


def printable(text: str) -> str:
    r"""Return `text` with everything that is not printable (control characters, escapes) replaced.

    >>> printable("a\x1b[31mb")
    'a�[31mb'
    """
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def without_controls(text: str) -> str:
    r"""Return `text` with the control characters replaced that a terminal would obey; lines and tabs stay.

    >>> without_controls("a\t\x1b[2Jb")
    'a\t�[2Jb'
    """
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def number(value: float | str) -> str:
    """Return a value as a table shows it: four significant digits, a dash for what is missing.

    >>> number(0.123456), number(1234567.0), number(float("nan")), number(3.0)
    ('0.1235', '1.235e+06', '–', '3')
    """
    if isinstance(value, str):
        return printable(value) or "–"
    return "–" if math.isnan(value) else f"{value:.4g}"


def percent(value: float, digits: int = 2) -> str:
    """Return a share as a table shows it, a dash for what is missing.

    >>> percent(0.5), percent(float("nan"))
    ('50.00%', '–')
    """
    return "–" if math.isnan(value) else f"{value:.{digits}%}"


def sparkline(values: Sequence[float | str], width: int) -> str:
    """Return a line of `width` blocks, each the mean of its share of `values`; a blank where none is finite.

    >>> sparkline([0, 1, 2, 3], 4)
    '▁▃▆█'
    """
    means = [_mean(values[start:stop]) for start, stop in shares(len(values), width)]
    finite = [mean for mean in means if mean is not None]
    if not finite:
        return " " * len(means)
    low, span = min(finite), (max(finite) - min(finite))
    top = len(BLOCKS) - 1
    return "".join(
        " " if mean is None else BLOCKS[round((mean - low) / span * top) if span > 0 else 0] for mean in means
    )


def shares(count: int, width: int) -> list[tuple[int, int]]:
    """Return at most `width` half-open index ranges that divide `count` values evenly.

    >>> shares(5, 2)
    [(0, 2), (2, 5)]
    """
    width = min(width, count)
    return [(count * i // width, count * (i + 1) // width) for i in range(width)]


def _mean(values: Sequence[float | str]) -> float | None:
    finite = [value for value in values if isinstance(value, (int, float)) and math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


def csv_cell(value: Any) -> Any:
    r"""Return a value as CSV holds it: numbers as they are, missing ones empty, text disarmed.

    Text that a spreadsheet would run as a formula gets an apostrophe. A terminal that the CSV is shown in
    obeys nothing in it.

    >>> csv_cell("=1+1"), csv_cell(-1.5), csv_cell(float("nan")), csv_cell("a\x1b[2Jb")
    ("'=1+1", '-1.5', '', 'a�[2Jb')
    """
    if isinstance(value, str):
        shown = without_controls(value)
        return f"'{shown}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else shown
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return value


def csv_of(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns as CSV in which nothing is a formula to a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows(zip(*map(_csv_column, columns.values()), strict=True))
    return stream.getvalue()


def _csv_column(values: Sequence[Any]) -> list[Any]:
    """Return a column's cells; a float that is a number stays, since CSV writers write it as `repr` does."""
    return [value if type(value) is float and value == value else csv_cell(value) for value in values]


def json_text(value: Any, indent: int | None = 2, ascii: bool = False) -> str:
    r"""Return JSON in which what is not finite is null; on one line where `indent` is None.

    Control characters are escaped, with `ascii` all that is not ASCII.

    >>> json_text("a\x1b\x9bü"), json_text("ü", ascii=True)
    ('"a\\u001b\\u009bü"', '"\\u00fc"')
    """
    text = json.dumps(_finite(value), ensure_ascii=ascii, allow_nan=False, indent=indent)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
