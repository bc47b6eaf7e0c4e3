"""A report as one HTML file: it opens offline, without a server, and runs nothing but what it brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokscope.errors import UsageError
from grokscope.report.page.content import content_of
from grokscope.report.page.document import html
from grokscope.report.page.judging import judged
from grokscope.results import Comparison
from grokscope.run.outputs import is_stream, write_output

__all__ = ["checked_path", "page", "write_report"]

SUFFIXES = (".html", ".htm")


def page(
    comparison: Comparison,
    scores: Any = None,
    phases: Mapping[str, Any] | None = None,
    *,
    title: str = "",
    per_layer: bool = False,
    pareto: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Return the report of `comparison` as HTML; the same input gives the same text.

    Numbers are held as float32 (7 digits), or as float64 where that would lose one; the curve of a run that
    has more than 2000 points is thinned, which the page says.

    Args:
        scores: from `score`; without them the page has no score table.
        phases: from `phases`, by run.
        title: instead of the task and recipe.
        per_layer: also the columns by layer of measures that have a total.
        pareto: the columns on the axes of the Pareto plot when it opens, x first.
        notes: further sentences for the page's notes.

    Raises:
        UsageError: there is no run to report on.
        UnknownName: no run has a column that `pareto` asks for.
    """
    if not comparison.runs:
        raise UsageError("a report must have at least one run, got none that could be measured")
    return html(
        content_of(
            comparison,
            scores,
            phases or {},
            title=title,
            per_layer=per_layer,
            pareto=pareto,
            notes=notes,
        )
    )


def write_report(
    comparison: Comparison,
    path: str | Path,
    *,
    title: str = "",
    per_layer: bool = False,
    pareto: Sequence[str] | None = None,
) -> Path:
    """Write the report of `comparison` to the HTML file `path` and return it.

    The file appears whole or not at all. A link, pipe or device is written to.

    Scores and phases are computed; where that cannot be, the report says why and has everything else.

    Args:
        title, per_layer, pareto: the heading, the columns by layer too, the columns on the axes of the
            Pareto plot, as for `grokscope report`.

    Raises:
        UsageError: `path` is no HTML file in a folder that exists, there is no run, or no such column.
        StorageError: the file cannot be written.
    """
    path = checked_path(path)
    scores, phases, notes = judged(comparison)
    text = page(comparison, scores, phases, title=title, per_layer=per_layer, pareto=pareto, notes=notes)
    write_output(path, text.encode("utf-8", "replace"))
    return path


def checked_path(path: str | Path) -> Path:
    """Return where a report can be written: an HTML file in a folder that is there, a pipe or a device.

    Raises UsageError for anything else.
    """
    path = Path(path)
    if not path.suffix and is_stream(path):
        return path
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a report must be an .html file, got {str(path)!r}; give a name such as report.html"
        )
    if path.is_dir():
        raise UsageError(
            f"a report must be a file, but {str(path)!r} is a directory; add a name such as report.html"
        )
    if not path.parent.is_dir():
        raise UsageError(
            f"a report must lie in a directory that exists, and {str(path.parent)!r} does not; make it first"
        )
    return path
