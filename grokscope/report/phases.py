"""The table of `grokscope phases`, and its CSV: each run's phases along its log step axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grokscope.report.kit import foreign, plain_table, without_beginning
from grokscope.report.text import csv_of, number, printable
from grokscope.results import ColumnName, Comparison
from grokscope.statistics.phases import (
    DECOUPLING,
    DELAYED,
    DIVERGENCE,
    EMERGENCE,
    FEATURES,
    LOSS,
    RULE,
    Phase,
    Phases,
)
from grokscope.statistics.transition import axis_of

STYLES = {
    FEATURES: ("F", "cyan"),
    EMERGENCE: ("E", "bold green"),
    DIVERGENCE: ("D", "red"),
    DELAYED: ("e", "green"),
    DECOUPLING: ("C", "yellow"),
}
LEAST_NAME = 14
LONGEST_STRIP = 48
GAP = 2
NUMBERS = 20  # characters that a course's two numbers take
PHASES = 28  # ... and the phases themselves


def phases_table(
    comparison: Comparison, found: Mapping[str, Phases], width: int, columns: Sequence[str] = ()
) -> RenderableType:
    """Return one strip per run, a letter for every stretch of the log step axis, and what the letters say.

    Of one run its phases stand below one another, with test loss and `columns` from their first to their last
    step.
    """
    rule = Padding(Text(RULE, style="dim"), (1, 0, 0, 0))
    notes = [
        foreign(f"{run}: {each.note}" if len(found) > 1 else each.note, "yellow")
        for run, each in found.items()
        if each.note
    ]
    shown = {run: each.found for run, each in found.items() if each.found}
    if not shown:
        return Group(*notes)
    if len(found) == 1:
        run, only = next(iter(shown.items()))
        return Group(_one(comparison, run, only, _shown([*columns, LOSS], width), width), rule)
    return Group(_strips(comparison, shown, width), Text(), _letters(), *notes, rule)


def _strips(comparison: Comparison, shown: Mapping[str, Sequence[Phase]], width: int) -> Table:
    table = plain_table("run")
    table.add_column("log steps", no_wrap=True)
    widest = max(len(printable(run)) for run in shown)
    strip = min(LONGEST_STRIP, max(width - widest - GAP, width // 2))
    last = max(len(str(phases[-1].end)) for phases in shown.values()) + 1
    room = max(LEAST_NAME, width - strip - GAP)
    for run, phases in shown.items():
        name = without_beginning(printable(run), room)
        line = _strip(comparison.runs[run].steps, phases, strip - last)
        table.add_row(foreign(name), line + Text(f" {phases[-1].end}", "dim"))
    return table


def _strip(steps: Sequence[int], phases: Sequence[Phase], length: int) -> Text:
    """A letter for each stretch of the log axis, from the first phase on: the phase its middle lies in."""
    steps = [step for step in steps if step >= phases[0].start]
    axis = axis_of(steps)
    line = Text()
    for place in range(length):
        middle = axis[0] + (axis[-1] - axis[0]) * (place + 0.5) / length
        step = steps[max(at for at in range(len(steps)) if axis[at] <= middle)]
        name = next((phase.name for phase in phases if phase.start <= step <= phase.end), phases[-1].name)
        line.append(*STYLES[name])
    return line


def _letters() -> Text:
    return Text("  ").join(
        Text(letter, style) + Text(f" {name}", "dim") for name, (letter, style) in STYLES.items()
    )


def _shown(names: Sequence[str], width: int) -> Sequence[str]:
    """The courses whose numbers fit: the last one first, then in their order."""
    room = (width - PHASES) // NUMBERS
    return names if room >= len(names) else [*names[: max(room - 1, 0)], *names[-1:]] if room > 0 else []


def _one(
    comparison: Comparison, run: str, phases: Sequence[Phase], names: Sequence[str], width: int
) -> RenderableType:
    results = comparison.runs[run]
    table = plain_table()
    table.add_column("phase", no_wrap=True)
    for header in ("from", "to", *(ColumnName.read(name).own or name for name in names)):
        table.add_column(foreign(header), justify="right", no_wrap=True)
    courses = {name: dict(zip(results.steps, results.course(name).tolist(), strict=True)) for name in names}
    for phase in phases:
        ends = [
            " → ".join(number(courses[name].get(step, math.nan)) for step in (phase.start, phase.end))
            for name in names
        ]
        table.add_row(Text(phase.name, STYLES[phase.name][1]), str(phase.start), str(phase.end), *ends)
    return Group(_strip(results.steps, phases, min(LONGEST_STRIP, width)), Text(), table)


def phases_csv(comparison: Comparison, by_run: Mapping[str, Phases]) -> str:
    """Return the phases as CSV, a row each, with the settings in which the runs differ."""
    rows = [
        {"run": run, **comparison.settings_of(run), "phase": each.name, "start": each.start, "end": each.end}
        for run, found in by_run.items()
        for each in found.found
    ]
    names = ("run", *comparison.settings, "phase", "start", "end")
    return csv_of({name: [row[name] for row in rows] for name in names})
