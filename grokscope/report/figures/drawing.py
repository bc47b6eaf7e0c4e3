"""How matplotlib draws a picture of runs: no pyplot, so nothing is shared and nothing needs a display."""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
)
from matplotlib.transforms import ScaledTranslation

from grokscope.errors import UnknownName
from grokscope.report.figures.courses import Course, Group, Mark, Panel, Picture, decades
from grokscope.report.figures.style import (
    DASHED,
    DOTTED,
    FAINT,
    INK,
    PALETTE,
    QUIET,
    SHADES,
    TEST,
    TRAIN,
    Look,
    look,
    of_groups,
    of_lines,
    plain,
    ramp,
)
from grokscope.results import Results

HALO = [withStroke(linewidth=2.5, foreground="white")]
SYMBOLS = 14  # on a line that markers tell from others
ZERO_DECADES = 0.4  # how wide the way from step 0 to the first step is, in decades
THIN = "\N{THIN SPACE}"
PRINT, SCREEN = 200, 110  # dots per inch of a PNG
CHARACTER = 0.075  # inches, of a label


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


def draw_curves(
    picture: Picture, *, phases: Mapping[str, Any], size: tuple[float, float] | None, title: str | None
) -> Figure:
    """Return accuracies and columns over the steps."""
    with look():
        one = len(picture.groups) == 1
        count = len(picture.panels) + (not one) or 1
        columns = _columns(count)
        figure, axes = _grid(count, columns, size or _size(count, columns))
        found = _only_phases(picture, phases)
        for axis in axes:
            _step_axis(axis, picture)
        heading = plain(picture.name if title is None else title)
        if one:
            _draw_group(picture, axes, room=bool(found))
            _heading(figure, heading)
        else:
            _draw_groups(picture, axes)
            _group_legend(figure, picture, heading)
        wide = columns == 1
        for axis in axes[-columns:] if wide else axes[max(count - columns, 0) :]:
            axis.set_xlabel(_step_words(picture) if wide else "step")
        named = _draw_phases(axes, picture, found)
        _note(figure, [*([] if wide else [f"Horizontal: {_step_words(picture)}."]), *_notes(picture), *named])
    return figure


def _columns(count: int) -> int:
    """How many panels stand side by side; few stand below one another, so that steps can be compared."""
    return 1 if count <= 3 else 2 if count <= 8 else 3 if count <= 15 else 4


def _size(count: int, columns: int) -> tuple[float, float]:
    rows = math.ceil(count / columns)
    width, height = {1: (6.8, 2.4), 2: (4.6, 2.3), 3: (3.9, 2.1), 4: (3.3, 2.0)}[columns]
    if count == 1:
        height = 3.4
    return columns * width, rows * height + 0.9


def _grid(
    count: int, columns: int, size: tuple[float, float], sharey: bool = False
) -> tuple[Figure, list[Any]]:
    figure = Drawing(figsize=size, layout="constrained")
    rows = math.ceil(count / columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=sharey, squeeze=False)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[max(count - columns, 0) : count]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


# One group: accuracies on the left axis of every panel, its columns on the right axis.


def _draw_group(picture: Picture, axes: Sequence[Any], room: bool) -> None:
    group = picture.groups[0]
    columns = _across(axes[0])
    for at, axis in enumerate(axes):
        _draw_accuracies(axis, group, quiet=len(axes) > 1)
        _accuracy_axis(axis, named=at % columns == 0, room=room)
        _mark(axis, group, named=at < columns)
        top = axis
        if picture.panels:
            above = at < columns and _has_marks(group)
            top = _draw_panel(axis, picture, picture.panels[at], single=len(axes) == 1, above=above)
            low, high = top.get_ylim()
            top.set_ylim(*_with_room(low, high, room))
        if at == 0:
            _label_accuracies(axis, top, group)


def _across(axis: Any) -> int:
    return int(axis.get_subplotspec().get_gridspec().ncols)


def _draw_accuracies(axis: Any, group: Group, quiet: bool = False) -> None:
    width = 1.0 if quiet else 1.4
    _line(axis, group.course("train_accuracy"), Look(TRAIN, DASHED), "train accuracy", width)
    _line(axis, group.course("test_accuracy"), Look("#555555" if quiet else TEST), "test accuracy", width)


