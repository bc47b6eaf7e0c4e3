"""What one run says of one column: when it changes, how it goes with test accuracy, what it was before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from grokscope.results import ColumnName, Results
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.statistics.correlation import partial_spearman
from grokscope.statistics.league.columns import entrants
from grokscope.statistics.league.fates import Fate, fates, window_of
from grokscope.statistics.one_run import Window, is_resolved
from grokscope.statistics.transition import FEWEST, Between, Scale

DIGITS = 6  # of the numbers that are kept: others are rounding, which ranks would read as news
TRAIN_LOSS = "train_loss"  # of the curve
NONE = "it has no number there"


@dataclass(frozen=True)
class Sighting:
    """One column in one run: all that the league knows of it.

    Attributes:
        run, fate: whose, and what became of it.
        column: `measure.column`.
        shape: of its clear change from memorisation on: `rise`, `fall` or `peak`; empty where there is none,
            or it lies within two checkpoints of where the search begins.
        change: the checkpoints between which that lies.
        partial: Spearman with test accuracy from memorisation on, the ranks of the weight norm and of the
            train loss taken out of both; NaN in runs that never grok.
        value: the last value up to memorisation.
        moved: how far it is from the first, (last - first) / (|last| + |first|): -1 to 1 in any unit.
        ms: milliseconds that its measure took of the processor at one checkpoint of this setting.
        resolution: log10 steps from one of its values to the next on the way from memorisation to the end.
        absent: why its measure has no value in the run; the column is then the measure's title alone.
    """

    run: str
    fate: Fate
    column: ColumnName
    shape: str = ""
    change: Between | None = None
    partial: float = math.nan
    value: float = math.nan
    moved: float = math.nan
    ms: float = math.nan
    resolution: float = math.nan
    absent: str = ""

    def ahead_in(self, shape: str) -> float:
        """Return log10(the end / the change), by the middles of the checkpoints between which they lie.

        NaN where it does not change in this shape.
        """
        if self.change is None or self.shape != shape or not shape:
            return math.nan
        return _decades(self.change.middle, self.fate.end.middle)

    def foreseen(self, shape: str) -> float:
        """Return which share of the way to the end was left when it had changed in this shape.

        The way goes from memorisation to test accuracy's own change, or to the end of the training, in log
        steps. 0 where it does not change so, or not surely before.
        """
        ahead = self.ahead_in(shape)
        if self.change is None or math.isnan(ahead):
            return 0.0
        if self.fate.groks and self.change.until > self.fate.end.after:
            return 0.0
        way = _decades(self.fate.start, self.fate.end.middle)
        return min(1.0, max(0.0, ahead / way)) if way > 0 else 0.0


def sightings(
    runs: Mapping[str, Results],
    settings: Mapping[str, str],
    control: ColumnName,
    *,
    train: float = MEMORISED_AT,
    test: float | Mapping[str, float] = GROKKED_AT,
    scale: Scale = "log",
    ms: Mapping[tuple[str, str], float] | None = None,
) -> tuple[list[Sighting], dict[str, str]]:
    """Return what each run says of each column that it has, and why runs are left out, by run.

    Args:
        runs: measured runs, by name.
        settings: what each is a seed of.
        control: the weight norm.
        train, test: accuracies that count as memorised and grokked; by setting, where they differ.
        scale: the step axis on which changes are looked for.
        ms: what each measure cost, by setting and measure.
    """
    bounds = test if isinstance(test, Mapping) else dict.fromkeys(settings.values(), test)
    thresholds = {run: (train, bounds.get(settings[run], GROKKED_AT)) for run in runs}
    found, excluded = fates(runs, settings, control, thresholds, scale)
    rows: list[Sighting] = []
    for run, fate in found.items():
        results = entrants(runs[run])
        window = window_of(run, results, fate.start, control, thresholds[run], scale)
        rows += [
            _sighting(window, fate, name, (ms or {}).get((fate.setting, name.measure), math.nan))
            for name in results.measured
        ]
        rows += _absences(window, fate)
    return rows, excluded


def _sighting(window: Window, fate: Fate, name: ColumnName, ms: float) -> Sighting:
    found = window.clear_change(name)
    seen = (found.shape, found.between) if found and is_resolved(found) else ("", None)
    value, moved = _before(window.results, name, fate.start)
    partial = _partial(window, name) if fate.groks else math.nan
    numbers = map(_rounded, (partial, value, moved, ms, _resolution(window, name, fate)))
    return Sighting(window.run, fate, name, *seen, *numbers)


def _absences(window: Window, fate: Fate) -> list[Sighting]:
    """The measures that have no value in a run, and why."""
    results = window.results
    failed = {failure.measure: failure.message for failure in reversed(results.failures)}
    having = {name.measure for name in results.measured}
    return [
        Sighting(
            window.run,
            fate,
            ColumnName(title, ""),
            absent=results.notes.get(title) or failed.get(title) or NONE,
        )
        for title in results.provenance
        if title not in having
    ]


def _resolution(window: Window, name: ColumnName, fate: Fate) -> float:
    """The mean distance between values on the way, in log steps; NaN of fewer than two."""
    course = window.results.columns[name]
    known = [
        step
        for step, value in zip(window.results.steps, course, strict=True)
        if fate.start <= step <= fate.end.until and math.isfinite(value)
    ]
    return _decades(known[0], known[-1]) / (len(known) - 1) if len(known) > 1 else math.nan


def _partial(window: Window, name: ColumnName) -> float:
    """What is left of the correlation with test accuracy; NaN of too few evaluations."""
    if len(window.steps) < FEWEST:
        return math.nan
    loss = window.curve(TRAIN_LOSS)
    return partial_spearman(window.course(name), window.accuracy, window.control, loss)


def _before(results: Results, name: ColumnName, start: int) -> tuple[float, float]:
    """The last value up to `start`, and how far it has moved since the first."""
    known = [
        value
        for step, value in zip(results.steps, results.columns[name], strict=True)
        if step <= start and math.isfinite(value)
    ]
    if not known:
        return math.nan, math.nan
    size = abs(known[-1]) + abs(known[0])
    return known[-1], (known[-1] - known[0]) / size if 0 < size < math.inf else 0.0


def _decades(earlier: float, later: float) -> float:
    return math.log10(max(later, 1) / max(earlier, 1))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
