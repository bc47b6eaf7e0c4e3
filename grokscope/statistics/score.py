"""Which measure changes before test accuracy, how early, how surely, and beyond what the weight norm says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from grokscope.errors import SettingError, UnknownName, UsageError
from grokscope.results import ColumnName, Comparison, Results
from grokscope.results.columns import column_of, named_columns, number_columns, shown_columns
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.statistics.correlation import kendall, partial_spearman, spearman
from grokscope.statistics.evidence import EDGE, FEWEST_RUNS, RULES, Summary, is_twin, summaries
from grokscope.statistics.over_runs import CONFIDENCE
from grokscope.statistics.settings import by_settings
from grokscope.statistics.transition import Between, Scale, Transition, transition

if TYPE_CHECKING:
    import numpy as np

    from grokscope.run.outcome import Goal

CONTROL = "control"  # a role of columns
Since = Literal["memorisation", "start"]


@dataclass(frozen=True)
class Score:
    """One column of one run.

    Attributes:
        memorisation_step, grokking_step: None when never reached.
        transition_step: the first checkpoint after the column's change (see `transition`), or its peak; None
            where it does not clearly change.
        transition_from, transition_to: the checkpoints between which the change lies.
        resolved: False where the change lies within two checkpoints of where the search begins: it may have
            come before. Nothing is then said of how early it is.
        lead, log_lead: grokking step - step of the change, and log10 of their ratio; NaN where there is none.
            For both steps the middle, in log steps, of the evaluations between which they lie.
        spearman, kendall: rank correlations with test accuracy.
        partial: Spearman with test accuracy, controlling for the control column; NaN for the control itself,
            and where the control's ranks are the column's.
        with_control: Spearman with the control column.
        twin: whether the column is the control in other words: nearly the same ranks, up or down.
        ahead: log10(test accuracy's own change / the column's), each by the middle of the checkpoints between
            which it lies: 0 for a copy of test accuracy.
        ahead_low, ahead_high: how small and large it can be between these checkpoints.
        shape: `rise`, `fall` or `peak`; empty without a transition.
        size: how far the column goes in its transition, below 0 in a fall, as a share of its range.
    """

    run: str
    column: ColumnName
    memorisation_step: int | None
    grokking_step: int | None
    transition_step: int | None
    lead: float
    log_lead: float
    spearman: float
    kendall: float
    partial: float
    with_control: float = math.nan
    ahead: float = math.nan
    ahead_low: float = math.nan
    ahead_high: float = math.nan
    shape: str = ""
    size: float = math.nan
    transition_from: int | None = None
    transition_to: int | None = None
    resolved: bool = True
    twin: bool = False

    @property
    def change(self) -> Between | None:
        """The checkpoints between which the change lies."""
        if self.transition_from is None or self.transition_to is None:
            return None
        return Between(self.transition_from, self.transition_to)


@dataclass(frozen=True)
class Scores:
    """What `score` found.

    Attributes:
        rows: one for every run and column.
        summaries: one for every column, over the runs.
        reference: test accuracy's own transition, by run; None where there is none, or it is unresolved.
        columns_tested: how many columns Holm's correction is over.
        control: the column whose ranks are taken out of the partial correlation.
        train, test, confidence, scale, since: as they were given.
        notes: what must be known to read the numbers.
        outcome: what says that the runs have generalised, where it is not test accuracy.
    """

    rows: list[Score]
    summaries: list[Summary]
    reference: Mapping[str, int | None]
    control: ColumnName
    train: float
    test: float
    confidence: float
    scale: Scale
    since: Since
    columns_tested: int = 0
    notes: Sequence[str] = ()
    outcome: str = ""

    def columns(self) -> dict[str, list[Any]]:
        """Return the rows as columns, ready for a DataFrame."""
        return {field.name: [getattr(row, field.name) for row in self.rows] for field in fields(Score)}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        flat = {field.name: getattr(self, field.name) for field in fields(self)}
        rows = [asdict(row) for row in self.rows]
        return {
            **flat,
            "rows": rows,
            "summaries": [each.as_dict() for each in self.summaries],
            "rules": RULES,
        }


def score(
    comparison: Comparison,
    *,
    columns: Iterable[str] | None = None,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
    control: str | None = None,
    scale: Scale = "log",
    since: Since = "memorisation",
    per_layer: bool = False,
    confidence: float = CONFIDENCE,
) -> Scores:
    """Say of every column when it changes, before or after test accuracy, and whether beyond the weight norm.

    In each run: the column's own transition (`transition`) from the memorisation step on; its lead before the
    grokking step; how far it is ahead of test accuracy's own transition, found by the same rule; Spearman and
    Kendall correlation with test accuracy over the same checkpoints, and Spearman's with the control's ranks
    taken out (of both, by linear regression).

    Checkpoints of one training depend on each other, so a p-value that counts them as independent is wrong,
    and none is given: one run gives numbers and no claim. Over the runs that grok: the mean, its interval
    from two runs on (`interval`), Student's and the sign test, corrected over the columns after Holm 1979;
    which columns were asked for changes p only by this correction. Seeds of several settings are not
    independent: settings count, then seeds. Runs that never grok are censored: counted, and left out of the
    means. The verdicts' rules are `RULES`.

    A lead says that a column changes earlier, in these runs, and not that it foretells: that takes runs that
    do not grok, see `predict`.

    Args:
        comparison: measured runs, from `analyze_many`.
        columns: which; None is every column of numbers but those by layer of a measure that has totals.
        train, test: accuracies that count as memorised and grokked, for three evaluations in a row. Runs with
            an outcome of their own have their own bounds, and their column stands for test accuracy.
        control: the column to control for; None is the one that a measure declares so, see `Column`.
        scale: the step axis on which changes are looked for, `log` or `linear`.
        since: `start` looks at the whole course, where most columns change most while the network memorises.
        per_layer: also the columns by layer.
        confidence: of the intervals and tests.

    Raises:
        UnknownName: no run has the control, or one of `columns`.
        SettingError: a threshold or the confidence is out of bounds.
        UsageError: a library of the extra `report` is missing.
    """
    _check(train=train, test=test, confidence=confidence)
    controlled = _control(comparison, control)
    names = named_columns(comparison, columns or ()) or shown_columns(comparison, per_layer)
    rows: list[Score] = []
    reference: dict[str, int | None] = {}
    for run, results in comparison.runs.items():
        window = _Window.of(run, results, (train, test), controlled, scale, since)
        reference[run] = window.reference.until if window.reference else None
        rows += [window.score(name) for name in names if name in results.declared]
    grokked = dict.fromkeys(row.run for row in rows if row.grokking_step is not None)
    varied, settings = by_settings(comparison, grokked)
    groups = {run: at for at, runs in enumerate(settings) for run in runs}
    found, tested = summaries(rows, names, groups, controlled, confidence)
    goals = dict.fromkeys(results.goals[1] for results in comparison.runs.values())
    own = [goal for goal in goals if not goal.is_usual]
    notes = [*map(_stands_for, own), *_notes(rows, reference), *_of_settings(varied, settings)]
    words = " or ".join(goal.words for goal in own)
    shown = (train, test, confidence, scale, since, tested, notes, words)
    return Scores(rows, found, reference, controlled, *shown)


def _check(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share <= 1 or (name == "confidence" and share == 1):
            raise SettingError(
                f"{name} must be above 0 and {'below' if name == 'confidence' else 'at most'} 1, got {share}"
            )


def _control(comparison: Comparison, wanted: str | None) -> ColumnName:
    control = wanted or column_of(comparison, CONTROL)
    if control is None:
        raise UsageError(
            "no measured column is declared as what is controlled for: measure one, or name a column as "
            "control"
        )
    numbers: dict[str, ColumnName] = {name: name for name in number_columns(comparison)}
    if control not in numbers:
        raise UnknownName("column", control, numbers, "the control must be a measured column of numbers")
    return numbers[control]


@dataclass(frozen=True)
class _Window:
    """A run from the step on from which its courses are looked at."""

    run: str
    results: Results
    memorised: int | None
    grokked: int | None
    start: int
    control_column: ColumnName
    scale: Scale

    @classmethod
    def of(
        cls,
        run: str,
        results: Results,
        thresholds: tuple[float, float],
        control: ColumnName,
        scale: Scale,
        since: Since,
    ) -> _Window:
        memorised, grokked = results.transitions(*thresholds)
        delayed = memorised is not None and (grokked is None or grokked > memorised)
        start = memorised if since == "memorisation" and delayed and memorised is not None else 0
        return cls(run, results, memorised, grokked, start, control, scale)

    @cached_property
    def steps(self) -> list[int]:
        return [step for step in self.results.steps if step >= self.start]

    @cached_property
    def accuracy(self) -> np.ndarray | None:
        return self._from_start(self.results.rising())

    @cached_property
    def control(self) -> np.ndarray | None:
        return self.course(self.control_column)

    @cached_property
    def reference(self) -> Between | None:
        """Where test accuracy's own transition lies, where the run groks and it is resolved."""
        found = self.change(self.accuracy) if self.grokked is not None else None
        return found.between if found and _resolved(found) else None

    @cached_property
    def grokking(self) -> Between | None:
        """The evaluations of the curve between which the run groks."""
        if self.grokked is None:
            return None
        earlier = [int(step) for step in self.results.evaluated() if step < self.grokked]
        return Between(max(earlier, default=self.grokked), self.grokked)

    def course(self, name: str) -> np.ndarray | None:
        """The course from the start of the window on; None where the run has none."""
        return self._from_start(self.results.course(name) if name in self.results.declared else None)

    def _from_start(self, course: np.ndarray | None) -> np.ndarray | None:
        if course is None or not self.steps:
            return None
        return course[self.results.steps.index(self.steps[0]) :]

    def change(self, course: np.ndarray | None, peak: bool = False) -> Transition | None:
        return (
            None if course is None else transition(self.steps, course.tolist(), scale=self.scale, peak=peak)
        )

    def score(self, name: ColumnName) -> Score:
        course = self.course(name)
        found = self.change(course, self.results.declared[name].direction == "peak")
        found = found if found and found.clear else None
        resolved = found is None or _resolved(found)
        place = found.between if found and resolved else None
        least, ahead, most = _ahead(self.reference, place)
        together = spearman(course, self.control)
        return Score(
            run=self.run,
            column=name,
            memorisation_step=self.memorised,
            grokking_step=self.grokked,
            transition_step=found.step if found else None,
            lead=self.grokking.middle - place.middle if self.grokking and place else math.nan,
            log_lead=_ahead(self.grokking, place)[1],
            spearman=spearman(course, self.accuracy),
            kendall=kendall(course, self.accuracy),
            partial=math.nan
            if name == self.control_column
            else partial_spearman(course, self.accuracy, self.control),
            with_control=together,
            ahead=ahead,
            ahead_low=least,
            ahead_high=most,
            shape=found.shape if found else "",
            size=found.size if found else math.nan,
            transition_from=found.between.after if found else None,
            transition_to=found.between.until if found else None,
            resolved=resolved,
            twin=is_twin(name, self.control_column, together),
        )


