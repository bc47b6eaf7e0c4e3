"""Figures of measured runs: what is drawn is decided in numbers first, then drawn by matplotlib or plotext.

matplotlib and numpy are imported when a figure is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from grokscope.errors import UsageError
from grokscope.extras import from_extra
from grokscope.results import Comparison, Results
from grokscope.results.columns import LOSS, chosen_columns, one_column
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.run.outputs import is_stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

__all__ = [
    "FORMATS",
    "chosen_columns",
    "curves",
    "format_of",
    "one_column",
    "pareto",
    "picture",
    "plot",
    "plot_text",
    "require_matplotlib",
    "require_plotext",
]

FORMATS = ("png", "svg", "pdf")
Scale = Literal["log", "linear"]
Columns = str | Iterable[str] | None


def plot(
    found: Comparison | Results,
    columns: Columns = None,
    *,
    x: Scale = "log",
    normalise: bool = False,
    per_layer: bool = False,
    pareto: Sequence[str] | None = None,
    phases: Mapping[str, Any] | None = None,
    size: tuple[float, float] | None = None,
) -> Figure:
    """Return the figure of measured runs: their courses over the steps, or one column over another.

    Args:
        found: what `analyze` or `analyze_many` returned.
        columns: names as in `chosen_columns`; None is every column of numbers that is not by layer, or the
            losses where nothing was measured.
        x: the step axis. On `log` the way from step 0 to the first step after it is linear.
        normalise: every column of every run from its lowest (0) to its highest value (1).
        per_layer: the columns by layer of the named measures too.
        pareto: two columns; the second is drawn over the first, coloured by step, and nothing else.
        phases: each run's phases, by the run's name: objects whose `found` has `name`, `start` and `end`.
        size: width and height in inches.

    Raises:
        UsageError: an unknown column, too many of them, or matplotlib is not installed.
    """
    if pareto is not None:
        return _pareto(found, *_pair(found, pareto), colour=x, size=size)
    return curves(found, columns, x=x, normalise=normalise, per_layer=per_layer, phases=phases, size=size)


def curves(
    found: Comparison | Results,
    columns: Columns = None,
    *,
    x: Scale = "log",
    normalise: bool = False,
    per_layer: bool = False,
    phases: Mapping[str, Any] | None = None,
    size: tuple[float, float] | None = None,
    title: str | None = None,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
) -> Figure:
    """Return train and test accuracy (left axis) and columns (right axis) over the steps.

    Runs whose settings differ in the seed alone are one line, their mean, in a band from the lowest to the
    highest of them. Where other settings differ there is a line for each of these, in panels below the
    accuracies. Memorisation and grokking steps are marked, over several runs by their median.

    Args:
        found, columns, x, normalise, per_layer, phases, size: as for `plot`.
        title: the heading; None tells the runs.
        train, test: accuracies that count as memorised and grokked.

    Raises UsageError: as `plot` does.
    """
    require_matplotlib()
    from grokscope.report.figures.courses import Picture
    from grokscope.report.figures.drawing import draw_curves

    chosen = _chosen(found, columns, per_layer)
    picture = Picture.of(_comparison(found), chosen, scale=x, normalise=normalise, train=train, test=test)
    return draw_curves(picture, phases=phases or {}, size=size, title=title)


def pareto(
    found: Comparison | Results,
    x: str,
    y: str,
    *,
    colour: Scale = "log",
    size: tuple[float, float] | None = None,
    title: str | None = None,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
) -> Figure:
    """Return column `y` over column `x`, a point for every step of every run, coloured by step.

    Runs whose settings differ in more than the seed have a panel for each of these settings.

    Args:
        x, y: names as in `one_column`.
        colour: the scale of the steps' colours.
        found, size, title, train, test: as for `curves`.

    Raises UsageError: as `plot` does.
    """
    require_matplotlib()
    from grokscope.report.figures.courses import Picture
    from grokscope.report.figures.pareto import draw_pareto

    chosen = _pair(found, (x, y))
    picture = Picture.of(_comparison(found), chosen, scale=colour, finer=False, train=train, test=test)
    return draw_pareto(picture, *chosen, size=size, title=title)


_pareto = pareto  # `plot` has an argument of that name


def plot_text(
    found: Comparison | Results,
    columns: Columns = None,
    *,
    width: int,
    height: int,
    colour: bool,
    x: Scale = "log",
    normalise: bool = False,
    per_layer: bool = False,
    pareto: Sequence[str] | None = None,
) -> RenderableType:
    """Return what `plot` draws as text of `width` columns and about `height` rows, for rich to print.

    Without `colour` symbols tell the lines apart.

    Raises UsageError: as `plot` does, and where plotext is not installed.
    """
    require_plotext()
    from grokscope.report.figures import terminal
    from grokscope.report.figures.courses import Picture

    comparison = _comparison(found)
    if pareto is not None:
        pair = _pair(found, pareto)
        return terminal.pareto_text(Picture.of(comparison, pair, finer=False), pair, width, height, colour)
    chosen = _chosen(found, columns, per_layer)
    shown = Picture.of(comparison, chosen, scale=x, normalise=normalise)
    return terminal.curves_text(shown, width, height, colour)


def picture(figure: Figure, format: str) -> bytes:
    """Return `figure` as a file of `format`: the same figure gives the same bytes.

    Raises UsageError: a format that is not one of FORMATS.
    """
    if format not in FORMATS:
        raise UsageError(f"a figure's format must be {', '.join(FORMATS)}, got {format!r}")
    from grokscope.report.figures.axes import as_file

    return as_file(figure, format)


def format_of(path: str | Path) -> str:
    """Return the format that a file's name asks for, png for a pipe or device whose name asks for none.

    Raises UsageError for another.
    """
    kind = Path(path).suffix.lower().removeprefix(".") or (FORMATS[0] if is_stream(path) else "")
    if kind not in FORMATS:
        raise UsageError(f"a figure's file must end in .{', .'.join(FORMATS)}, got {path}")
    return kind


def _chosen(found: Comparison | Results, columns: Columns, per_layer: bool) -> list[str]:
    chosen = chosen_columns(found, columns, per_layer)
    return chosen_columns(found, LOSS) if columns is None and not chosen else chosen


def _pair(found: Comparison | Results, names: Sequence[str]) -> tuple[str, str]:
    if len(names) != 2:
        raise UsageError(f"pareto must be two columns, got {len(names)}")
    return one_column(found, names[0]), one_column(found, names[1])


def _comparison(found: Comparison | Results) -> Comparison:
    return Comparison({found.run: found}, {}, {}) if isinstance(found, Results) else found


def require_plotext() -> None:
    """Raise UsageError where plotext is missing."""
    with from_extra("report", "a plot in the terminal"):
        import plotext  # noqa: F401


def require_matplotlib() -> None:
    """Raise UsageError where matplotlib is missing."""
    with from_extra("report", "a figure"):
        import matplotlib  # noqa: F401
