"""How a paper's claims read a run: when it memorised, when test accuracy rose, what a column was then.

Steps and values that there are not are NaN, and what is found from them is NaN: nothing can be said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grokscope.errors import UnknownName
from grokscope.results import ColumnName
from grokscope.run.config import TABLES
from grokscope.run.curves import GROKKED_AT, first_step_staying_above
from grokscope.statistics.correlation import spearman

if TYPE_CHECKING:
    import numpy as np

    from grokscope.results import Results

__all__ = [
    "accuracy_at",
    "at",
    "best_accuracy",
    "changed",
    "course",
    "delay",
    "differ_only_in",
    "end_of",
    "fall",
    "final_accuracy",
    "first_step",
    "generalised",
    "grokked",
    "groks",
    "last",
    "least",
    "log_distance",
    "memorised",
    "once_memorised",
    "peak",
    "reached",
    "rise",
    "rise_begins",
    "setting",
    "share_of_course",
    "slope",
    "smoothed",
    "span",
    "spearman",
    "turn",
    "until_grokked",
]

BEGINS = 0.1  # share of its rise from which test accuracy is said to undergo it
LEAST_RISE = 0.2  # test accuracy that rises by less after memorisation has not grokked
NOWHERE = math.nan
SMOOTH_WEIGHT, SMOOTH_STEPS = 0.1, 5
# How long a run is, and how it is looked at, makes no other setting of it.
LOOKED_AT = ("steps", "checkpoint_every", "log_every", "device")


def course(results: Results, column: str) -> np.ndarray:
    """Return a column at the measured steps, or NaN everywhere where the run has no such column."""
    import numpy as np

    try:
        return results.course(column)
    except UnknownName:
        return np.full(len(results.steps), math.nan)


def reread(results: Results, columns: Mapping[str, str]) -> Results:
    """Return the results with columns in place of others, all labels too: `{"pe.pe": "pe.pe_centred"}`.

    A column whose substitute was not measured is taken away.
    """

    def read(named: Mapping[str, Any]) -> dict[str, Any]:
        names = {name: ColumnName.read(name) for name in named}
        kept = {name: value for name, value in named.items() if names[name].total not in columns}
        for instead, other in columns.items():
            own = ColumnName.read(instead)
            for name, value in named.items():
                if names[name].total == other:
                    kept[ColumnName(own.measure, own.column, names[name].label)] = value
        return kept

    return replace(results, columns=read(results.columns), declared=read(results.declared))


def smoothed(results: Results, *columns: str) -> Results:
    """Return the results without step 0 and with columns smoothed, as the plots of Clauw et al. 2024 have it.

    An exponential mean with weight 0.1 per 5 steps, their distance of checkpoints; where checkpoints lie
    further apart the weight is what so many updates come to. Only what is read here changes: stored values
    stay as they are.
    """
    import numpy as np

    from grokscope.statistics.smoothing import exponential_mean

    later = [place for place, step in enumerate(results.steps) if step > 0]
    named = {name: [values[place] for place in later] for name, values in results.columns.items()}
    gaps = np.diff(named["step"]) / SMOOTH_STEPS
    for name in set(columns) & set(results.declared):
        named[name] = exponential_mean(named[name], SMOOTH_WEIGHT, gaps).tolist()
    return replace(results, columns=named)


def at(results: Results, column: str, step: float) -> float:
    """Return a column at the last measured step up to `step`; NaN where there is none."""
    values = course(results, column)
    before = [
        value
        for known, value in zip(results.steps, values, strict=True)
        if known <= step and math.isfinite(value)
    ]
    return float(before[-1]) if before else NOWHERE


def last(results: Results, column: str) -> float:
    """Return a column's last value."""
    return at(results, column, math.inf)


def once_memorised(results: Results, column: str) -> float:
    """Return a column at the first checkpoint from memorisation on; NaN where there is none.

    The one before may lie well before memorisation.
    """
    after = [step for step in results.steps if step >= memorised(results)]
    return at(results, column, after[0]) if after else NOWHERE


