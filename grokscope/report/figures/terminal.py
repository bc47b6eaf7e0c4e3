"""Figures as text: plotext draws the lines, rich prints them, with colours where the terminal has some."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotext
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.text import Text

from grokscope.errors import UnknownName
from grokscope.report.figures.courses import Course, Group, Panel, Picture, decades
from grokscope.report.text import number, printable
from grokscope.results import Results

ZERO_DECADES = 0.4  # how wide the way from step 0 to the first step is, in decades
LEAST, MOST = 9, 20  # rows of a panel
CANVAS = 12  # least columns of a canvas
COLOURS = (33, 202, 36, 175, 214, 117)  # of 256, near those of the figures
SYMBOLS = "•×+o#*"  # where there are no colours
GREY, RULE = 245, 240
FINE = "braille"
STAGES = {"before memorisation": (37, "·"), "memorised": (214, "o"), "grokked": (35, "#")}


@dataclass(frozen=True)
class Line:
    """Points to draw, joined or not: their colour, and the symbol that stands for it where there is none."""

    x: np.ndarray
    y: np.ndarray
    colour: int | None
    symbol: str
    joined: bool = True


@dataclass(frozen=True)
class Axis:
    """Where an axis begins and ends, and its ticks."""

    low: float
    high: float
    ticks: Sequence[float]
    labels: Sequence[str]


def curves_text(picture: Picture, width: int, height: int, colour: bool) -> RenderableType:
    """Return accuracies and columns over the steps, panel below panel, `width` columns wide.

    The panels share `height` rows, unless they would be too low to be read. Without `colour` symbols tell
    the lines apart.
    """
    name = "accuracy" if len(picture.groups) == 1 else "test accuracy"
    accuracies = (name, _accuracies(picture), Axis(0, 1, (0, 0.5, 1), ("0 %", "50 %", "100 %")))
    drawn = [accuracies] if picture.shows_accuracies else []
    drawn += [_column(picture, panel) for panel in picture.panels]
    margin = max(len(label) for _, _, axis in drawn for label in axis.labels)
    key = _key(picture, colour, width)
    around = 3 + len(key) + bool(_marks(picture))
    rows = min(MOST, max(LEAST, (height - around) // len(drawn) - 1))
    parts: list[RenderableType] = [_heading(picture), *key]
    for at, (name, lines, axis) in enumerate(drawn):
        first, last = at == 0, at == len(drawn) - 1
        parts.append(Text(printable(name), no_wrap=True, overflow="ellipsis"))
        steps = _step_axis(picture, named=last)
        above = _marks(picture) if first else {}
        parts.append(
            _canvas([*_rules(picture, axis), *lines], steps, axis, margin, width, rows, colour, above)
        )
    return Lines(*parts, Text(_note(picture), style="dim"))


def pareto_text(
    picture: Picture, names: tuple[str, str], width: int, height: int, colour: bool
) -> RenderableType:
    """Return one column over another: a point for every checkpoint, by what the run had reached there."""
    lines = [line for group in picture.groups for line in _stages(group, names)]
    across, up = (_value_axis([getattr(line, side) for line in lines]) for side in ("x", "y"))
    margin = max(map(len, up.labels), default=0)
    key = Text("  ").join(
        Text(f"{'•' if colour else symbol} {name}", style=f"color({code})")
        for name, (code, symbol) in STAGES.items()
    )
    rows = max(LEAST, min(2 * MOST, height - 5))
    name = Text(printable(f"{names[1]} over {names[0]}"), no_wrap=True, overflow="ellipsis")
    return Lines(_heading(picture), key, name, _canvas(lines, across, up, margin, width, rows, colour, {}))


def _heading(picture: Picture) -> Text:
    return Text(printable(picture.name), style="bold", no_wrap=True, overflow="ellipsis")


def _canvas(
    lines: Sequence[Line],
    across: Axis,
    up: Axis,
    margin: int,
    width: int,
    rows: int,
    colour: bool,
    above: dict[float, str],
) -> Text:
    """Draw lines between their axes; `above` names places on the upper side."""
    figure = plotext.figure
    figure.clear.all()  # there is only this one
    plotext.terminal.limit(False, False)
    figure.theme("colorless")
    figure.plot_size(max(width, margin + CANVAS), rows)
    for side in (0, 1):
        figure.ruler(0, side).lim(across.low, across.high)
    figure.ruler(0, 0).ticks(list(across.ticks), list(across.labels))
    figure.ruler(0, 1).ticks(list(above), list(above.values()))
    figure.ruler(1, 0).lim(up.low, up.high)
    figure.ruler(1, 0).ticks(list(up.ticks), [label.rjust(margin) for label in up.labels])
    for line in lines:
        for x, y in _unbroken(line):
            signal = figure.signal(x.tolist(), y.tolist(), marker=_marker(line, colour), xside=0, yside=0)
            figure.draw(signal.lines(line.joined))
    drawn = figure.build().string()
    figure.clear.all()
    text = [Text.from_ansi(row) for row in drawn.splitlines()]
    for row in text:
        row.rstrip()
    shown = Text("\n").join(row for row in text if row.plain)
    shown.no_wrap = True
    return shown


def _marker(line: Line, colour: bool) -> plotext.marker:
    symbol = line.symbol
    if colour and line.joined and symbol != "│":
        symbol = FINE
    elif colour and not line.joined:
        symbol = "•"
    pixel = plotext.pixel(foreground=line.colour) if line.colour is not None else plotext.pixel()
    return plotext.marker(symbol, pixel)


def _unbroken(line: Line) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The stretches of a line without missing values; the points of one that is not joined."""
    there = np.isfinite(line.x) & np.isfinite(line.y)
    places = np.flatnonzero(there)
    cuts = np.flatnonzero(np.diff(places) > (1 if line.joined else np.inf)) + 1
    for stretch in np.split(places, cuts):
        if len(stretch):
            yield line.x[stretch], line.y[stretch]


