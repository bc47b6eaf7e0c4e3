"""How a paper's figure is drawn: its panels side by side, seeds as their mean in a band."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from grokscope.figure import Panel
from grokscope.report.figures.courses import Course, averaged, normalised
from grokscope.report.figures.drawing import Drawing, short
from grokscope.report.figures.style import DASHES, INK, PALETTE, QUIET, STEPS, look, plain
from grokscope.results import Comparison, Results
from grokscope.run.curves import METRICS
from grokscope.statistics.courses import course, grokked, memorised, smoothed

if TYPE_CHECKING:
    from grokscope.reproduce import Reproduction

ACCURACIES = {"train_accuracy": "train accuracy", "test_accuracy": "test accuracy"}
GREY = {"train_accuracy": "#9a9a9a", "test_accuracy": INK}
PANEL = (4.4, 2.9)
PANEL_LETTERS = 62  # of a legend, across a panel


@dataclass(frozen=True)
class Line:
    """One line of a panel: a column over the runs of a group."""

    label: str
    course: Course
    colour: Any
    dashes: Any
    right: bool
    accuracy: bool


def draw(reproduced: Reproduction) -> Drawing:
    """Return the figure: the claim's panels, headed by what it is and what came of it."""
    panels = reproduced.figure.panels
    across = len(panels) if len(panels) < 4 else 2
    down = math.ceil(len(panels) / across)
    with look():
        width = max(PANEL[0] * across, 6.0)
        figure = Drawing(figsize=(width, PANEL[1] * down + 1.0), layout="constrained")
        axes = list(figure.subplots(down, across, squeeze=False).flat)
        for axis, panel in zip(axes, panels, strict=False):
            (_draw_pareto if panel.pareto else _draw_courses)(axis, panel, reproduced)
        for axis in axes[len(panels) :]:
            axis.remove()
        figure.suptitle(_heading(reproduced, width), x=0.012, ha="left", fontsize=9.5, fontweight="bold")
        figure.supxlabel(_footing(reproduced, width), x=0.012, ha="left", fontsize=7.5, color=QUIET)
    return figure


def _heading(reproduced: Reproduction, width: float) -> str:
    figure = reproduced.figure
    quick = " (quick)" if reproduced.quick else ""
    instead = "".join(f" ({task} for {missing})" for missing, task in reproduced.stand_ins.items())
    text = f"{figure.name}: {figure.title}{instead}{quick}"
    return "\n".join(textwrap.wrap(text, int(width * 13)))


def _footing(reproduced: Reproduction, width: float) -> str:
    figure = reproduced.figure
    drawn = {name for panel in figure.panels for name in panel.groups}
    counts = sorted({len(found.runs) for name, found in reproduced.found.items() if name in drawn})
    words = [f"After {figure.source}. The claim: {reproduced.verdict}{_under(reproduced)}."]
    if any(panel.smooth for panel in figure.panels):
        words.append("Measures without step 0, smoothed by an exponential mean of 0.1 per 5 steps.")
    if counts and counts[-1] > 1:
        words.append(f"{counts[-1]} seeds: mean, in a band from the lowest to the highest.")
    words.append("Dotted: memorised, dashed: grokked (medians)." if _marks_anything(reproduced) else "")
    words += [reproduced.stand_in_note, *reproduced.caveats]
    return "\n".join(textwrap.wrap(plain_long(" ".join(filter(None, words))), int(width * 16.5)))


def _under(reproduced: Reproduction) -> str:
    """Under which reading, where there are several."""
    reading = reproduced.reading
    return f" (reading {reading.name}: {reading.takes})" if len(reproduced.figure.readings) > 1 else ""


def plain_long(text: str) -> str:
    """Return foreign text of any length for a figure, as `plain` does short text."""
    return " ".join(plain(word) for word in text.split())


def _marks_anything(reproduced: Reproduction) -> bool:
    return any(_marks(panel, reproduced.found) for panel in reproduced.figure.panels if not panel.pareto)