def fall(results: Results, column: str, what: str) -> tuple[float, dict[str, float]]:
    """Return how far a column ends below its value once memorised, and both values in words for a claim.

    The value once memorised is that of the first checkpoint from memorisation on.
    """
    before, after = once_memorised(results, column), last(results, column)
    return before - after, {f"{what} at memorisation": before, f"{what} at the end": after}


def peak(results: Results, column: str, start: float = 0, end: float = math.inf) -> tuple[float, float]:
    """Return (step, value) of a column's maximum between two steps; (NaN, NaN) where there is no value."""
    found = [
        (value, step)
        for step, value in zip(results.steps, course(results, column), strict=True)
        if start <= step <= end and math.isfinite(value)
    ]
    if not found:
        return NOWHERE, NOWHERE
    value, step = max(found, key=lambda pair: (pair[0], -pair[1]))
    return float(step), float(value)


def first_step(results: Results, column: str, so: Callable[[float], bool], start: float = 0) -> float:
    """Return the first measured step from `start` on at which a column's value is `so`; NaN where none is."""
    found = (
        step
        for step, value in zip(results.steps, course(results, column), strict=True)
        if step >= start and so(value)
    )
    return _number(next(found, None))


def turn(results: Results, column: str, start: float = 0) -> float:
    """Return the step from which a column falls furthest, from `start` on; NaN where it never falls."""
    highest, step, furthest, found = -math.inf, NOWHERE, 0.0, NOWHERE
    for at_step, value in zip(results.steps, course(results, column), strict=True):
        if at_step < start or not math.isfinite(value):
            continue
        if value > highest:
            highest, step = float(value), float(at_step)
        elif highest - value > furthest:
            furthest, found = highest - float(value), step
    return found


def memorised(results: Results) -> float:
    """Return the memorisation step, or NaN."""
    return _number(results.memorisation_step)


def grokked(results: Results) -> float:
    """Return the grokking step, or NaN."""
    return _number(results.grokking_step)


def until_grokked(results: Results) -> float:
    """Return the grokking step, infinity where there is none."""
    step = grokked(results)
    return math.inf if math.isnan(step) else step


def end_of(results: Results) -> float:
    """Return the last step trained."""
    return float(results.curve["step"][-1])


def final_accuracy(results: Results, split: str = "test") -> float:
    """Return the curve's last accuracy."""
    return float(results.curve[f"{split}_accuracy"][-1])


def best_accuracy(results: Results) -> float:
    """Return the curve's highest test accuracy."""
    return float(max(results.curve["test_accuracy"]))


def reached(results: Results, level: float, split: str = "test") -> float:
    """Return the first step from which accuracy is at least `level` three times in a row, or NaN."""
    return _number(first_step_staying_above(results.curve["step"], results.curve[f"{split}_accuracy"], level))


def accuracy_at(results: Results, step: float, split: str = "test") -> float:
    """Return the curve's accuracy at the last evaluation up to `step`; NaN where there is none."""
    steps, values = results.curve["step"], results.curve[f"{split}_accuracy"]
    before = values[steps <= step]
    return float(before[-1]) if len(before) else NOWHERE


def rise(results: Results) -> float:
    """Return when test accuracy rose.

    The first step from which it is at least halfway between what it was at memorisation and its highest. NaN
    where the run never memorised, or rose by less than 20 points after.
    """
    start = accuracy_at(results, memorised(results))
    top = best_accuracy(results)
    if not top - start >= LEAST_RISE:
        return NOWHERE
    return reached(results, (start + top) / 2)


def rise_begins(results: Results) -> float:
    """Return the step from which test accuracy has made a tenth of its rise after memorisation, or NaN."""
    start = accuracy_at(results, memorised(results))
    return reached(results, start + BEGINS * (best_accuracy(results) - start))