def _resolved(found: Transition) -> bool:
    return found.place > EDGE


def _ahead(later: Between | None, earlier: Between | None) -> tuple[float, float, float]:
    """log10 of the ratio of two steps, at least, by their middles, and at most; step 0 counts as 1."""
    if later is None or earlier is None:
        return math.nan, math.nan, math.nan
    return (
        math.log10(max(later.after, 1) / max(earlier.until, 1)),
        math.log10(later.middle / earlier.middle),
        math.log10(max(later.until, 1) / max(earlier.after, 1)),
    )


def _stands_for(goal: Goal) -> str:
    return (
        f"{goal.words} says that a run has generalised: {'' if goal.above else '-'}{goal.column} stands "
        "wherever test accuracy is said"
    )


def _notes(rows: Sequence[Score], reference: Mapping[str, int | None]) -> list[str]:
    runs = {row.run: row for row in rows}
    grokked = sum(row.grokking_step is not None for row in runs.values())
    notes = []
    if not grokked:
        notes.append("no run groks: leads are censored")
    elif grokked < len(runs):
        notes.append(f"{len(runs) - grokked} of {len(runs)} runs never grok: censored, left out of the means")
    if len(runs) == 1:
        notes.append("one run describes and proves nothing: its checkpoints depend on each other")
    elif 0 < grokked < FEWEST_RUNS:
        notes.append(f"{grokked} runs that grok are too few for verdicts: {FEWEST_RUNS} are needed")
    if grokked and not any(step is not None for step in reference.values()):
        notes.append(
            "test accuracy has no resolved transition of its own, or too few evaluations for one: nothing is "
            "ahead of it"
        )
    return notes


def _of_settings(varied: Sequence[str], settings: Sequence[Sequence[str]]) -> list[str]:
    """Say so where runs that grok are seeds of a few settings, which count then."""
    runs = sum(map(len, settings))
    if not 2 <= len(settings) < runs:
        return []
    few = ": two settings bear hardly any claim; score each alone" if len(settings) == 2 else ""
    return [
        f"the {runs} runs that grok are seeds of {len(settings)} settings of {', '.join(varied)}, and not "
        f"independent: settings are resampled, then seeds{few}"
    ]
