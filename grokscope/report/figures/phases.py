"""How the phases of a run are shaded behind its panels, and named."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.report.figures.axes import CHARACTER, across_panel, width_of
from grokscope.report.figures.courses import Picture
from grokscope.report.figures.style import QUIET, SHADES, drawable


def phases_of(picture: Picture, phases: Mapping[str, Any]) -> list[Any]:
    """The phases of the only run; those of several would cover one another."""
    if len(picture.runs) != 1:
        return []
    return list(getattr(phases.get(next(iter(picture.runs))), "found", ()))


def draw_phases(axes: Sequence[Any], picture: Picture, found: Sequence[Any]) -> list[str]:
    """Shade the phases and name them; return what the note has to say of them."""
    if not found:
        return []
    edges = _edges(found, next(iter(picture.runs.values())).steps)
    places = [(across_panel(axes[0], start), across_panel(axes[0], end)) for start, end in edges]
    names = [drawable(phase.name).replace(" ", "\n") for phase in found]
    words = [max(map(len, name.split("\n"))) for name in names]
    fits = all(
        (end - start) * width_of(axes[0]) > 0.9 * CHARACTER * count
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
        f"{at}\N{NO-BREAK SPACE}{drawable(phase.name)} ({phase.start}–{phase.end})"
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