def generalised(results: Results) -> float:
    """Return the grokking step (test accuracy 95 %).

    Of a run that grokked below that, as 200 images let it, the step at 95 % of its best. NaN where test
    accuracy rose by less than 20 points after memorisation.
    """
    if math.isnan(rise(results)):
        return NOWHERE
    step = grokked(results)
    return reached(results, GROKKED_AT * best_accuracy(results)) if math.isnan(step) else step


def groks(results: Results) -> str | None:
    """Return "that grok" for a run whose test accuracy rises after it memorised, else None.

    It is a `group` for claims about networks that grok.
    """
    return None if math.isnan(generalised(results)) else "that grok"


def delay(results: Results) -> tuple[float, bool]:
    """Return (steps from memorising to grokking, whether the end came first, so that it is longer)."""
    begin, end = memorised(results), grokked(results)
    return (end_of(results) - begin, True) if math.isnan(end) else (end - begin, False)


def changed(results: Results, column: str, start: float = 0) -> float:
    """Return the step of a column's change point from `start` on, or NaN, as where `start` is.

    See `grokscope.statistics.transition`.
    """
    import numpy as np

    from grokscope.statistics.transition import transition

    values = course(results, column)
    kept = np.isfinite(values) & (np.asarray(results.steps) >= start)
    found = transition(np.asarray(results.steps)[kept], values[kept]) if kept.any() else None
    return NOWHERE if found is None else float(found.step)


def log_distance(first: float, second: float) -> float:
    """Return how far apart two steps are, in decades."""
    return abs(math.log10(first) - math.log10(second)) if first > 0 and second > 0 else NOWHERE


def share_of_course(results: Results, start: float, *columns: str) -> list[np.ndarray]:
    """Return columns from step `start` on; nothing where `start` is NaN."""
    import numpy as np

    late = np.asarray(results.steps) >= start
    return [course(results, column)[late] for column in columns]


def span(results: Results, column: str, start: float, end: float) -> float:
    """Return highest less lowest value of a column between two steps, or NaN."""
    import numpy as np

    steps = np.asarray(results.steps)
    values = course(results, column)[(steps >= start) & (steps <= end)]
    values = values[np.isfinite(values)]
    return float(np.ptp(values)) if len(values) else NOWHERE


def slope(results: Results, column: str, start: float, end: float) -> float:
    """Return a column's change per step from its first to its last value between two steps.

    NaN where it has not two values there.
    """
    import numpy as np

    steps, values = np.asarray(results.steps), course(results, column)
    kept = (steps >= start) & (steps <= end) & np.isfinite(values)
    steps, values = steps[kept], values[kept]
    return float((values[-1] - values[0]) / (steps[-1] - steps[0])) if len(values) > 1 else NOWHERE


def setting(results: Results, name: str) -> Any:
    """Return a setting of the run, called as in `run.toml`: `training.lr`; None where it has none."""
    table, _, last = name.partition(".")
    return results.config.get(table, {}).get(last)


def differ_only_in(first: Results, second: Results, *settings: str) -> bool:
    """Return whether two runs are of one task and network, and trained alike but for these settings.

    Settings are called as in `run.toml`: `training.weight_decay`. The seed, and how long and how often a run
    is looked at, make no difference.
    """
    besides = {*settings, *(f"training.{name}" for name in ("seed", *LOOKED_AT))}
    one, other = (
        {
            f"{table}.{name}": value
            for table in TABLES
            for name, value in results.config.get(table, {}).items()
            if f"{table}.{name}" not in besides and value is not None
        }
        for results in (first, second)
    )
    return one == other


def least(*effects: float) -> float:
    """Return the effect of several conditions that must all hold.

    Where one is known to fail it fails, and where none does and one cannot be said it is NaN.

    >>> least(1.0, 2.0), least(math.nan, -1.0), least(math.nan, 1.0)
    (1.0, -1.0, nan)
    """
    known = [effect for effect in effects if not math.isnan(effect)]
    if len(known) == len(effects) or any(effect <= 0 for effect in known):
        return min(known)
    return NOWHERE


def _number(step: int | None) -> float:
    return NOWHERE if step is None else float(step)