def _accuracy_axis(axis: Any, named: bool, room: bool = False) -> None:
    axis.set_ylim(*_with_room(-0.03, 1.05, room))
    axis.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1] if _across(axis) < 3 else [0, 0.5, 1]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}".replace("%", " %")))
    if named:
        axis.set_ylabel("accuracy")
    else:
        axis.tick_params(labelleft=False)


def _with_room(low: float, high: float, room: bool) -> tuple[float, float]:
    """Limits with room below for the names of phases."""
    return (low - 0.13 * (high - low), high) if room else (low, high)


def _draw_panel(axis: Any, picture: Picture, panel: Panel, single: bool, above: bool) -> Any:
    """Draw the columns on a right axis of their own, and return it."""
    right = axis.twinx()
    right.spines["right"].set_visible(True)
    right.set_zorder(axis.get_zorder() + 1)
    looks = _looks(panel, picture.normalised)
    for (name, label), each in zip(panel.lines.items(), looks, strict=True):
        _line(right, picture.groups[0].course(name), each, label or name, 2.0)
    _value_axis(right, panel, picture.normalised)
    title = _full_title(panel)
    colour = PALETTE[0] if len(panel.lines) == 1 or panel.log else INK
    pad = 15.0 if above else 5.0  # points: what stands above the panel
    if len(panel.lines) > 1 and not panel.log:
        pad += _legend(right, [plain(label) for label in panel.lines.values()], looks, pad)
    if single:
        right.set_ylabel(title, color=colour)
    elif title:
        axis.set_title(title, loc="left", color=colour, pad=pad)
    return right


def _looks(panel: Panel, normalised: bool) -> list[Look]:
    if panel.log:
        return [Look(PALETTE[0], DASHED if name == "train_loss" else "-") for name in panel.lines]
    return of_lines(len(panel.lines), ordered=not normalised)


def _has_marks(group: Group) -> bool:
    return bool(group.memorised.steps or group.grokked.steps)


def _full_title(panel: Panel) -> str:
    if panel.log:
        return "loss (train dashed, test solid)"
    return plain(f"{panel.title} ({panel.unit})" if panel.unit else panel.title)


def _legend(axis: Any, labels: Sequence[str], looks: Sequence[Look], pad: float) -> float:
    """Name the lines above the panel, `pad` points away; return how many points that takes."""
    handles = [Line2D([], [], color=each.colour, linestyle=each.dashes, linewidth=2) for each in looks]
    columns = _fitting(labels, _width(axis))
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
    )
    return 13.0 * math.ceil(len(labels) / columns) + 3


def _fitting(labels: Sequence[str], width: float) -> int:
    """How many labels stand side by side in `width` inches."""
    return max(1, min(len(labels), int(width / CHARACTER / (max(map(len, labels)) + 6))))


def _width(axis: Any) -> float:
    """About how many inches wide a panel is."""
    return float(axis.figure.get_size_inches()[0]) / _across(axis) - 1.2


def _mark(axis: Any, group: Group, named: bool) -> None:
    """Lines where the runs memorise and grok, by their median; where they are named a tick for each run."""
    marks = {name: mark for name, mark in (("M", group.memorised), ("G", group.grokked)) if mark.steps}
    sides = _sides(axis, [mark.median for mark in marks.values()])
    for (name, mark), side in zip(marks.items(), sides, strict=True):
        axis.axvline(mark.median, color="#9a9a9a", linewidth=0.8, zorder=0.5, gid=f"mark-{name}")
        if named and len(mark.steps) > 1:
            axis.plot(
                mark.steps,
                [1.0] * len(mark.steps),
                "|",
                color=QUIET,
                markersize=5,
                transform=axis.get_xaxis_transform(),
                clip_on=False,
                zorder=3,
                gid=f"runs-{name}",
            )
        if named:
            axis.annotate(
                f"{name} {_step_text(mark.median)}",
                (mark.median, 1.0),
                xycoords=axis.get_xaxis_transform(),
                xytext=({"left": -3, "right": 3}.get(side, 0), 4),
                textcoords="offset points",
                ha=side,
                va="bottom",
                fontsize=8.5,
                gid=f"name-{name}",
            )


