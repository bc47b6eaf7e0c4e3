"""How one column is drawn over another: a point for every checkpoint, coloured by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grokscope.errors import UnknownName
from grokscope.report.figures.axes import (
    HALO,
    ZERO_DECADES,
    grid_of,
    heading_of,
    near_zero,
    note_below,
    panels_across,
    step_text,
    step_words,
)
from grokscope.report.figures.courses import Group, Picture, Steps, decades
from grokscope.report.figures.style import FAINT, INK, drawable, look, ramp
from grokscope.results import Results


def draw_pareto(
    picture: Picture, x: str, y: str, *, size: tuple[float, float] | None, title: str | None
) -> Figure:
    """Return one column over another, coloured by step; a panel for every group."""
    with look():
        count = len(picture.groups)
        columns = min(count, 2 if count <= 4 else 3 if count <= 9 else 4)
        figure, axes = grid_of(count, columns, size or _pareto_size(count, columns), sharey=True)
        colours = step_colours(picture.steps)
        shown: Any = None
        for axis, group in zip(axes, picture.groups, strict=True):
            for run, results in group.runs.items():
                shown = trajectory(axis, results, (x, y), colours) or shown
                if len(picture.runs) == 1:
                    _ring(axis, picture.runs[run], (x, y), group)
            if count > 1:
                axis.set_title(_group_title(picture, group), loc="left")
        _pareto_axes(axes, columns, picture, (x, y))
        if shown is not None:
            step_bar(figure, axes, shown, picture.steps)
        heading_of(figure, drawable(picture.name if title is None else title))
        note_below(figure, _pareto_notes(picture))
    return figure


def _pareto_size(count: int, columns: int) -> tuple[float, float]:
    if count == 1:
        return 6.0, 4.6
    return 3.0 * columns + 1.2, 2.5 * math.ceil(count / columns) + 0.8


def _pareto_axes(axes: Sequence[Any], columns: int, picture: Picture, names: tuple[str, str]) -> None:
    bins = 6 if columns == 1 else 4
    for at, axis in enumerate(axes):
        number_axes(axis, bins)
        if at >= len(axes) - columns:
            axis.set_xlabel(drawable(picture.title_of(names[0])))
        if at % columns == 0:
            axis.set_ylabel(drawable(picture.title_of(names[1])))


def number_axes(axis: Any, bins: int) -> None:
    """Lay out both axes for numbers, with about so many ticks."""
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_major_locator(MaxNLocator(nbins=bins, min_n_ticks=2))
        ticks.set_major_formatter(FuncFormatter(near_zero(ticks)))


def _group_title(picture: Picture, group: Group) -> str:
    name = f"{picture.told_by[0]} " if len(picture.told_by) == 1 else ""
    return drawable(f"{name}{group.label}")


def step_colours(steps: Steps) -> tuple[Normalize, ListedColormap]:
    """Return how steps become colours: dark is early, by the scale of their axis."""
    if steps.log_ends:
        first, start, end = steps.log_ends[0], steps.all[0], steps.all[-1]
        norm = SymLogNorm(first, linscale=ZERO_DECADES, vmin=start, vmax=end, base=10)
        return norm, ListedColormap(ramp(256))
    return Normalize(steps.all[0], max(steps.all[-1], steps.all[0] + 1)), ListedColormap(ramp(256))


def trajectory(
    axis: Any,
    results: Results,
    names: tuple[str, str],
    colours: tuple[Normalize, ListedColormap],
    crowded: bool = False,
) -> Any:
    """Draw a run's checkpoints, joined; return what a bar of colours is made from, None where it has none.

    They are small where they are `crowded`, and have an edge where not.
    """
    across, up = _points(results, names)
    there = np.isfinite(across) & np.isfinite(up)
    if not there.any():
        return None
    axis.plot(across[there], up[there], color=FAINT, linewidth=0.8, zorder=1)
    return axis.scatter(
        across[there],
        up[there],
        c=np.asarray(results.steps, float)[there],
        norm=colours[0],
        cmap=colours[1],
        s=9 if crowded else 22 if panels_across(axis) == 1 else 14,
        linewidths=0 if crowded else 0.3,
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
            f"{name} {step_text(mark.steps[0])}",
            place,
            xytext=(8, 5),
            textcoords="offset points",
            path_effects=HALO,
            zorder=4,
            gid=f"name-{name}",
        )


def step_bar(figure: Any, axes: Sequence[Any], shown: Any, steps: Steps) -> None:
    """Draw the bar that tells steps from colours, beside these panels."""
    bar = figure.colorbar(shown, ax=list(axes), aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(step_words(steps))
    if steps.log_ends:
        bar.set_ticks([0.0] * steps.has_zero + decades(*steps.log_ends))
        bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: step_text(value)))


def _pareto_notes(picture: Picture) -> list[str]:
    notes = ["Every point is a checkpoint; a line joins those of one run."]
    return notes + [f"{len(picture.runs)} runs."] * (len(picture.runs) > 1)
