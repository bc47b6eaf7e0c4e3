"""Early warning: which column, looked at before a network groks, tells whether it will, and when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from grokscope.errors import UsageError
from grokscope.results import Comparison, Results
from grokscope.results.columns import named_columns, shown_columns
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.run.outcome import goals_of
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.grid import alike
from grokscope.statistics.hjorth import HJORTH, hjorth
from grokscope.statistics.over_runs import holm
from grokscope.statistics.settings import by_settings

if TYPE_CHECKING:
    import numpy as np

FEATURES = ("value", "slope", "peak")
TRAIN_LOSS = "train_loss"  # of the curve: no measure's, and finer than checkpoints
OWN = "own"  # the budget of each run is where it was stopped
SIGNIFICANT = 0.05
TRUSTED_DIGITS = 10
MOSTLY = 0.9  # of a variance


@dataclass(frozen=True)
class Predictor:
    """What one feature of one column says before the cut.

    Attributes:
        column, feature: the column, and what is looked at up to the cut: its last `value`, the `slope` of the
            least-squares line over log10(1 + step), or its `peak`, the largest value; of `train_loss`, as the
            curve has it, also the `activity`, `mobility` and `complexity` of `hjorth`.
        runs, grokking: the runs that have the feature, and those of them that grok within the budget.
        sign: `+` where larger values mean grokking, `-` where smaller ones do, nothing where neither.
        auroc, auroc_low, auroc_high, p, p_adjusted: the leave-pair-out AUROC of telling them apart (1/2 is
            chance), its bootstrap interval, its permutation p and that corrected by Holm over all rows.
        timed: the runs that grok at a known step after the cut.
        r2, r2_low, r2_high, r2_p, r2_p_adjusted: the leave-one-out R^2 of predicting the log10 of that step
            by a straight line (0 is as good as their mean), likewise.
    """

    column: str
    feature: str
    runs: int
    grokking: int
    sign: str
    auroc: float
    auroc_low: float
    auroc_high: float
    p: float
    p_adjusted: float
    timed: int
    r2: float
    r2_low: float
    r2_high: float
    r2_p: float
    r2_p_adjusted: float


@dataclass(frozen=True)
class Prediction:
    """What can be told before the cut about which runs grok, and when.

    Attributes:
        predictors: a row for each column and feature.
        outcomes: the runs that take part: True for those that grok within the budget.
        excluded: the runs that do not, and why, by run.
        until: the cut, or None where it is each run's own memorisation step.
        budget: the step up to which it is known of every run whether it groks; None: each run's own.
        warnings: what these runs cannot say, a sentence each.
        confidence: of the intervals.
    """

    predictors: tuple[Predictor, ...]
    outcomes: Mapping[str, bool]
    excluded: Mapping[str, str] = field(default_factory=dict)
    until: int | None = None
    budget: int | None = None
    warnings: tuple[str, ...] = ()
    confidence: float = CONFIDENCE

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The rows as one list per attribute of `Predictor`."""
        return {each.name: [getattr(row, each.name) for row in self.predictors] for each in fields(Predictor)}


