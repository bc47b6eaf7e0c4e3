"""What all figures are drawn with: canvas, step axis, lines in bands, legends, headings and notes.

No pyplot, so that nothing is shared and nothing needs a display.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from grokscope.report.figures.courses import Course, Steps, decades
from grokscope.report.figures.style import QUIET, Look, drawable, look

HALO = [withStroke(linewidth=2.5, foreground="white")]
SYMBOLS = 14  # on a line that markers tell from others
ZERO_DECADES = 0.4  # how wide the way from step 0 to the first step is, in decades
THIN = "\N{THIN SPACE}"
PRINT, SCREEN = 200, 110  # dots per inch of a PNG
EM, BOLD_EM = 0.555, 0.583  # a letter's mean width in DejaVu Sans, of its size
LABEL = 0.6  # the same with room, of letters in a legend
HEADING, NOTE = 10.5, 7.5  # points
TITLE_PAD = 5.0  # points between a panel and its title
LEFT = 0.012  # of the width: where headings and notes begin
POINTS = 9  # of a label
CHARACTER = POINTS * LABEL / 72  # inches that a letter of a label takes


class Drawing(Figure):
    """A Figure that also shows itself in a notebook where nobody has asked matplotlib for it."""

    def _repr_png_(self) -> bytes:
        return as_file(self, "png", dpi=SCREEN)


def as_file(figure: Figure, format: str, dpi: int | None = None) -> bytes:
    """Return the figure as PNG, SVG or PDF, without the date or the version of what made it."""
    metadata: dict[str, Any] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    }[format]
    data = io.BytesIO()
    with look():
        FigureCanvasAgg(figure)
        figure.savefig(data, format=format, metadata=metadata, dpi=dpi or PRINT)
    return data.getvalue()


def grid_of(
    count: int, columns: int, size: tuple[float, float], sharey: bool = False, sharex: bool = True
) -> tuple[Figure, list[Any]]:
    """Return a figure of `count` panels, `columns` side by side, and its axes."""
    figure = Drawing(figsize=size, layout="constrained")
    rows = math.ceil(count / columns)
    grid = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[max(count - columns, 0) : count] if sharex else ():
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


def panels_across(axis: Any) -> int:
    """How many panels stand side by side where this one is."""
    return int(axis.get_subplotspec().get_gridspec().ncols)


def width_of(axis: Any) -> float:
    """About how many inches wide a panel is."""
    return float(axis.figure.get_size_inches()[0]) / panels_across(axis) - 1.2


def across_panel(axis: Any, step: float) -> float:
    """Where a step lies between the left edge of the panel, 0, and the right one, 1."""
    return float(axis.transAxes.inverted().transform(axis.transData.transform((step, 0)))[0])


def fitting(labels: Sequence[str], width: float, points: float = POINTS) -> int:
    """How many labels stand side by side in `width` inches."""
    letter = points * LABEL / 72
    return max(1, min(len(labels), int(width / letter / (max(map(len, labels)) + 6))))


def legend_above(
    axis: Any, labels: Sequence[str], looks: Sequence[Look], pad: float, points: float = POINTS
) -> float:
    """Name the lines above the panel, `pad` points away; return how many points that takes."""
    handles = [Line2D([], [], color=each.colour, linestyle=each.dashes, linewidth=2) for each in looks]
    columns = fitting(labels, width_of(axis), points)
    axis.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=axis.transAxes + ScaledTranslation(0, pad / 72, axis.figure.dpi_scale_trans),
        ncols=columns,
        handlelength=2.4,
        columnspacing=1.4,
        borderpad=0,
        borderaxespad=0,
        **({} if points == POINTS else {"fontsize": points}),
    )
    return 13.0 * points / POINTS * math.ceil(len(labels) / columns) + 3


def draw_line(axis: Any, course: Course, each: Look, label: str, width: float, scale: str = "linear") -> None:
    """The mean, in a band from the lowest to the highest where there are several runs."""
    if not course.is_there:
        return
    if course.runs.max() > 1:
        axis.fill_between(
            course.steps, course.low, course.high, color=each.colour, alpha=0.18, linewidth=0, zorder=1.5
        )
    axis.plot(
        course.steps,
        course.mean,
        color=each.colour,
        linestyle=each.dashes,
        linewidth=width,
        label=drawable(label),
        marker=each.marker or "o",
        markersize=4.5 if each.marker else 3,
        markeredgewidth=0,
        markevery=_marked(course, scale if each.marker else ""),
        zorder=2,
    )


def _marked(course: Course, scale: str) -> list[int]:
    """Points without neighbours, which no line shows; on a `scale` also some others, to tell lines apart."""
    there = np.isfinite(course.mean)
    padded = np.concatenate([[False], there, [False]])
    alone = np.flatnonzero(there & ~padded[:-2] & ~padded[2:])
    some = np.flatnonzero(there)
    if not scale:
        return alone.tolist()
    places = course.steps[some]
    places = np.log(places + max(places[-1] / 500, 1)) if scale == "log" else places
    wanted = np.linspace(places[0], places[-1], SYMBOLS)
    return sorted({*alone.tolist(), *some[np.searchsorted(places, wanted).clip(max=len(some) - 1)].tolist()})


def near_zero(ticks: Any) -> Callable[[float, int], str]:
    """Format the ticks of an axis; what is 0 but for rounding is 0."""

    def text(value: float, _: int) -> str:
        return short(0.0 if abs(value) < 1e-9 * max(map(abs, ticks.get_view_interval())) else value)

    return text


def short(value: float) -> str:
    """Return a number as briefly as an axis wants it.

    >>> short(0.25), short(24000.0), short(2.5e6), short(0.00002)
    ('0.25', '24000', '2.5e6', '2e-5')
    """
    text = f"{value:.6g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4e}"
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "\N{MINUS SIGN}") if text.startswith("-") else text


def step_text(step: float) -> str:
    """Return a step, with thousands apart where it is long."""
    return f"{step:,.0f}".replace(",", THIN) if step >= 10000 else f"{step:g}"


def step_axis(axis: Any, steps: Steps) -> None:
    """Lay out the step axis; on `log` it is linear between step 0 and the first step after it."""
    if steps.log_ends:
        first, last = steps.log_ends
        if steps.has_zero:
            axis.set_xscale("symlog", linthresh=first, linscale=ZERO_DECADES)
        else:
            axis.set_xscale("log")
        axis.set_xlim(-0.12 * first if steps.has_zero else first / 1.06, last * 1.06)
        axis.xaxis.set_major_locator(FixedLocator([0.0] * steps.has_zero + decades(first, last)))
        minor = LogLocator(subs=range(2, 10)).tick_values(first, last)
        axis.xaxis.set_minor_locator(FixedLocator([at for at in minor if first <= at <= last]))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        first, last = steps.all[0], steps.all[-1]
        room = 0.02 * (last - first) or 1.0
        axis.set_xlim(first - room, last + room)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: step_text(value)))


def step_words(steps: Steps) -> str:
    """Return what the step axis is called, with its scale."""
    if not steps.log_ends:
        return "step"
    first = step_text(steps.log_ends[0])
    return f"step (log scale, linear from 0 to {first})" if steps.has_zero else "step (log scale)"


def percent(value: float, _: int = 0) -> str:
    """Return a share as an axis writes it.

    >>> percent(0.25)
    '25 %'
    """
    return f"{value:.0%}".replace("%", " %")


def letters(width: float, points: float, em: float = EM) -> int:
    """How many letters of a size stand on a line of `width` inches."""
    return int(width * 72 / (points * em))


def heading_of(figure: Any, title: str, points: float = HEADING) -> None:
    """Write the title above everything, on as many lines as it takes."""
    if title:
        width = letters(figure.get_size_inches()[0], points, BOLD_EM)
        lines = "\n".join(textwrap.wrap(title, width))
        figure.suptitle(lines, x=LEFT, ha="left", fontsize=points, fontweight="bold")


def note_below(figure: Any, notes: Sequence[str]) -> None:
    """Write sentences below everything, on as many lines as they take."""
    lines = textwrap.wrap(" ".join(notes), letters(figure.get_size_inches()[0], NOTE))
    figure.supxlabel("\n".join(lines), x=LEFT, ha="left", fontsize=NOTE, color=QUIET)
