"""How a paper's figure is drawn: its panels side by side, groups of runs as their mean in a band."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grokscope.figure import Panel
from grokscope.report.figures.axes import (
    TITLE_PAD,
    draw_line,
    grid_of,
    heading_of,
    legend_above,
    near_zero,
    note_below,
    percent,
    step_axis,
)
from grokscope.report.figures.courses import Course, Steps, averaged, normalised
from grokscope.report.figures.pareto import number_axes, step_bar, step_colours, trajectory
from grokscope.report.figures.style import DASHES, DOTTED, INK, PALETTE, TRAIN, Look, drawable, look
from grokscope.results import Comparison, Results
from grokscope.run.curves import CURVE_COLUMNS
from grokscope.statistics.courses import course, grokked, memorised, smoothed

ACCURACIES = {"train_accuracy": "train accuracy", "test_accuracy": "test accuracy"}
GREY = {"train_accuracy": TRAIN, "test_accuracy": INK}
PANEL = (4.4, 2.9)  # inches
NARROWEST = 6.0  # inches, for heading and notes
BESIDE = 4  # panels stand in one row, up to it
HEADING, LEGEND = 9.5, 7.5  # points
CROWDED = 300  # points of a panel, from which they are small
MARKS = ((memorised, (0, (1, 1.5))), (grokked, (0, (5, 2))))  # dotted, dashed

Found = Mapping[str, Comparison]


@dataclass(frozen=True)
class Line:
    """One line of a panel: a column over the runs of a group."""

    label: str
    course: Course
    look: Look
    right: bool
    accuracy: bool


def draw_panels(panels: Sequence[Panel], found: Found, heading: str, notes: Sequence[str]) -> Figure:
    """Return the panels of measured groups, with a heading above and notes below them.

    Args:
        panels: what is drawn.
        found: the measured runs, by the names of groups; a group without runs is left out.
        heading, notes: words of any length, from anywhere.
    """
    columns = len(panels) if len(panels) < BESIDE else 2
    rows = math.ceil(len(panels) / columns)
    size = (max(PANEL[0] * columns, NARROWEST), PANEL[1] * rows + 1.0)
    with look():
        figure, axes = grid_of(len(panels), columns, size, sharex=False)
        for axis, panel in zip(axes, panels, strict=True):
            (_draw_pareto if panel.pareto else _draw_courses)(axis, panel, found)
        heading_of(figure, _paragraph(heading), HEADING)
        marked = any(_marks(panel, found) for panel in panels if not panel.pareto)
        meant = ["Dotted: memorised, dashed: grokked (medians)."] if marked else []
        note_below(figure, [_paragraph(note) for note in (*notes, *meant)])
    return figure


def _paragraph(words: str) -> str:
    """Foreign text of any length for a figure, as `drawable` does short text."""
    return " ".join(map(drawable, words.split()))


def _draw_courses(axis: Any, panel: Panel, found: Found) -> None:
    lines = [line for line in _lines(panel, found) if line.course.is_there]
    other = axis.twinx() if panel.right else None
    for line in lines:
        drawn_in = other if line.right and other is not None else axis
        draw_line(drawn_in, line.course, line.look, line.label, 1.2 if line.accuracy else 1.7)
    step_axis(axis, Steps.of(line.course.steps for line in lines))
    axis.set_xlabel("step")
    for step, dashes in _marks(panel, found):
        axis.axvline(step, color="#bdbdbd", linewidth=0.9, linestyle=dashes, zorder=0.5)
    _value_axis(axis, panel, panel.left, found)
    if other is not None:
        _value_axis(other, panel, panel.right, found, log=panel.log_y)
        other.spines["right"].set_visible(True)
    pad = TITLE_PAD
    if len(lines) > 1:
        pad += legend_above(
            axis, [drawable(line.label) for line in lines], [line.look for line in lines], pad, LEGEND
        )
    axis.set_title(drawable(panel.title), loc="left", pad=pad)


def _lines(panel: Panel, found: Found) -> Iterator[Line]:
    """Every column of every group that has runs."""
    columns = [*panel.left, *panel.right]
    several = len(panel.groups) > 1
    for at, name in enumerate(panel.groups):
        if name not in found or not found[name].runs:
            continue
        for place, column in enumerate(columns):
            yield Line(
                _label(name if several else "", column, len(columns) > 1),
                _course(found[name], column, panel),
                _of_group(at, column, columns) if several else _of_column(column, columns),
                right=place >= len(panel.left),
                accuracy=column in ACCURACIES,
            )


def _of_group(at: int, column: str, columns: Sequence[str]) -> Look:
    """Colours tell groups apart; train accuracy is dotted where another column is drawn beside it."""
    train = column == "train_accuracy" and len(columns) > 1
    return Look(PALETTE[at % len(PALETTE)], DOTTED if train else "-")


def _of_column(column: str, columns: Sequence[str]) -> Look:
    """Colours tell columns apart; accuracies beside others are grey and black."""
    coloured = [name for name in columns if name not in ACCURACIES]
    if column in ACCURACIES and (coloured or len(columns) == 2):
        return Look(GREY[column])
    which = coloured.index(column) if column in coloured else 0
    return Look(PALETTE[which % len(PALETTE)], DASHES[which % len(DASHES)])


def _label(group: str, column: str, named: bool) -> str:
    words = ACCURACIES.get(column, column.replace("_", " ") if column in CURVE_COLUMNS else column)
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
    if column in CURVE_COLUMNS and results.curve:
        return np.asarray(results.curve["step"], float), np.asarray(results.curve[column], float)
    return np.asarray(results.steps, float), course(results, column)


def _value_axis(axis: Any, panel: Panel, columns: Sequence[str], found: Found, log: bool = False) -> None:
    if panel.normalise and not set(columns) <= set(ACCURACIES):
        axis.set_ylabel("from lowest (0) to highest (1)")
        return
    # On the right a share keeps its own range, where a small change can be seen.
    shares = columns is panel.left and all(_is_share(column, panel, found) for column in columns)
    if shares or set(columns) <= set(ACCURACIES):
        axis.set_ylim(-0.03, 1.06)
        axis.yaxis.set_major_formatter(FuncFormatter(percent))
        axis.set_ylabel(drawable(_share_words(columns)))
        return
    axis.set_ylabel(drawable(", ".join(_with_unit(column, panel, found) for column in columns)))
    if log:
        axis.set_yscale("log")
        return
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axis.yaxis.set_major_formatter(FuncFormatter(near_zero(axis.yaxis)))


def _declared(column: str, panel: Panel, found: Found) -> Any:
    """The column as the first of the panel's groups that has it declares it, or None."""
    declared = (found[name].declared for name in panel.groups if name in found)
    return next((columns[column] for columns in declared if column in columns), None)