def _sides(axis: Any, steps: Sequence[float]) -> list[str]:
    """How the names of marks are aligned: two that stand close together lean away from each other."""
    places = [_across_panel(axis, step) for step in steps]
    if len(places) == 2 and abs(places[1] - places[0]) * _width(axis) < 0.65:
        return ["right", "left"] if places[0] <= places[1] else ["left", "right"]
    return ["center"] * len(places)


def _across_panel(axis: Any, step: float) -> float:
    """Where a step lies between the left edge of the panel, 0, and the right one, 1."""
    return float(axis.transAxes.inverted().transform(axis.transData.transform((step, 0)))[0])


def _label_accuracies(axis: Any, top: Any, group: Group) -> None:
    """Write `train` and `test` beside the rise of each, or at its end where it never rises.

    They are drawn in `top`, which lies above everything.
    """
    for name, colour in (("train", "#6f6f6f"), ("test", TEST)):
        course = group.course(f"{name}_accuracy")
        if not course.is_there:
            continue
        step = _rise(course.steps, course.high)
        if step is None:
            last = np.flatnonzero(np.isfinite(course.mean))[-1]
            at = (course.steps[last], course.mean[last])
            place: dict[str, Any] = {"xytext": (-2, 4), "ha": "right", "va": "bottom"}
        else:
            at = (step, 0.5)
            near = _across_panel(axis, step) * _width(axis) < 0.45
            place = {"xytext": (5 if near else -5, 0), "ha": "left" if near else "right", "va": "center"}
        top.annotate(
            name,
            at,
            xycoords=axis.transData,
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            path_effects=HALO,
            zorder=5,
            **place,
        )


def _rise(steps: np.ndarray, values: np.ndarray) -> float | None:
    """The step at which `values` first come to one half, or None if they never do."""
    there = np.flatnonzero(values >= 0.5)
    if not len(there):
        return None
    after = int(there[0])
    if after == 0 or not np.isfinite(values[after - 1]):
        return float(steps[after])
    share = (0.5 - values[after - 1]) / (values[after] - values[after - 1])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]))


# Several groups: a panel for the accuracies, and one for every column.


def _draw_groups(picture: Picture, axes: Sequence[Any]) -> None:
    looks = of_groups([group.value for group in picture.groups])
    first = axes[0]
    for group, each in zip(picture.groups, looks, strict=True):
        _line(first, group.course("train_accuracy"), Look(each.colour, DOTTED), "train", 1.2)
        _line(first, group.course("test_accuracy"), each, "test", 1.8, picture.scale)
    _accuracy_axis(first, named=True)
    first.set_title("train dotted, test solid", loc="left", color=QUIET, fontsize=8.5, pad=14)
    for at, axis in enumerate(axes):
        if at:
            _draw_groups_panel(axis, picture, picture.panels[at - 1], looks)
        _mark_groups(axis, picture, looks, symbols=at == 0)


def _draw_groups_panel(axis: Any, picture: Picture, panel: Panel, looks: Sequence[Look]) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        for name in panel.lines:
            second = name == "train_loss"
            drawn = Look(each.colour, DOTTED) if second else each
            _line(axis, group.course(name), drawn, group.label, 1.2 if second else 1.8, picture.scale)
    _value_axis(axis, panel, picture.normalised)
    title = "loss (train dotted, test solid)" if panel.log else _full_title(panel)
    above = axis.get_subplotspec().is_first_row()
    axis.set_title(title, loc="left", color=INK, pad=14 if above else 6)


def _mark_groups(axis: Any, picture: Picture, looks: Sequence[Look], symbols: bool) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        for name, mark, fill in (("M", group.memorised, "white"), ("G", group.grokked, each.colour)):
            if not mark.steps:
                continue
            if name == "G":
                axis.axvline(
                    mark.median, color=each.colour, linewidth=0.7, alpha=0.6, zorder=0.5, gid="mark-G"
                )
            if symbols:
                axis.plot(
                    [mark.median],
                    [1.035],
                    marker="v",
                    markersize=5.5,
                    color=each.colour,
                    markerfacecolor=fill,
                    transform=axis.get_xaxis_transform(),
                    clip_on=False,
                    zorder=4,
                    gid=f"symbol-{name}",
                )