def _draw_courses(axis: Any, panel: Panel, reproduced: Reproduction) -> None:
    lines = list(_lines(panel, reproduced))
    other = axis.twinx() if panel.right else None
    for line in lines:
        _draw_line(other if line.right and other is not None else axis, line)
    _step_axis(axis, [line.course.steps for line in lines if line.course.is_there])
    for step, dashes in _marks(panel, reproduced.found):
        axis.axvline(step, color="#bdbdbd", linewidth=0.9, linestyle=dashes, zorder=0.5)
    _value_axis(axis, panel, panel.left, reproduced)
    if other is not None:
        _value_axis(other, panel, panel.right, reproduced, log=panel.log_y)
        other.spines["right"].set_visible(True)
    if panel.title:
        axis.set_title(plain(panel.title), loc="left")
    _legend(axis, lines)


def _lines(panel: Panel, reproduced: Reproduction) -> Iterator[Line]:
    """Colours tell groups apart where there are several, else columns; accuracies are grey and black."""
    several = len(panel.groups) > 1
    columns = [*panel.left, *panel.right]
    coloured = [column for column in columns if column not in ACCURACIES]
    for at, name in enumerate(panel.groups):
        found = reproduced.found.get(name)
        if found is None or not found.runs:
            continue
        for place, column in enumerate(columns):
            if several:
                colour = PALETTE[at % len(PALETTE)]
                dashes = (0, (2.4, 1.4)) if column == "train_accuracy" and len(columns) > 1 else "-"
            elif column in ACCURACIES and (coloured or len(columns) == 2):
                colour, dashes = GREY[column], "-"
            else:
                which = coloured.index(column) if column in coloured else at
                colour, dashes = PALETTE[which % len(PALETTE)], DASHES[which % len(DASHES)]
            yield Line(
                _label(name if several else "", column, len(columns) > 1),
                _course(found, column, panel),
                colour,
                dashes,
                right=place >= len(panel.left),
                accuracy=column in ACCURACIES,
            )


def _label(group: str, column: str, named: bool) -> str:
    words = ACCURACIES.get(column, column.replace("_", " ") if column in METRICS else column)
    if not group:
        return words
    return f"{group}: {words.removesuffix(' accuracy')}" if named else group


def _course(found: Comparison, column: str, panel: Panel) -> Course:
    """Mean and range over the runs; metrics on the finer curve, and accuracies never normalised."""
    scaled = panel.normalise and column not in ACCURACIES
    courses = []
    for results in found.runs.values():
        steps, values = _values(smoothed(results, column) if panel.smooth else results, column)
        courses.append((steps, normalised(values) if scaled else values))
    return averaged(courses)


def _values(results: Results, column: str) -> tuple[np.ndarray, np.ndarray]:
    if column in METRICS and results.curve:
        return np.asarray(results.curve["step"], float), np.asarray(results.curve[column], float)
    return np.asarray(results.steps, float), course(results, column)


def _draw_line(axis: Any, line: Line) -> None:
    there = np.isfinite(line.course.mean)
    if not there.any():
        return
    steps = line.course.steps[there]
    if line.course.runs.max() > 1:
        axis.fill_between(
            steps, line.course.low[there], line.course.high[there], color=line.colour, alpha=0.15, linewidth=0
        )
    axis.plot(
        steps,
        line.course.mean[there],
        color=line.colour,
        linestyle=line.dashes,
        linewidth=1.2 if line.accuracy else 1.7,
    )


def _step_axis(axis: Any, drawn: Sequence[np.ndarray]) -> None:
    """A log axis that begins at step 0: linear up to the first step after it."""
    axis.set_xlabel("step")
    steps = np.unique(np.concatenate(drawn)) if drawn else np.array([])
    positive = steps[steps > 0]
    if len(positive) < 2:
        return
    first, last = positive[0], positive[-1]
    axis.set_xscale("symlog", linthresh=first, linscale=0.4)
    axis.set_xlim(-0.12 * first, last * 1.06)
    tens = [10.0**power for power in range(9) if first <= 10.0**power <= last]
    ticks = tens if len(tens) > 1 else [first, *tens, last]
    axis.xaxis.set_major_locator(FixedLocator([0.0, *ticks]))
    axis.xaxis.set_minor_locator(
        FixedLocator([m * 10.0**p for p in range(9) for m in range(2, 10) if first <= m * 10.0**p <= last])
    )
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _value_axis(
    axis: Any, panel: Panel, columns: Sequence[str], reproduced: Reproduction, log: bool = False
) -> None:
    if panel.normalise and not set(columns) <= set(ACCURACIES):
        axis.set_ylabel("from lowest (0) to highest (1)")
        return
    # On the right a share keeps its own range, where a small change can be seen.
    shares = columns is panel.left and all(_is_share(column, panel, reproduced) for column in columns)
    if shares or set(columns) <= set(ACCURACIES):
        axis.set_ylim(-0.03, 1.06)
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.set_ylabel(_share_words(columns))
        return
    units = {column: _unit(column, panel, reproduced) for column in columns}
    axis.set_ylabel(plain(", ".join(f"{name} ({unit})" if unit else name for name, unit in units.items())))
    if log:
        axis.set_yscale("log")
        return
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def _unit(column: str, panel: Panel, reproduced: Reproduction) -> str:
    for name in panel.groups:
        declared = reproduced.found[name].declared if name in reproduced.found else {}
        if column in declared:
            return declared[column].unit
    return ""


