"""How matplotlib draws a picture of runs: no pyplot, so nothing is shared and nothing needs a display."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from grokscope.report.figures.courses import Course, Group, Mark, Panel, Picture
from grokscope.report.figures.style import (
    FAINT,
    INK,
    PALETTE,
    QUIET,
    SHADES,
    STEPS,
    TEST,
    TRAIN,
    Look,
    look,
    of_groups,
    of_lines,
    plain,
)

HALO = [withStroke(linewidth=2.5, foreground="white")]
ZERO_DECADES = 0.4  # how wide the way from step 0 to the first step is, in decades
THIN = "\N{THIN SPACE}"


class Drawing(Figure):
    """A Figure that also shows itself in a notebook where nobody has asked matplotlib for it."""

    def _repr_png_(self) -> bytes:
        return as_file(self, "png", dpi=110)


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
        figure.savefig(data, format=format, metadata=metadata, **({"dpi": dpi} if dpi else {}))
    return data.getvalue()


def draw_curves(
    picture: Picture,
    *,
    scale: str,
    phases: Mapping[str, Any],
    size: tuple[float, float] | None,
    title: str | None,
) -> Figure:
    """Return accuracies and columns over the steps."""
    with look():
        one = len(picture.groups) == 1
        panels = list(picture.panels)
        count = len(panels) + (not one) or 1
        columns = _columns(count, one)
        figure, axes = _grid(count, columns, size or _size(count, columns))
        if one:
            _draw_group(picture, axes, panels)
        else:
            _draw_groups(picture, axes, panels)
        for at, axis in enumerate(axes):
            _step_axis(axis, picture.steps, scale, label=at + columns >= count)
        for axis in axes:
            _draw_phases(axis, picture, phases, names=axis is axes[0])
        _heading(figure, _title(picture) if title is None else plain(title))
        _note(figure, _notes(picture, phases))
        if one:
            _label_accuracies(axes[0], picture.groups[0])
    return figure


def _columns(count: int, one: bool) -> int:
    """How many panels stand side by side."""
    if count <= 1 or (count == 2 and not one):
        return 1
    return 2 if count <= 4 else 3 if count <= 9 else 4


def _size(count: int, columns: int) -> tuple[float, float]:
    rows = math.ceil(count / columns)
    width, height = {1: (6.8, 2.7), 2: (4.6, 2.5), 3: (3.9, 2.2), 4: (3.3, 2.0)}[columns]
    if count == 1:
        height = 3.4
    return columns * width, rows * height + 0.9


def _grid(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    figure = Drawing(figsize=size, layout="constrained")
    rows = math.ceil(count / columns)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.remove()
    for axis in axes[max(count - columns, 0) : count]:
        axis.tick_params(labelbottom=True)
    return figure, axes[:count]


# One group: accuracies on the left axis of every panel, its columns on the right axis.


def _draw_group(picture: Picture, axes: Sequence[Any], panels: Sequence[Panel]) -> None:
    group = picture.groups[0]
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for at, axis in enumerate(axes):
        _draw_accuracies(axis, group, quiet=len(axes) > 1)
        _accuracy_axis(axis, named=at % columns == 0)
        _mark(axis, group, named=at < columns)
        if panels:
            _draw_panel(axis, group, panels[at], single=len(axes) == 1)


def _draw_accuracies(axis: Any, group: Group, quiet: bool = False) -> None:
    width = 1.0 if quiet else 1.4
    train, test = Look(TRAIN, (0, (4, 1.6))), Look(TEST if not quiet else "#555555")
    _line(axis, group.course("train_accuracy"), train, "train accuracy", width)
    _line(axis, group.course("test_accuracy"), test, "test accuracy", width)


def _accuracy_axis(axis: Any, named: bool) -> None:
    axis.set_ylim(-0.03, 1.05)
    axis.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}".replace("%", " %")))
    if named:
        axis.set_ylabel("accuracy")
    else:
        axis.tick_params(labelleft=False)


def _draw_panel(axis: Any, group: Group, panel: Panel, single: bool) -> None:
    """The columns on a right axis of their own."""
    right = axis.twinx()
    right.spines["right"].set_visible(True)
    right.set_zorder(axis.get_zorder() + 1)
    looks = of_lines(len(panel.lines), ordered=bool(panel.title) and not panel.log)
    if panel.log:
        looks = [Look(PALETTE[0], (0, (4, 1.6)) if name == "train_loss" else "-") for name in panel.lines]
    for (name, label), each in zip(panel.lines.items(), looks, strict=True):
        _line(right, group.course(name), each, label or name, 2.0)
    _value_axis(right, panel, log=panel.log)
    title = _full_title(panel)
    if group.normalise and not panel.log:
        right.set_ylim(-0.03, 1.05)
        right.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
        right.set_yticklabels(["lowest", "", "highest"])
        title = title or (plain(next(iter(panel.lines))) if len(panel.lines) == 1 else "")
    if single and title:
        right.set_ylabel(title, color=PALETTE[0] if len(panel.lines) == 1 or panel.log else INK)
    elif title:
        axis.set_title(title, loc="left", color=PALETTE[0], pad=14 if _has_marks(group) else 6)
    if len(panel.lines) > 1:
        _legend(right, [plain(label) for label in panel.lines.values()], looks)


def _has_marks(group: Group) -> bool:
    return bool(group.memorised.steps or group.grokked.steps)


def _full_title(panel: Panel) -> str:
    return plain(f"{panel.title} ({panel.unit})" if panel.unit else panel.title)


def _legend(axis: Any, labels: Sequence[str], looks: Sequence[Look]) -> None:
    handles = [Line2D([], [], color=each.colour, linestyle=each.dashes, linewidth=2) for each in looks]
    columns = 1 if max(map(len, labels)) > 24 else min(len(labels), 3)
    legend = axis.legend(
        handles, labels, loc="center right", ncols=columns, handlelength=2.2, frameon=True, borderpad=0.3
    )
    legend.get_frame().set(facecolor="white", edgecolor="none", alpha=0.8)


def _mark(axis: Any, group: Group, named: bool) -> None:
    """Lines where the runs memorise and grok, by their median; a tick above for each run."""
    marks = {"M": group.memorised, "G": group.grokked}
    for name, mark in marks.items():
        if mark.median is None:
            continue
        axis.axvline(mark.median, color="#9a9a9a", linewidth=0.8, zorder=0.5, gid=f"mark-{name}")
        if len(mark.steps) > 1:
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
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=8.5,
                color=INK,
                gid=f"name-{name}",
            )


def _label_accuracies(axis: Any, group: Group) -> None:
    """Write `train` and `test` beside the rise of each; below its end where it never rises."""
    left, right = axis.get_xlim()
    for name, colour in (("train", "#6f6f6f"), ("test", TEST)):
        course = group.course(f"{name}_accuracy")
        if not course.is_there:
            continue
        step, value = _rise(course)
        if step is None:
            finite = np.flatnonzero(np.isfinite(course.mean))
            step, value = course.steps[finite[-1]], course.mean[finite[-1]]
            place: dict[str, Any] = {"xytext": (-2, 4), "ha": "right", "va": "bottom"}
        else:
            place = {"xytext": (-5, 0), "ha": "right", "va": "center"}
            at = axis.transAxes.inverted().transform(axis.transData.transform((step, value)))[0]
            if at < 0.1:
                place = {"xytext": (6, 0), "ha": "left", "va": "center"}
        axis.annotate(
            name,
            (step, value),
            textcoords="offset points",
            color=colour,
            fontsize=8.5,
            path_effects=HALO,
            zorder=5,
            **place,
        )


def _rise(course: Course) -> tuple[float | None, float]:
    """Where the mean first comes to half of its way up, or None if it never gets beyond one half."""
    there = np.flatnonzero(course.mean >= 0.5)
    if not len(there):
        return None, 0.0
    after = int(there[0])
    if after == 0 or not np.isfinite(course.mean[after - 1]):
        return float(course.steps[after]), float(course.mean[after])
    low, high = course.mean[after - 1], course.mean[after]
    share = (0.5 - low) / (high - low)
    return float(course.steps[after - 1] + share * (course.steps[after] - course.steps[after - 1])), 0.5


# Several groups: a panel for the accuracies, and one for every column.


def _draw_groups(picture: Picture, axes: Sequence[Any], panels: Sequence[Panel]) -> None:
    looks = of_groups([group.value for group in picture.groups])
    first = axes[0]
    for group, each in zip(picture.groups, looks, strict=True):
        _line(first, group.course("train_accuracy"), Look(each.colour, (0, (1.2, 1.4))), "train", 1.2)
        _line(first, group.course("test_accuracy"), each, "test", 1.8)
    _accuracy_axis(first, named=True)
    first.set_title(
        "train accuracy dotted, test accuracy solid", loc="left", color=QUIET, fontsize=8.5, pad=12
    )
    for at, axis in enumerate(axes):
        if at:
            _draw_groups_panel(axis, picture, panels[at - 1], looks)
        _mark_groups(axis, picture, looks, symbols=at == 0)
    _group_legend(first.figure, picture, looks)


def _draw_groups_panel(axis: Any, picture: Picture, panel: Panel, looks: Sequence[Look]) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        for name in panel.lines:
            dashed = Look(each.colour, (0, (1.2, 1.4))) if name == "train_loss" else each
            _line(
                axis,
                group.course(name),
                dashed,
                f"{name} {group.label}",
                1.2 if name == "train_loss" else 1.8,
            )
    _value_axis(axis, panel, log=panel.log)
    title = _full_title(panel)
    if picture.normalised and not panel.log:
        axis.set_ylim(-0.03, 1.05)
        title = plain(f"{panel.title}, lowest to highest of each run")
    axis.set_title(title, loc="left", color=INK)


def _mark_groups(axis: Any, picture: Picture, looks: Sequence[Look], symbols: bool) -> None:
    for group, each in zip(picture.groups, looks, strict=True):
        for name, mark, fill in (("M", group.memorised, "white"), ("G", group.grokked, each.colour)):
            if mark.median is None:
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


def _group_legend(figure: Any, picture: Picture, looks: Sequence[Look]) -> None:
    handles = [
        Line2D([], [], color=each.colour, linewidth=2.2, marker=each.marker or None, markersize=5)
        for each in looks
    ]
    labels = [f"{plain(group.label)}{_counted(group)}" for group in picture.groups]
    longest = max(map(len, labels))
    width = figure.get_size_inches()[0]
    columns = max(1, min(len(labels), int(width * 11 / (longest + 8))))
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=columns,
        title=plain(picture.told_by[0]) if len(picture.told_by) == 1 else None,
        alignment="left",
        handlelength=1.6,
        columnspacing=1.6,
    )


def _counted(group: Group) -> str:
    """How many runs a group has, and how many of them grok where not all do."""
    runs, grokked = group.grokked.runs, len(group.grokked.steps)
    words = [f"{runs} runs"] if runs > 1 else []
    if not grokked:
        words.append("none grok" if runs > 1 else "does not grok")
    elif grokked < runs:
        words.append(f"{grokked} grok")
    return f"  ({', '.join(words)})" if words else ""


# What both share.


def _line(axis: Any, course: Course, each: Look, label: str, width: float) -> None:
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
        markevery=_marked(course, bool(each.marker)),
        zorder=2,
    )


def _marked(course: Course, sparse: bool) -> list[int]:
    """Points without neighbours, which no line shows; and some others where markers tell lines apart."""
    there = np.isfinite(course.mean)
    padded = np.concatenate([[False], there, [False]])
    alone = np.flatnonzero(there & ~padded[:-2] & ~padded[2:])
    some = np.flatnonzero(there)
    some = some[np.unique(np.linspace(0, len(some) - 1, 9).round().astype(int))] if sparse else some[:0]
    return sorted({*alone.tolist(), *some.tolist()})


def _value_axis(axis: Any, panel: Panel, log: bool) -> None:
    if log:
        axis.set_yscale("log", nonpositive="mask")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.yaxis.set_minor_formatter(NullFormatter())
        return
    axis.margins(y=0.07)
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, min_n_ticks=2))
    axis.yaxis.set_major_formatter(FuncFormatter(_near_zero(axis)))


def _near_zero(axis: Any) -> Callable[[float, int], str]:
    """Format ticks; what is 0 but for rounding is 0."""

    def text(value: float, _: int) -> str:
        return short(0.0 if abs(value) < 1e-9 * max(map(abs, axis.get_ylim())) else value)

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


def _step_axis(axis: Any, steps: np.ndarray, scale: str, label: bool) -> None:
    """Lay out the step axis; on `log` it is linear between step 0 and the first step after it."""
    positive = steps[steps > 0]
    first, last = (positive[0], positive[-1]) if len(positive) else (1.0, 1.0)
    words = "step"
    if scale == "log" and last > first:
        if steps[0] <= 0:
            axis.set_xscale("symlog", linthresh=first, linscale=ZERO_DECADES)
            axis.set_xlim(-0.12 * first, last * 1.06)
            words = f"step (log scale, linear from 0 to {_step_text(first)})"
        else:
            axis.set_xscale("log")
            axis.set_xlim(first / 1.06, last * 1.06)
            words = "step (log scale)"
        ticks = _decades(first, last)
        axis.xaxis.set_major_locator(FixedLocator([0.0, *ticks] if steps[0] <= 0 else ticks))
        minor = LogLocator(subs=range(2, 10)).tick_values(first, last)
        axis.xaxis.set_minor_locator(FixedLocator([at for at in minor if first <= at <= last]))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.02 * (steps[-1] - steps[0]) or 1.0
        axis.set_xlim(steps[0] - room, steps[-1] + room)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _step_text(value)))
    if label:
        axis.set_xlabel(words)


def _decades(first: float, last: float) -> list[float]:
    """Ticks of a log axis: powers of ten, with 2 and 5 between them where there are few."""
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    tens = [10.0**power for power in powers if first <= 10.0**power <= last]
    if len(tens) > 2:
        return tens
    return [m * 10.0**power for power in powers for m in (1, 2, 5) if first <= m * 10.0**power <= last]


def _draw_phases(axis: Any, picture: Picture, phases: Mapping[str, Any], names: bool) -> None:
    """Shade the phases of the only run; those of several would cover one another."""
    if len(picture.runs) != 1:
        return
    found = getattr(phases.get(next(iter(picture.runs))), "found", ())
    for at, phase in enumerate(found):
        axis.axvspan(phase.start, phase.end, color=SHADES[at % 2], linewidth=0, zorder=0.1, gid=f"phase-{at}")
        if names:
            middle = _middle(axis, phase.start, phase.end)
            axis.text(
                middle,
                0.03,
                plain(phase.name).replace(" ", "\n"),
                transform=axis.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=QUIET,
                path_effects=HALO,
                zorder=4,
            )


def _middle(axis: Any, start: float, end: float) -> float:
    """The step halfway between two on the paper."""
    transform = axis.xaxis.get_transform()
    ends = transform.transform(np.array([[start], [end]], float).ravel())
    return float(transform.inverted().transform(np.array([ends.mean()]))[0])


def _title(picture: Picture) -> str:
    """What the runs are, in as few words as tell them."""
    runs = list(picture.runs)
    if len(runs) == 1:
        return plain(runs[0])
    configs = [results.config for results in picture.runs.values()]
    words = [
        _shared(config.get("task", {}).get("name") for config in configs),
        _shared(config.get("recipe") for config in configs),
    ]
    named = " ".join(word for word in dict.fromkeys(words) if word)
    return plain(f"{named}, {len(runs)} runs" if named else f"{len(runs)} runs")


def _shared(values: Iterable[Any]) -> str:
    found = {str(value) for value in values if value}
    return found.pop() if len(found) == 1 else ""


def _notes(picture: Picture, phases: Mapping[str, Any]) -> list[str]:
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
    if any(getattr(found, "found", ()) for found in phases.values()) and len(picture.runs) == 1:
        notes.append("Shaded: phases.")
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
    width = int(figure.get_size_inches()[0] * 16.5)
    lines = textwrap.wrap(" ".join(notes), width)
    figure.supxlabel("\n".join(lines), x=0.012, ha="left", fontsize=7.5, color=QUIET)


def draw_pareto(
    picture: Picture, x: str, y: str, *, size: tuple[float, float] | None, title: str | None
) -> Figure:
    """Return one column over another, coloured by step."""
    with look():
        figure = Drawing(figsize=size or (6.0, 4.6), layout="constrained")
        axis = figure.subplots()
        norm = _step_norm(picture)
        shown: Any = None
        for at, group in enumerate(picture.groups):
            for results in group.runs.values():
                shown = _trajectory(axis, results, x, y, norm, at) or shown
        for direction, name in (("x", x), ("y", y)):
            getattr(axis, f"set_{direction}label")(plain(picture.title_of(name)))
            ticks = getattr(axis, f"{direction}axis")
            ticks.set_major_locator(MaxNLocator(nbins=6))
            ticks.set_major_formatter(
                FuncFormatter(lambda value, _: short(0.0 if abs(value) < 1e-15 else value))
            )
        if shown is not None:
            _step_bar(figure, axis, shown, picture)
        _heading(figure, _title(picture) if title is None else plain(title))
        _note(figure, _pareto_notes(picture))
    return figure


def _step_norm(picture: Picture) -> Normalize:
    steps = np.unique(np.concatenate([results.steps for results in picture.runs.values()]))
    positive = steps[steps > 0]
    if len(positive) < 2:
        return Normalize(steps.min(initial=0), max(steps.max(initial=1), 1))
    return SymLogNorm(positive[0], linscale=ZERO_DECADES, vmin=steps[0], vmax=steps[-1], base=10)


def _trajectory(axis: Any, results: Any, x: str, y: str, norm: Normalize, group: int) -> Any:
    from grokscope.report.figures.style import MARKERS

    across, up = results.course(x), results.course(y)
    there = np.isfinite(across) & np.isfinite(up)
    if not there.any():
        return None
    axis.plot(across[there], up[there], color=FAINT, linewidth=0.8, zorder=1)
    return axis.scatter(
        across[there],
        up[there],
        c=np.asarray(results.steps)[there],
        norm=norm,
        cmap=STEPS,
        marker=MARKERS[group % len(MARKERS)],
        s=20,
        linewidths=0.4,
        edgecolors="white",
        zorder=2,
    )


def _step_bar(figure: Any, axis: Any, shown: Any, picture: Picture) -> None:
    bar = figure.colorbar(shown, ax=axis, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("step")
    steps = np.unique(np.concatenate([results.steps for results in picture.runs.values()]))
    positive = steps[steps > 0]
    if len(positive) > 1:
        bar.set_ticks([*([0.0] if steps[0] == 0 else []), *_decades(positive[0], positive[-1])])
        bar.minorticks_off()
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _step_text(value)))


def _pareto_notes(picture: Picture) -> list[str]:
    return ["Every point is a checkpoint; a line joins those of one run."]