def _group_legend(figure: Any, picture: Picture, heading: str) -> None:
    """The heading, what tells the groups apart, and their looks."""
    looks = of_groups([group.value for group in picture.groups])
    handles = [
        Line2D([], [], color=each.colour, linewidth=2.2, marker=each.marker or None, markersize=5)
        for each in looks
    ]
    labels = [f"{plain(group.label)}{_counted(picture, group)}" for group in picture.groups]
    by = f"by {plain(picture.told_by[0])}" if len(picture.told_by) == 1 else ""
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=_fitting(labels, figure.get_size_inches()[0]),
        title=" ".join(filter(None, [heading, by])),
        title_fontproperties={"weight": "bold", "size": 10.5},
        alignment="left",
        handlelength=1.6,
        columnspacing=1.8,
        borderpad=0.1,
    )
    legend.set_gid("groups")


def _counted(picture: Picture, group: Group) -> str:
    """How many runs a group has where that differs, and how many of them grok where not all do."""
    runs, grokked = group.grokked.runs, len(group.grokked.steps)
    words = [f"{runs} runs"] if len({len(other.runs) for other in picture.groups}) > 1 else []
    if not grokked:
        words.append("none grok" if runs > 1 else "does not grok")
    elif grokked < runs:
        words.append(f"{grokked} of {runs} grok")
    return f" ({', '.join(words)})" if words else ""


# What both share.


def _line(axis: Any, course: Course, each: Look, label: str, width: float, scale: str = "linear") -> None:
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
        label=plain(label),
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


def _value_axis(axis: Any, panel: Panel, normalised: bool) -> None:
    if panel.log:
        axis.set_yscale("log", nonpositive="mask")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.yaxis.set_minor_formatter(NullFormatter())
    elif normalised:
        axis.set_ylim(-0.03, 1.05)
        axis.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        axis.yaxis.set_major_formatter(FixedFormatter(["lowest", "", "highest"]))
    else:
        axis.margins(y=0.07)
        axis.yaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=2))
        axis.yaxis.set_major_formatter(FuncFormatter(_near_zero(axis.yaxis)))


def _near_zero(ticks: Any) -> Callable[[float, int], str]:
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


def _step_text(step: float) -> str:
    return f"{step:,.0f}".replace(",", THIN) if step >= 10000 else f"{step:g}"


def _step_axis(axis: Any, picture: Picture) -> None:
    """Lay out the step axis; on `log` it is linear between step 0 and the first step after it."""
    steps, ends = picture.steps, picture.ends
    if picture.scale == "log" and ends:
        first, last = ends
        zero = bool(steps[0] <= 0)
        if zero:
            axis.set_xscale("symlog", linthresh=first, linscale=ZERO_DECADES)
        else:
            axis.set_xscale("log")
        axis.set_xlim(-0.12 * first if zero else first / 1.06, last * 1.06)
        axis.xaxis.set_major_locator(FixedLocator([0.0] * zero + decades(first, last)))
        minor = LogLocator(subs=range(2, 10)).tick_values(first, last)
        axis.xaxis.set_minor_locator(FixedLocator([at for at in minor if first <= at <= last]))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.02 * (steps[-1] - steps[0]) or 1.0
        axis.set_xlim(steps[0] - room, steps[-1] + room)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _step_text(value)))


def _step_words(picture: Picture) -> str:
    if picture.scale != "log" or not picture.ends:
        return "step"
    zero = picture.steps[0] <= 0
    return f"step (log scale, linear from 0 to {_step_text(picture.ends[0])})" if zero else "step (log scale)"


def _only_phases(picture: Picture, phases: Mapping[str, Any]) -> list[Any]:
    """The phases of the only run; those of several would cover one another."""
    if len(picture.runs) != 1:
        return []
    return list(getattr(phases.get(next(iter(picture.runs))), "found", ()))