def _is_share(column: str, panel: Panel, reproduced: Reproduction) -> bool:
    """Whether a column lies between 0 and 1 by its declaration, as accuracies do."""
    for name in panel.groups:
        declared = reproduced.found[name].declared if name in reproduced.found else {}
        if column in declared:
            return (declared[column].min, declared[column].max) == (0, 1)
    return column in ACCURACIES


def _share_words(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return ACCURACIES.get(columns[0], columns[0])
    return "accuracy" if set(columns) <= set(ACCURACIES) else "accuracy, share"


def _marks(panel: Panel, found: Any) -> list[tuple[float, Any]]:
    """Median memorisation and grokking steps, where a panel has one group."""
    if len(panel.groups) > 1 or panel.groups[0] not in found:
        return []
    runs = found[panel.groups[0]].runs.values()
    marks = []
    for read, dashes in ((memorised, (0, (1, 1.5))), (grokked, (0, (5, 2)))):
        steps = [step for step in map(read, runs) if not math.isnan(step)]
        if steps:
            marks.append((float(np.median(steps)), dashes))
    return marks


def _legend_columns(labels: Sequence[str]) -> int:
    """All side by side where a panel is wide enough for them, else two, else one below the other."""
    taken = sorted(len(label) + 5 for label in labels)
    return len(labels) if sum(taken) < PANEL_LETTERS else 2 if sum(taken[-2:]) < PANEL_LETTERS else 1


def _legend(axis: Any, lines: Sequence[Line]) -> None:
    handles = [
        Line2D([], [], color=line.colour, linestyle=line.dashes, linewidth=1.6, label=plain(line.label))
        for line in lines
        if line.course.is_there
    ]
    if len(handles) > 1:
        axis.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0, 1.06 if axis.get_title(loc="left") else 1.0),
            ncols=_legend_columns([line.label for line in lines if line.course.is_there]),
            fontsize=7.5,
            borderaxespad=0.2,
            columnspacing=1.2,
            handlelength=1.8,
        )


def _draw_pareto(axis: Any, panel: Panel, reproduced: Reproduction) -> None:
    """One column over another, each point a checkpoint, coloured by step."""
    across, up = panel.left
    shown = None
    for name in panel.groups:
        for results in reproduced.found[name].runs.values() if name in reproduced.found else ():
            results = smoothed(results, across, up) if panel.smooth else results
            x, y = course(results, across), course(results, up)
            there = np.isfinite(x) & np.isfinite(y)
            if not there.any():
                continue
            axis.plot(x[there], y[there], color="#d6d6d6", linewidth=0.6, zorder=1)
            steps = np.log10(np.maximum(np.asarray(results.steps, float)[there], 1.0))
            shown = axis.scatter(x[there], y[there], c=steps, cmap=STEPS, s=9, linewidths=0, zorder=2)
    for direction, column in (("x", across), ("y", up)):
        unit = _unit(column, panel, reproduced)
        getattr(axis, f"set_{direction}label")(plain(f"{column} ({unit})" if unit else column))
    if shown is not None:
        bar = axis.figure.colorbar(shown, ax=axis, aspect=30, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("step")
        bar.ax.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:g}"))
    if panel.title:
        axis.set_title(plain(panel.title), loc="left")