def _accuracies(picture: Picture) -> list[Line]:
    one = len(picture.groups) == 1
    lines = []
    for at, group in enumerate(picture.groups):
        if one:
            lines.append(_line(picture, group.course("train_accuracy"), GREY, "·"))
        lines.append(_line(picture, group.course("test_accuracy"), None if one else _colour(at), _symbol(at)))
    return lines


def _column(picture: Picture, panel: Panel) -> tuple[str, list[Line], Axis]:
    """A panel's name, lines and axis of values."""
    one = len(picture.groups) == 1
    looks = _looks(panel) if one else [(_colour(at), _symbol(at)) for at in range(len(picture.groups))]
    lines = []
    for at, (group, name) in enumerate((group, name) for group in picture.groups for name in panel.lines):
        look = looks[at if one else at // len(panel.lines)]
        line = _line(picture, group.course(name), *look)
        if panel.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                line = Line(line.x, np.log10(line.y), line.colour, line.symbol)
        lines.append(line)
    axis = _value_axis([line.y for line in lines], (lambda y: number(10.0**y)) if panel.log else number)
    title = f"{panel.title} ({panel.unit})" if panel.unit else panel.title
    if panel.log:
        title = "loss (log scale)"
    elif picture.normalised:
        title = f"{panel.title or 'columns'} (0 lowest, 1 highest of each run)"
    return title, lines, axis


def _line(picture: Picture, course: Course, colour: int | None, symbol: str) -> Line:
    return Line(_place(picture, course.steps), course.mean, colour, symbol)


def _colour(at: int) -> int:
    return COLOURS[at % len(COLOURS)]


def _symbol(at: int) -> str:
    return SYMBOLS[at % len(SYMBOLS)]


def _value_axis(values: Sequence[np.ndarray], words: Callable[[float], str] = number) -> Axis:
    """From the lowest to the highest finite value, with one tick between them."""
    flat = np.concatenate([np.zeros(0), *values])
    finite = flat[np.isfinite(flat)]
    if not len(finite):
        return Axis(0, 1, (), ())
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        room = abs(low) / 2 or 1.0
        return Axis(low - room, low + room, (low,), (words(low),))
    ticks = (low, (low + high) / 2, high)
    return Axis(low, high, ticks, [words(tick) for tick in ticks])


def _step_axis(picture: Picture, named: bool) -> Axis:
    ends = _place(picture, picture.steps.all[[0, -1]])
    low, high = float(ends[0]), float(ends[1])
    ticks = _ticks(picture) if named else []
    labels = [f"{tick:g}" if tick < 1e5 else number(tick) for tick in ticks]
    places = _place(picture, np.array(ticks)).tolist()
    return Axis(low - (low == high), high + (low == high), places, labels)


def _ticks(picture: Picture) -> list[float]:
    first, last = float(picture.steps.all[0]), float(picture.steps.all[-1])
    if picture.steps.log_ends:
        return [0.0] * (first <= 0) + decades(*picture.steps.log_ends)
    return sorted({first, round((first + last) / 2), last})


def _place(picture: Picture, steps: np.ndarray) -> np.ndarray:
    """Where steps lie on the axis."""
    if not picture.steps.log_ends:
        return steps
    first = picture.steps.log_ends[0]
    beyond = ZERO_DECADES + np.log10(np.maximum(steps, first) / first)
    return np.where(steps < first, ZERO_DECADES * steps / first, beyond)


def _rules(picture: Picture, axis: Axis) -> Iterator[Line]:
    """Lines where the runs memorise and grok; of several groups only where they grok."""
    one = len(picture.groups) == 1
    for at, group in enumerate(picture.groups):
        for mark in (group.memorised, group.grokked) if one else (group.grokked,):
            if mark.steps:
                x = _place(picture, np.array([mark.median, mark.median]))
                yield Line(x, np.array([axis.low, axis.high]), RULE if one else _colour(at), "│")


def _marks(picture: Picture) -> dict[float, str]:
    """What stands above the first panel."""
    found: dict[float, str] = {}
    if len(picture.groups) > 1:
        return found
    for name, mark in (("M", picture.groups[0].memorised), ("G", picture.groups[0].grokked)):
        if mark.steps:
            found[float(_place(picture, np.array([mark.median]))[0])] = f"{name} {number(mark.median)}"
    return found


def _key(picture: Picture, colour: bool, width: int) -> list[Text]:
    """Which line is which, in as many rows as that takes."""
    head = ""
    names: list[tuple[str, int | None, str]]
    if len(picture.groups) > 1:
        names = [(group.label, _colour(at), _symbol(at)) for at, group in enumerate(picture.groups)]
        head = printable(f"{picture.told_by[0]}: ") if len(picture.told_by) == 1 else ""
    else:
        names = [("train", GREY, "·"), ("test", None, SYMBOLS[0])] if picture.groups[0].has_accuracies else []
        for panel in picture.panels:
            if len(panel.lines) > 1:
                looks = _looks(panel)
                names += [(name, *look) for name, look in zip(_names(panel), looks, strict=True)]
    rows = [Text(head)]
    for name, code, symbol in names:
        entry = Text.assemble(
            ("━ " if colour else f"{symbol} ", f"color({code})" if code else ""), f"{printable(name)}  "
        )
        if rows[-1].plain and rows[-1].cell_len + entry.cell_len - 2 > width:
            rows.append(Text())
        rows[-1] += entry
    for row in rows:
        row.rstrip()
        row.no_wrap, row.overflow = True, "ellipsis"
    return rows


def _looks(panel: Panel) -> list[tuple[int, str]]:
    """Colours and symbols of several lines of one panel; the first symbol is that of test accuracy."""
    first = 1 if len(panel.lines) > 1 else 0
    return [(_colour(at), _symbol(at + first)) for at in range(len(panel.lines))]


def _names(panel: Panel) -> list[str]:
    return [f"{label} loss" if panel.log else label or name for name, label in panel.lines.items()]


def _note(picture: Picture) -> str:
    """What the step axis is, and what the lines are where they are means."""
    words = "step"
    if picture.steps.log_ends:
        words += " (log scale" + (
            f", linear from 0 to {picture.steps.log_ends[0]:g})" if picture.steps.has_zero else ")"
        )
    if max(len(group.runs) for group in picture.groups) > 1:
        words += "; lines are means over runs, marks medians"
    return words


def _stages(group: Group, names: tuple[str, str]) -> Iterator[Line]:
    """The points of each run before it memorises, after, and after it groks."""
    for results in group.runs.values():
        memorised, grokked = results.transitions(group.train, group.test)
        steps = np.asarray(results.steps, float)
        is_grokked = steps >= (math.inf if grokked is None else grokked)
        is_memorised = steps >= (math.inf if memorised is None else memorised)
        x, y = (_values(results, name) for name in names)
        for (colour, symbol), here in zip(
            STAGES.values(),
            (~is_memorised & ~is_grokked, is_memorised & ~is_grokked, is_grokked),
            strict=True,
        ):
            yield Line(np.where(here, x, np.nan), y, colour, symbol, joined=False)


def _values(results: Results, name: str) -> np.ndarray:
    try:
        return results.course(name)
    except UnknownName:
        return np.full(len(results.steps), np.nan)
