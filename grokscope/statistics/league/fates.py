"""What became of each run of the league: whether it groks, and from which step it could be foreseen."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import median

from grokscope.results import ColumnName, Results
from grokscope.statistics.one_run import Window
from grokscope.statistics.transition import Between, Scale

NO_DELAY = "it groks without having memorised before: there is nothing to foresee"
NO_CHANGE = "its checkpoints are too few to say when test accuracy changes"
NO_START = "neither it nor any run of its kind memorises: there is nowhere to begin"
NO_WAY = "it ends where memorisation is just reached"


@dataclass(frozen=True)
class Fate:
    """A run that takes part.

    Attributes:
        setting: what it is a seed of.
        groks: whether it does, or never does as far as it was trained.
        start: the memorisation step, from which on changes are looked for; of a run that never memorises the
            median one of the runs of its kind, of the same task and network, that do.
        end: the evaluations between which test accuracy changes; of a run that never groks its last step.
    """

    setting: str
    groks: bool
    start: int
    end: Between


def fates(
    runs: Mapping[str, Results],
    settings: Mapping[str, str],
    control: ColumnName,
    thresholds: Mapping[str, tuple[float, float]],
    scale: Scale,
) -> tuple[dict[str, Fate], dict[str, str]]:
    """Return what became of the runs that can take part, and of each of the others why it cannot."""
    memorised = _memorised(runs, thresholds)
    found: dict[str, Fate] = {}
    excluded: dict[str, str] = {}
    for run, results in runs.items():
        own, grokked = results.transitions(*thresholds[run])
        start = own if own is not None or grokked is not None else memorised.get(kind_of(results))
        end, why = Between(0, 0), ""
        if start is None or (grokked is not None and start >= grokked):
            why = NO_DELAY if grokked is not None else NO_START
        elif grokked is not None:
            own_change = window_of(run, results, start, control, thresholds[run], scale).reference
            end, why = (own_change, "") if own_change else (end, NO_CHANGE)
        else:
            end = Between(results.steps[-1], results.steps[-1]) if results.steps else end
            why = "" if end.until > start else NO_WAY
        if why or start is None:
            excluded[run] = why
        else:
            found[run] = Fate(settings[run], grokked is not None, start, end)
    return found, excluded


def kind_of(results: Results) -> Hashable:
    """Return the task and the network that a run is about."""
    tables = (results.config.get("task") or {}, results.config.get("model") or {})
    return tuple(str(table.get("name", "")) for table in tables)


def window_of(
    run: str,
    results: Results,
    start: int,
    control: ColumnName,
    thresholds: tuple[float, float],
    scale: Scale,
) -> Window:
    """Return a run as it is looked at from `start` on."""
    memorised, grokked = results.transitions(*thresholds)
    return Window(run, results, memorised, grokked, start, control, scale)


def _memorised(
    runs: Mapping[str, Results], thresholds: Mapping[str, tuple[float, float]]
) -> dict[Hashable, int]:
    """The median memorisation step of the runs of each kind that memorise."""
    steps: dict[Hashable, list[int]] = {}
    for run, results in runs.items():
        step = results.transitions(*thresholds[run])[0]
        if step is not None:
            steps.setdefault(kind_of(results), []).append(step)
    return {kind: round(median(known)) for kind, known in steps.items()}
