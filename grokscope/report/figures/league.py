"""The league as one figure for a talk: what the first columns foresee, and where they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from grokscope.knowledge import LATER
from grokscope.report.figures.axes import Drawing, heading_of, note_below
from grokscope.report.figures.style import FAINT, INK, PALETTE, QUIET, drawable, look
from grokscope.report.league import Knowledge, known_of, outcome
from grokscope.statistics.league import League, Place

FIRST = 18  # columns that are drawn, and the controls
DAGGER = "†"
ROW, WIDTH, ROOM = 0.24, 9.6, 2.9  # inches
COLOURS = LinearSegmentedColormap.from_list("league", [PALETTE[1], "white", PALETTE[0]])


def draw_league(league: League, known: Knowledge) -> Figure:
    """Return the first columns and the controls: foresight with its interval, and setting by setting.

    Blue is the share of the way that was left when the column had changed, in settings that grok; orange
    that which was left to the end at a false alarm, in settings that never do.
    """
    shown = [place for at, place in enumerate(league.places) if at < FIRST or place.control]
    with look():
        figure = Drawing(figsize=(WIDTH, ROW * len(shown) + ROOM), layout="constrained")
        settings = league.settings
        left, right = figure.subplots(1, 2, width_ratios=[1.1, max(1.0, 0.16 * len(settings))], sharey=True)
        _intervals(left, shown, league, known)
        _cells(right, shown, settings)
        heading_of(figure, outcome(league).replace("$", r"\$"))
        note_below(figure, [_note(league, shown)])
    return figure


def _intervals(axis: Any, shown: Sequence[Place], league: League, known: Knowledge) -> None:
    for at, place in enumerate(shown):
        colour = QUIET if place.control else PALETTE[2] if place.foretells else INK
        of = place.foresight
        if of.known:
            axis.plot([of.low, of.high], [at, at], color=colour, linewidth=1.6, alpha=0.7)
        axis.plot(of.mean, at, marker="s" if place.control else "o", color=colour, markersize=5)
    axis.axvline(0, color=FAINT, linewidth=1, zorder=0)
    axis.set_yticks(range(len(shown)), [_named(place, league, known) for place in shown])
    for label, place in zip(axis.get_yticklabels(), shown, strict=True):
        label.set_color(QUIET if place.control else INK)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlabel("foresight")


def _named(place: Place, league: League, known: Knowledge) -> str:
    name = f"{place.column.column} (control)" if place.control else str(place.column)
    name += DAGGER if LATER in known_of(place, known).split(", ") else ""
    return f"{drawable(name)}  {league.place(place.column)}"


def _cells(axis: Any, shown: Sequence[Place], settings: Sequence[tuple[str, bool]]) -> None:
    table = np.full((len(shown), len(settings)), np.nan)
    for at, place in enumerate(shown):
        for cell in place.cells:
            sign = 1 if cell.groks else -1
            table[at, settings.index((cell.setting, cell.groks))] = sign * cell.foreseen
    axis.set_facecolor("#f4f4f4")  # where a column has no value
    axis.imshow(table, cmap=COLOURS, norm=TwoSlopeNorm(0, -1, 1), aspect="auto", interpolation="nearest")
    axis.tick_params(labelleft=False, left=False)
    axis.set_xticks(range(len(settings)), [drawable(name) for name, _ in settings], rotation=50, ha="right")
    axis.tick_params(axis="x", labelsize=7.5, length=0)
    parting = sum(groks for _, groks in settings) - 0.5
    axis.axvline(parting, color=INK, linewidth=1.2)
    for start, end, words in ((-0.5, parting, "grok"), (parting, len(settings) - 0.5, "never do")):
        axis.text((start + end) / 2, -0.8, words, ha="center", va="bottom", fontsize=8.5, color=INK)
    for side in ("left", "bottom"):
        axis.spines[side].set_visible(False)


def _note(league: League, shown: Sequence[Place]) -> str:
    runs = sum(league.grok.values()), sum(league.never.values())
    return (
        f"The first {min(FIRST, len(league.places))} of {league.columns} columns by foresight, and the "
        f"controls, with their places; {league.confidence:.0%} intervals over settings; {runs[0]} runs that "
        f"grok and {runs[1]} that never do. Blue: the share of the way from memorisation to test accuracy's "
        "own change, in log steps, that was left when the column had changed. Orange: likewise of the way to "
        f"the end, in runs that never grok. Grey: no value. {DAGGER}: it must know the last checkpoint."
    )