def _with_unit(column: str, panel: Panel, found: Found) -> str:
    declared = _declared(column, panel, found)
    return f"{column} ({declared.unit})" if declared is not None and declared.unit else column


def _is_share(column: str, panel: Panel, found: Found) -> bool:
    """Whether a column lies between 0 and 1 by its declaration, as accuracies do."""
    declared = _declared(column, panel, found)
    return column in ACCURACIES if declared is None else (declared.min, declared.max) == (0, 1)


def _share_words(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return ACCURACIES.get(columns[0], columns[0])
    return "accuracy" if set(columns) <= set(ACCURACIES) else "accuracy, share"


def _marks(panel: Panel, found: Found) -> list[tuple[float, Any]]:
    """Median memorisation and grokking steps, where a panel has one group."""
    if len(panel.groups) > 1 or panel.groups[0] not in found:
        return []
    marks = []
    for read, dashes in MARKS:
        steps = [step for step in map(read, found[panel.groups[0]].runs.values()) if not math.isnan(step)]
        if steps:
            marks.append((float(np.median(steps)), dashes))
    return marks


def _draw_pareto(axis: Any, panel: Panel, found: Found) -> None:
    """One column over another, each point a checkpoint, coloured by step."""
    across, up = panel.left
    runs = [results for name in panel.groups if name in found for results in found[name].runs.values()]
    runs = [smoothed(results, across, up) if panel.smooth else results for results in runs]
    steps = Steps.of(np.asarray(results.steps, float) for results in runs)
    colours = step_colours(steps)
    shown = None
    crowded = sum(len(results.steps) for results in runs) > CROWDED
    for results in runs:
        shown = trajectory(axis, results, (across, up), colours, crowded) or shown
    number_axes(axis, 5)
    axis.set_xlabel(drawable(_with_unit(across, panel, found)))
    axis.set_ylabel(drawable(_with_unit(up, panel, found)))
    if shown is not None:
        step_bar(axis.figure, [axis], shown, steps)
    axis.set_title(drawable(panel.title), loc="left")