def predict(
    comparison: Comparison,
    *,
    until: int | None = None,
    budget: int | str | None = None,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
    columns: Iterable[str] | None = None,
    train_loss: bool = False,
    per_layer: bool = False,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Prediction:
    """Return how well each column foretells, up to a cut, which runs will grok and when.

    Nothing after the cut enters a feature: no value, no scale. Runs are read alike: slope and peak are of as
    many checkpoints in every run as the one with the fewest has up to its cut, at like places. The cut is
    each run's memorisation step, or `until`. A run takes part where it is known what becomes of it: it has
    memorised (unless `until` is given), was trained beyond the cut, has not grokked by then, and it either
    groks or was trained up to the budget. All others are named in `excluded`.

    Args:
        comparison: several runs, measured.
        until: look at values up to this step instead of each run's memorisation step.
        budget: a run groks if it does so by this step. None is the largest step for which that is known of
            all runs: the earliest at which a run that does not grok was stopped. `own`: as far as each run
            was trained, whatever a longer training would have shown.
        train, test: accuracies that count as memorised and grokked; runs with an outcome of their own have
            their own bounds.
        columns: which columns; None is every column of numbers.
        train_loss: also the curve's training loss, and how it swings.
        per_layer: also the columns by layer of measures that have a total.
        confidence: of the intervals.
        seed: of resampling and permutations.

    Raises:
        UsageError: an argument cannot be.
        UnknownName: no run has such a column.
    """
    _check(until, budget, confidence)
    names = [*_columns(comparison, columns, per_layer), *([TRAIN_LOSS] if train_loss else [])]
    fates = [_Fate.of(run, results, until, train, test) for run, results in comparison.runs.items()]
    fates, limit = _limited(fates, budget)
    parts = [fate for fate in fates if not fate.excluded]
    predictors = _predictors(comparison, parts, names, confidence, seed)
    return Prediction(
        predictors=predictors,
        outcomes={fate.run: fate.groks for fate in parts},
        excluded={fate.run: fate.excluded for fate in fates if fate.excluded},
        until=until,
        budget=limit,
        warnings=tuple(_warnings(comparison, parts, predictors, limit)),
        confidence=confidence,
    )


def _check(until: int | None, budget: int | str | None, confidence: float) -> None:
    if until is not None and until < 0:
        raise UsageError(f"`until` must be a step from 0, got {until}")
    if isinstance(budget, str) and budget != OWN:
        raise UsageError(f"`budget` must be a step or {OWN!r}, got {budget!r}")
    if isinstance(budget, int) and budget <= (until or 0):
        raise UsageError(f"`budget` must be a step after the cut ({until or 0}), got {budget}")
    if not 0.5 <= confidence < 1:
        raise UsageError(f"confidence must be at least 0.5 and below 1, got {confidence}")


def _columns(comparison: Comparison, wanted: Iterable[str] | None, per_layer: bool) -> Sequence[str]:
    if wanted is not None:
        return named_columns(comparison, wanted)
    shown = shown_columns(comparison, per_layer)
    return [name for name in shown if not comparison.declared[name].tally]


@dataclass(frozen=True)
class _Fate:
    """What became of a run, and up to where it is looked at; why it does not take part, if so."""

    run: str
    cut: int
    grokked: int | None
    last: int
    groks: bool = False
    excluded: str = ""

    @classmethod
    def of(cls, run: str, results: Results, until: int | None, train: float, test: float) -> _Fate:
        memorised, grokked = results.transitions(train, test)
        steps = results.curve["step"] if results.curve else results.steps
        last = int(max(steps, default=0))
        if until is None and memorised is None:
            return cls(run, 0, grokked, last, excluded=_not_memorised(results, train))
        cut = memorised if until is None else until
        assert cut is not None
        when = "memorised" if until is None else "reached the cut"
        if last <= cut:
            return cls(run, cut, grokked, last, excluded=f"ends at step {last}, before or as it {when}")
        if grokked is not None and grokked <= cut:
            return cls(run, cut, grokked, last, excluded=f"had grokked (step {grokked}) when it {when}")
        return cls(run, cut, grokked, last)

    def within(self, budget: int | None) -> _Fate:
        """Return the run with its outcome at a budget; None is its own."""
        if self.excluded:
            return self
        limit = self.last if budget is None else budget
        if self.cut >= limit:
            return replace(self, excluded=f"its cut (step {self.cut}) is not before the budget")
        if self.grokked is None and self.last < limit:
            return replace(self, excluded=f"ends at step {self.last} without grokking: outcome unknown")
        return replace(self, groks=self.grokked is not None and self.grokked <= limit)


def _not_memorised(results: Results, train: float) -> str:
    goal, outcome = goals_of(results.config, train=train)
    if goal is None:
        return f"nothing says when it memorises, by the outcome {outcome.words}: give `until`"
    return f"never memorises (train accuracy ≥ {train:.4g})" if goal.is_usual else f"never has {goal.words}"


def _limited(fates: Sequence[_Fate], budget: int | str | None) -> tuple[list[_Fate], int | None]:
    """Return the runs with their outcomes, and the budget."""
    limit = None if isinstance(budget, str) else budget
    parts = [fate for fate in fates if not fate.excluded]
    if budget is None and parts:
        without = [fate.last for fate in parts if fate.grokked is None]
        limit = min(without) if without else max(fate.grokked or 0 for fate in parts)
    return [fate.within(limit) for fate in fates], limit


def features(steps: np.ndarray, values: np.ndarray, cut: int) -> dict[str, float]:
    """Return what a course shows up to `cut`, that step included: value, slope and peak.

    NaN where it has none. Values that are not finite are passed over.
    """
    import numpy as np
    import scipy.stats

    seen = (steps <= cut) & np.isfinite(values)
    at, course = np.log10(1 + steps[seen]), values[seen]
    if not len(course):
        return dict.fromkeys(FEATURES, math.nan)
    slope = math.nan
    if len(course) > 1:
        slope = float(scipy.stats.linregress(at, course).slope) if np.ptp(course) > 0 else 0.0
    return {"value": float(course[-1]), "slope": slope, "peak": float(course.max())}


def _predictors(
    comparison: Comparison, parts: Sequence[_Fate], names: Sequence[str], confidence: float, seed: int
) -> tuple[Predictor, ...]:
    rows = [
        _predictor(name, feature, values, parts, confidence, seed)
        for name in names
        for feature, values in _features_of(comparison, parts, name).items()
    ]
    told, timed = holm([row.p for row in rows]), holm([row.r2_p for row in rows])
    return tuple(
        replace(row, p_adjusted=p, r2_p_adjusted=q) for row, p, q in zip(rows, told, timed, strict=True)
    )


def _features_of(comparison: Comparison, parts: Sequence[_Fate], name: str) -> dict[str, list[float]]:
    """Return each feature of a column as one value for every run, read alike.

    Slope and peak are of as many evaluations, at like places. Runs with fewer than two have neither.
    """
    seen = [_seen(comparison.runs[fate.run], name, fate.cut) for fate in parts]
    several = [at for at, (steps, _) in enumerate(seen) if len(steps) > 1]
    for at, kept in zip(several, alike([seen[at][0] for at in several]), strict=True):
        steps, values = seen[at]
        seen[at] = steps[kept], values[kept]
    found = [features(steps, values, fate.cut) for (steps, values), fate in zip(seen, parts, strict=True)]
    for at in set(range(len(parts))) - set(several):
        found[at]["peak"] = math.nan
    if name == TRAIN_LOSS:
        found = [each | hjorth(values) for each, (_, values) in zip(found, seen, strict=True)]
    shown = (*FEATURES, *HJORTH) if name == TRAIN_LOSS else FEATURES
    return {feature: [each[feature] for each in found] for feature in shown}


def _seen(results: Results, name: str, cut: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps up to the cut at which a column is known, and its values there."""
    import numpy as np

    if name == TRAIN_LOSS and results.curve:
        steps, values = results.curve_of(name)
    elif name in results.declared:
        steps, values = np.array(results.steps), results.course(name)
    else:
        return np.array([]), np.array([])
    kept = (steps <= cut) & np.isfinite(values)
    return steps[kept], values[kept]


def _predictor(
    name: str, feature: str, given: Sequence[float], parts: Sequence[_Fate], confidence: float, seed: int
) -> Predictor:
    import numpy as np

    from grokscope.statistics.estimates import separation, timing

    values = _without_rounding(np.array(given, np.float64))
    known = np.isfinite(values)
    groks = np.array([fate.groks for fate in parts], bool)
    steps = np.array([fate.grokked or math.nan for fate in parts], np.float64)
    yes, no = values[known & groks], values[known & ~groks]
    late = known & np.isfinite(steps)
    told = separation(yes, no, confidence, seed)
    timed = timing(values[late], np.log10(steps[late]), confidence, seed)
    return Predictor(
        column=name,
        feature=feature,
        runs=int(known.sum()),
        grokking=len(yes),
        sign=_sign(yes, no) if not math.isnan(told.value) else "",
        auroc=told.value,
        auroc_low=told.low,
        auroc_high=told.high,
        p=told.p,
        p_adjusted=math.nan,
        timed=int(late.sum()),
        r2=timed.value,
        r2_low=timed.low,
        r2_high=timed.high,
        r2_p=timed.p,
        r2_p_adjusted=math.nan,
    )


def _without_rounding(values: np.ndarray) -> np.ndarray:
    """Return values without the digits that rounding made: ranks and lines would read them as news."""
    import numpy as np

    size = np.abs(values[np.isfinite(values)]).max(initial=0.0)
    return np.round(values / size, TRUSTED_DIGITS) if size > 0 else values


def _sign(yes: np.ndarray, no: np.ndarray) -> str:
    import numpy as np

    larger = np.sign(yes[:, None] - no).sum()
    return "+" if larger > 0 else "-" if larger < 0 else ""


def _warnings(
    comparison: Comparison, parts: Sequence[_Fate], predictors: Sequence[Predictor], budget: int | None
) -> Iterable[str]:
    """Yield what the sample cannot say, and by which rule."""
    from grokscope.statistics.estimates import (
        FEWEST_OF_EACH,
        FEWEST_TIMED,
        smallest_separation_p,
        smallest_timing_p,
    )

    yield from _unequal(comparison, parts)
    yes = sum(fate.groks for fate in parts)
    no, timed = len(parts) - yes, sum(fate.grokked is not None for fate in parts)
    later = [fate for fate in parts if not fate.groks and fate.grokked is not None]
    if later:
        yield (
            f"{_runs(len(later))} {'groks' if len(later) == 1 else 'grok'} only after the budget of "
            f"{budget} steps and {'counts' if len(later) == 1 else 'count'} as not grokking"
        )
    if min(yes, no) < FEWEST_OF_EACH:
        yield (
            f"{yes} of {_runs(len(parts))} grok and {no} do not: telling them apart takes at least "
            f"{FEWEST_OF_EACH} of each, so there is no AUROC"
        )
    else:
        tests = sum(not math.isnan(row.p) for row in predictors)
        least = smallest_separation_p(yes, no)
        yield from _unreachable(f"with {yes} runs that grok and {no} that do not", least, tests, "AUROC")
        yield from _settled_by_settings(comparison, parts)
    if timed < FEWEST_TIMED:
        known = f"{_runs(timed)} {'groks' if timed == 1 else 'grok'} at a known step"
        yield f"{known}: predicting it takes at least {FEWEST_TIMED}, so there is no R²"
    else:
        tests = sum(not math.isnan(row.r2_p) for row in predictors)
        yield from _unreachable(
            f"with {timed} runs whose grokking step is known", smallest_timing_p(timed), tests, "R²"
        )
        yield from _timed_by_settings(comparison, parts)


def _unequal(comparison: Comparison, parts: Sequence[_Fate]) -> Iterable[str]:
    """Say so where runs have unequally many checkpoints up to their cuts."""
    counts = {fate.run: sum(step <= fate.cut for step in comparison.runs[fate.run].steps) for fate in parts}
    several = {run: count for run, count in counts.items() if count > 1}
    if several and min(several.values()) < max(several.values()):
        run, fewest = min(several.items(), key=lambda item: item[1])
        yield (
            f"runs have {fewest} to {max(several.values())} checkpoints up to their cuts: slope and peak are "
            f"of {fewest} in each, as many as {run} has"
        )


def _unreachable(runs: str, least: float, tests: int, what: str) -> Iterable[str]:
    if least > SIGNIFICANT:
        yield f"{runs} no permutation test can reach p below {least:.2g}: {what} here proves nothing"
    elif least * tests > SIGNIFICANT:
        yield (
            f"{runs} no permutation test can reach p below {least:.2g}, or {min(1.0, least * tests):.2g} "
            f"corrected for {tests} rows: measure fewer columns, or more runs, before believing any {what}"
        )


def _settled_by_settings(comparison: Comparison, parts: Sequence[_Fate]) -> Iterable[str]:
    """Say so where settings alone settle which runs grok: seeds are then no independent evidence."""
    from grokscope.statistics.estimates import smallest_separation_p

    names, groups = _by_settings(comparison, parts)
    outcomes = [{fate.groks for fate in fates} for fates in groups]
    if len(groups) == len(parts) or len(groups) < 2 or any(len(found) > 1 for found in outcomes):
        return
    yes = sum(found == {True} for found in outcomes)
    least = smallest_separation_p(yes, len(groups) - yes)
    yield (
        f"all seeds of one setting of {', '.join(names)} end alike: a column may only tell the {len(groups)} "
        f"settings apart; counted by settings, no test could reach p below {least:.2g}"
    )


def _timed_by_settings(comparison: Comparison, parts: Sequence[_Fate]) -> Iterable[str]:
    """Say so where most of what there is to predict lies between settings."""
    import numpy as np

    names, groups = _by_settings(comparison, [fate for fate in parts if fate.grokked is not None])
    logs = [np.log10([float(fate.grokked or 1) for fate in fates]) for fates in groups]
    total = np.concatenate(logs)
    if not 2 <= len(logs) < len(total) or np.ptp(total) == 0:
        return
    within = sum(((each - each.mean()) ** 2).sum() for each in logs)
    between = 1 - within / ((total - total.mean()) ** 2).sum()
    if between >= MOSTLY:
        yield (
            f"{between:.0%} of the variance of the log grokking step lies between the {len(logs)} settings "
            f"of {', '.join(names)}: a column may only tell these apart, whatever its R²"
        )


def _by_settings(comparison: Comparison, parts: Sequence[_Fate]) -> tuple[list[str], list[list[_Fate]]]:
    fates = {fate.run: fate for fate in parts}
    names, groups = by_settings(comparison, fates)
    return names, [[fates[run] for run in runs] for runs in groups]


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
