"""Figures of measured runs: what is drawn is decided in numbers first, then drawn by matplotlib or plotext.

matplotlib and numpy are imported when a figure is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from grokscope.analysis import Comparison, Results
from grokscope.errors import UsageError
from grokscope.report.figures.columns import chosen_columns, one_column
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "chosen_columns", "curves", "one_column", "pareto", "picture", "plot"]

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
        columns: names as in `chosen_columns`; None is every column of numbers that is not by layer.
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
        horizontal, vertical = pareto
        return _pareto(found, horizontal, vertical, size=size)
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
    _require_matplotlib()
    from grokscope.report.figures import drawing
    from grokscope.report.figures.courses import Picture

    chosen = chosen_columns(found, columns, per_layer)
    picture = Picture.of(_comparison(found), chosen, normalise=normalise, train=train, test=test)
    return drawing.draw_curves(picture, scale=x, phases=phases or {}, size=size, title=title)


def pareto(
    found: Comparison | Results,
    x: str,
    y: str,
    *,
    size: tuple[float, float] | None = None,
    title: str | None = None,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
) -> Figure:
    """Return column `y` over column `x`, a point for every step of every run, coloured by step.

    Raises UsageError: as `plot` does.
    """
    _require_matplotlib()
    from grokscope.report.figures import drawing
    from grokscope.report.figures.courses import Picture

    chosen = [one_column(found, x), one_column(found, y)]
    picture = Picture.of(_comparison(found), chosen, normalise=False, train=train, test=test)
    return drawing.draw_pareto(picture, chosen[0], chosen[1], size=size, title=title)


_pareto = pareto  # `plot` has an argument of that name


def picture(figure: Figure, format: str) -> bytes:
    """Return `figure` as a file of `format`: the same figure gives the same bytes.

    Raises UsageError: a format that is not one of FORMATS.
    """
    if format not in FORMATS:
        raise UsageError(f"a figure's format must be {', '.join(FORMATS)}, got {format!r}")
    from grokscope.report.figures import drawing

    return drawing.as_file(figure, format)


def _comparison(found: Comparison | Results) -> Comparison:
    return Comparison({found.run: found}, {}, {}) if isinstance(found, Results) else found


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("a figure needs matplotlib: pip install 'grokscope[report]'") from error
