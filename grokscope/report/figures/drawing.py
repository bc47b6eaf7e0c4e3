"""How runs are drawn over their steps: accuracies, columns, and marks where they memorise and grok."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from grokscope.report.figures.axes import (
    HALO,
    TITLE_PAD,
    across_panel,
    draw_line,
    fitting,
    grid_of,
    heading_of,
    legend_above,
    near_zero,
    note_below,
    panels_across,
    percent,
    short,
    step_axis,
    step_text,
    step_words,
    width_of,
)
from grokscope.report.figures.courses import Group, Mark, Panel, Picture
from grokscope.report.figures.phases import draw_phases, phases_of
from grokscope.report.figures.style import (
    DASHED,
    DOTTED,
    INK,
    PALETTE,
    QUIET,
    TEST,
    TRAIN,
    Look,
    drawable,
    look,
    of_groups,
    of_lines,
)


def draw_curves(
    picture: Picture, *, phases: Mapping[str, Any], size: tuple[float, float] | None, title: str | None
) -> Figure:
    """Return accuracies and columns over the steps."""
    with look():
        one = len(picture.groups) == 1
        count = len(picture.panels) + (not one and picture.shows_accuracies) or 1
        columns = _columns(count)
        figure, axes = grid_of(count, columns, size or _size(count, columns))
        found = phases_of(picture, phases)
        for axis in axes:
            step_axis(axis, picture.steps)
        heading = drawable(picture.name if title is None else title)
        if one:
            _draw_group(picture, axes, room=bool(found))
            heading_of(figure, heading)
        else:
            _draw_groups(picture, axes)
            _group_legend(figure, picture, heading)
        wide = columns == 1
        for axis in axes[-columns:] if wide else axes[max(count - columns, 0) :]:
            axis.set_xlabel(step_words(picture.steps) if wide else "step")
        named = draw_phases(axes, picture, found)
        note_below(
            figure,
            [*([] if wide else [f"Horizontal: {step_words(picture.steps)}."]), *_notes(picture), *named],
        )
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


# One group: accuracies on the left axis of every panel, its columns on the right axis.


def _draw_group(picture: Picture, axes: Sequence[Any], room: bool) -> None:
    group = picture.groups[0]
    columns = panels_across(axes[0])
    for at, axis in enumerate(axes):
        if group.has_accuracies:
            _draw_accuracies(axis, group, quiet=len(axes) > 1)
            _accuracy_axis(axis, named=at % columns == 0, room=room)
        else:
            axis.set_yticks([])
        _mark(axis, group, named=at < columns)
        top = axis
        if picture.panels:
            above = at < columns and _has_marks(group)
            top = _draw_panel(axis, picture, picture.panels[at], single=len(axes) == 1, above=above)
            low, high = top.get_ylim()
            top.set_ylim(*_with_room(low, high, room))
        if at == 0:
            _label_accuracies(axis, top, group)


def _draw_accuracies(axis: Any, group: Group, quiet: bool = False) -> None:
    width = 1.0 if quiet else 1.4
    draw_line(axis, group.course("train_accuracy"), Look(TRAIN, DASHED), "train accuracy", width)
    draw_line(axis, group.course("test_accuracy"), Look("#555555" if quiet else TEST), "test accuracy", width)


def _accuracy_axis(axis: Any, named: bool, room: bool = False) -> None:
    axis.set_ylim(*_with_room(-0.03, 1.05, room))
    axis.yaxis.set_major_locator(
        FixedLocator([0, 0.25, 0.5, 0.75, 1] if panels_across(axis) < 3 else [0, 0.5, 1])
    )
    axis.yaxis.set_major_formatter(FuncFormatter(percent))
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
        draw_line(right, picture.groups[0].course(name), each, label or name, 2.0)
    _value_axis(right, panel, picture.normalised)
    title = _full_title(panel)
    colour = PALETTE[0] if len(panel.lines) == 1 or panel.log else INK
    pad = 15.0 if above else TITLE_PAD  # points: what stands above the panel
    if len(panel.lines) > 1 and not panel.log:
        pad += legend_above(right, [drawable(label) for label in panel.lines.values()], looks, pad)
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
    return drawable(f"{panel.title} ({panel.unit})" if panel.unit else panel.title)


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
                f"{name} {step_text(mark.median)}",
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
    places = [across_panel(axis, step) for step in steps]
    if len(places) == 2 and abs(places[1] - places[0]) * width_of(axis) < 0.65:
        return ["right", "left"] if places[0] <= places[1] else ["left", "right"]
    return ["center"] * len(places)


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
            near = across_panel(axis, step) * width_of(axis) < 0.45
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


# Several groups: a panel for the accuracies, if there are any, and one for every column.


def _draw_groups(picture: Picture, axes: Sequence[Any]) -> None:
    looks = of_groups([group.value for group in picture.groups])
    if picture.shows_accuracies:
        _draw_groups_accuracies(axes[0], picture, looks)
    for axis, panel in zip(axes[picture.shows_accuracies :], picture.panels, strict=True):
        _draw_groups_panel(axis, picture, panel, looks)
    for at, axis in enumerate(axes):
        _mark_groups(axis, picture, looks, symbols=at == 0)


def _draw_groups_accuracies(axis: Any, picture: Picture, looks: Sequence[Look]) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        draw_line(axis, group.course("train_accuracy"), Look(each.colour, DOTTED), "train", 1.2)
        draw_line(axis, group.course("test_accuracy"), each, "test", 1.8, picture.scale)
    _accuracy_axis(axis, named=True)
    axis.set_title("train dotted, test solid", loc="left", color=QUIET, fontsize=8.5, pad=14)


def _draw_groups_panel(axis: Any, picture: Picture, panel: Panel, looks: Sequence[Look]) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        for name in panel.lines:
            second = name == "train_loss"
            drawn = Look(each.colour, DOTTED) if second else each
            draw_line(axis, group.course(name), drawn, group.label, 1.2 if second else 1.8, picture.scale)
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
    labels = [f"{drawable(group.label)}{_counted(picture, group)}" for group in picture.groups]
    by = f"by {drawable(picture.told_by[0])}" if len(picture.told_by) == 1 else ""
    legend = figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=fitting(labels, figure.get_size_inches()[0]),
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
    if not grokked and group.is_known:
        words.append("none grok" if runs > 1 else "does not grok")
    elif 0 < grokked < runs:
        words.append(f"{grokked} of {runs} grok")
    return f" ({', '.join(words)})" if words else ""


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
        axis.yaxis.set_major_formatter(FuncFormatter(near_zero(axis.yaxis)))


def _notes(picture: Picture) -> list[str]:
    """What has to be said of the lines, bands and marks."""
    group = picture.groups[0]
    thresholds = [drawable(goal.words.replace(" accuracy", "")) if goal else "–" for goal in group.goals]
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
    if any(each.is_known for each in picture.groups):
        notes.append(", ".join(marked) + (", medians over runs." if several else "."))
    if picture.also:
        notes.append(f"The runs also differ in {', '.join(map(drawable, picture.also))}.")
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