def _draw_phases(axes: Sequence[Any], picture: Picture, found: Sequence[Any]) -> list[str]:
    """Shade the phases and name them; return what the note has to say of them."""
    if not found:
        return []
    edges = _edges(found, next(iter(picture.runs.values())).steps)
    places = [(_across_panel(axes[0], start), _across_panel(axes[0], end)) for start, end in edges]
    names = [plain(phase.name).replace(" ", "\n") for phase in found]
    words = [max(map(len, name.split("\n"))) for name in names]
    fits = all(
        (end - start) * _width(axes[0]) > 0.9 * CHARACTER * count
        for (start, end), count in zip(places, words, strict=True)
    )
    for axis in axes:
        for at, (start, end) in enumerate(edges):
            axis.axvspan(start, end, color=SHADES[at % 2], linewidth=0, zorder=0.1, gid=f"phase-{at}")
    for at, (start, end) in enumerate(places):
        axes[0].text(
            (start + end) / 2,
            0.015,
            names[at] if fits else str(at + 1),
            transform=axes[0].transAxes,
            ha="center",
            va="bottom",
            fontsize=7.5,
            linespacing=1.0,
            color=QUIET,
            zorder=4,
            gid=f"phase-name-{at}",
        )
    if fits:
        return ["Shaded: phases."]
    told = (
        f"{at}\N{NO-BREAK SPACE}{plain(phase.name)} ({phase.start}–{phase.end})"
        for at, phase in enumerate(found, 1)
    )
    return [f"Phases: {', '.join(told)}."]


def _edges(found: Sequence[Any], steps: Sequence[int]) -> list[tuple[float, float]]:
    """From where to where each phase is shaded: one that follows at the next step begins halfway."""
    edges = [[float(phase.start), float(phase.end)] for phase in found]
    for before, after in itertools.pairwise(edges):
        if before[1] < after[0] and not any(before[1] < step < after[0] for step in steps):
            before[1] = after[0] = (before[1] + after[0]) / 2
    return [(start, end) for start, end in edges]


def _notes(picture: Picture) -> list[str]:
    """What has to be said of the lines, bands and marks."""
    group = picture.groups[0]
    thresholds = f"train ≥ {_percent(group.train)}", f"test ≥ {_percent(group.test)}"
    several = max(len(group.runs) for group in picture.groups) > 1
    notes = []
    if several:
        notes.append(f"Lines: mean over {_how_many(picture)}; bands: lowest to highest run.")
    marked = [
        f"{sign} {word} ({threshold}){_of(picture, which)}"
        for sign, word, threshold, which in zip(
            ("M", "G") if len(picture.groups) == 1 else ("▽", "▼"),
            ("memorised", "grokked"),
            thresholds,
            ("memorised", "grokked"),
            strict=True,
        )
    ]
    notes.append(", ".join(marked) + (", medians over runs." if several else "."))
    if picture.also:
        notes.append(f"The runs also differ in {', '.join(map(plain, picture.also))}.")
    return notes


def _of(picture: Picture, which: str) -> str:
    if len(picture.groups) > 1:
        return ""
    mark: Mark = getattr(picture.groups[0], which)
    if not mark.steps:
        return ": never" if mark.runs == 1 else ": no run"
    return f": {len(mark.steps)} of {mark.runs} runs" if len(mark.steps) < mark.runs else ""


def _how_many(picture: Picture) -> str:
    counts = sorted({len(group.runs) for group in picture.groups})
    return f"{counts[0]} runs" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} runs"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _heading(figure: Any, title: str) -> None:
    if title:
        figure.suptitle(title, x=0.012, ha="left", fontsize=10.5, fontweight="bold")


def _note(figure: Any, notes: Sequence[str]) -> None:
    width = int(figure.get_size_inches()[0] * 17.3)
    lines = textwrap.wrap(" ".join(notes), width)
    figure.supxlabel("\n".join(lines), x=0.012, ha="left", fontsize=7.5, color=QUIET)


def draw_pareto(
    picture: Picture, x: str, y: str, *, size: tuple[float, float] | None, title: str | None
) -> Figure:
    """Return one column over another, coloured by step; a panel for every group."""
    with look():
        count = len(picture.groups)
        columns = min(count, 2 if count <= 4 else 3 if count <= 9 else 4)
        figure, axes = _grid(count, columns, size or _pareto_size(count, columns), sharey=True)
        norm, scale = _step_norm(picture), ListedColormap(ramp(256))
        shown: Any = None
        for axis, group in zip(axes, picture.groups, strict=True):
            for run, results in group.runs.items():
                shown = _trajectory(axis, results, (x, y), norm, scale) or shown
                if len(picture.runs) == 1:
                    _ring(axis, picture.runs[run], (x, y), group)
            if count > 1:
                axis.set_title(_group_title(picture, group), loc="left")
        _pareto_axes(axes, columns, picture, (x, y))
        if shown is not None:
            _step_bar(figure, axes, shown, picture)
        _heading(figure, plain(picture.name if title is None else title))
        _note(figure, _pareto_notes(picture))
    return figure


def _pareto_size(count: int, columns: int) -> tuple[float, float]:
    if count == 1:
        return 6.0, 4.6
    return 3.0 * columns + 1.2, 2.5 * math.ceil(count / columns) + 0.8


def _pareto_axes(axes: Sequence[Any], columns: int, picture: Picture, names: tuple[str, str]) -> None:
    bins = 6 if columns == 1 else 4
    for at, axis in enumerate(axes):
        for ticks in (axis.xaxis, axis.yaxis):
            ticks.set_major_locator(MaxNLocator(nbins=bins, min_n_ticks=2))
        axis.xaxis.set_major_formatter(FuncFormatter(_near_zero(axis.xaxis)))
        axis.yaxis.set_major_formatter(FuncFormatter(_near_zero(axis.yaxis)))
        if at >= len(axes) - columns:
            axis.set_xlabel(plain(picture.title_of(names[0])))
        if at % columns == 0:
            axis.set_ylabel(plain(picture.title_of(names[1])))


def _group_title(picture: Picture, group: Group) -> str:
    name = f"{picture.told_by[0]} " if len(picture.told_by) == 1 else ""
    return plain(f"{name}{group.label}")


def _step_norm(picture: Picture) -> Normalize:
    steps, ends = picture.steps, picture.ends
    if picture.scale != "log" or not ends:
        return Normalize(steps[0], max(steps[-1], steps[0] + 1))
    return SymLogNorm(ends[0], linscale=ZERO_DECADES, vmin=steps[0], vmax=steps[-1], base=10)


def _trajectory(axis: Any, results: Results, names: tuple[str, str], norm: Any, scale: Any) -> Any:
    across, up = _points(results, names)
    there = np.isfinite(across) & np.isfinite(up)
    if not there.any():
        return None
    axis.plot(across[there], up[there], color=FAINT, linewidth=0.8, zorder=1)
    return axis.scatter(
        across[there],
        up[there],
        c=np.asarray(results.steps, float)[there],
        norm=norm,
        cmap=scale,
        s=22 if _across(axis) == 1 else 14,
        linewidths=0.3,
        edgecolors="white",
        zorder=2,
    )


def _points(results: Results, names: tuple[str, str]) -> list[np.ndarray]:
    """Two columns at the run's steps; nothing where the run does not have one."""
    found = []
    for name in names:
        try:
            found.append(results.course(name))
        except UnknownName:
            found.append(np.full(len(results.steps), np.nan))
    return found


def _ring(axis: Any, results: Results, names: tuple[str, str], group: Group) -> None:
    """Mark the first checkpoints at which the run has memorised and grokked."""
    across, up = _points(results, names)
    for name, mark in (("M", group.memorised), ("G", group.grokked)):
        after = [at for at, step in enumerate(results.steps) if mark.steps and step >= mark.steps[0]]
        if not after or not np.isfinite(across[after[0]] + up[after[0]]):
            continue
        place = (across[after[0]], up[after[0]])
        axis.plot(*place, "o", markersize=9, markerfacecolor="none", markeredgecolor=INK, zorder=3)
        axis.annotate(
            f"{name} {_step_text(mark.steps[0])}",
            place,
            xytext=(8, 5),
            textcoords="offset points",
            path_effects=HALO,
            zorder=4,
            gid=f"name-{name}",
        )


def _step_bar(figure: Any, axes: Sequence[Any], shown: Any, picture: Picture) -> None:
    bar = figure.colorbar(shown, ax=list(axes), aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(_step_words(picture))
    if picture.scale == "log" and picture.ends:
        bar.set_ticks([0.0] * bool(picture.steps[0] <= 0) + decades(*picture.ends))
        bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _step_text(value)))


def _pareto_notes(picture: Picture) -> list[str]:
    notes = ["Every point is a checkpoint; a line joins those of one run."]
    return notes + [f"{len(picture.runs)} runs."] * (len(picture.runs) > 1)
