"""Which measure changes before test accuracy, how early, how surely, and beyond what the weight norm says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from grokscope.analysis import Comparison, Results
from grokscope.analysis.results import without_layers
from grokscope.errors import SettingError, UnknownName
from grokscope.statistics.correlation import SAME, kendall, partial_spearman, spearman
from grokscope.statistics.over_runs import FEWEST_RUNS, Mean, holm, sign_test, t_test
from grokscope.statistics.transition import Scale, Transition, transition

if TYPE_CHECKING:
    import numpy as np

CONTROL = "weight_norm.l2_all"
ACCURACY = "test_accuracy"
Since = Literal["memorisation", "start"]
Verdict = Literal["leads", "lags", "coincides", "confounded", "undecided"]

MARGIN = 0.05  # log10 of steps: closer than 12 % coincides
STRONG = 0.5  # a rank correlation that asks for an explanation
MOST = 0.8  # of the runs that grok must have a clear transition, and most of these the same shape

RULES = {
    "leads": "its change comes before test accuracy's own: the interval of `ahead` is above 0, and Student's "
    "tests over the runs, that it is not 0 and that the change goes one way, hold after Holm's correction "
    "over the columns",
    "lags": "likewise, after it",
    "coincides": f"the interval of `ahead` lies within ±{MARGIN} (12 % of the step)",
    "confounded": f"its rank correlation with test accuracy is strong (at least {STRONG} in size, interval "
    f"without 0), but with the control's ranks taken out the interval contains 0 and nothing of {STRONG} or "
    "more, or no ranks are left",
    "undecided": f"none of these: fewer than {FEWEST_RUNS} runs grok, most have no clear change of one "
    "shape, or they disagree",
}


@dataclass(frozen=True)
class Score:
    """One column of one run.

    Attributes:
        memorisation_step, grokking_step: None when never reached.
        transition_step: where the column changes (see `transition`), None where it does not clearly.
        lead, log_lead: grokking step - transition step, and log10 of their ratio; NaN where either is None.
        spearman, kendall: rank correlations with test accuracy.
        partial: Spearman with test accuracy, controlling for the control column; NaN for the control itself,
            and where the control's ranks are the column's.
        with_control: Spearman with the control column.
        ahead: log10(test accuracy's own transition / transition step): 0 for a copy of test accuracy.
        shape: `rise`, `fall` or `peak`; empty without a transition.
        size: how far the column goes in its transition, below 0 in a fall, as a share of its range.
    """

    run: str
    column: str
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
    shape: str = ""
    size: float = math.nan


@dataclass(frozen=True)
class Summary:
    """One column over the runs that grok.

    Attributes:
        runs: how many have the column.
        censored: how many of them never grok; they count in nothing below.
        clear: how many of those that grok have a clear transition.
        lead, lead_low, lead_high: mean log10 lead before the grokking step, and its bootstrap interval.
        ahead, ahead_low, ahead_high: likewise before test accuracy's own transition.
        before: in how many runs the column changes before test accuracy does.
        sign_p: sign test of `ahead`: two-sided, ties left out.
        sign_p_adjusted: corrected over the columns after Holm; of n runs sign_p is 2^(1 - n) at least.
        p: the larger p-value of two of Student's tests: that the mean of `ahead` is 0, and that of `size`.
            What drifts at random may change late in every run, but up in one and down in the other.
        p_adjusted: likewise corrected.
        shape, same_shape: the commonest shape of the change, and in how many runs it is that.
        spearman, partial, ...: means of the runs' and their bootstrap intervals.
        why: what the verdict rests on.
    """

    column: str
    runs: int
    censored: int
    lead: float
    lead_low: float
    lead_high: float
    sign_p: float
    sign_p_adjusted: float
    spearman: float
    partial: float
    partial_low: float
    partial_high: float
    verdict: Verdict
    clear: int = 0
    ahead: float = math.nan
    ahead_low: float = math.nan
    ahead_high: float = math.nan
    before: int = 0
    p: float = math.nan
    p_adjusted: float = math.nan
    shape: str = ""
    same_shape: int = 0
    kendall: float = math.nan
    spearman_low: float = math.nan
    spearman_high: float = math.nan
    why: str = ""


@dataclass(frozen=True)
class Scores:
    """What `score` found.

    Attributes:
        rows: one for every run and column.
        summaries: one for every column, over the runs.
        reference: test accuracy's own transition, by run; None where there is none.
        control: the column whose ranks are taken out of the partial correlation.
        train, test, confidence, scale, since: as they were given.
        notes: what must be known to read the numbers.
    """

    rows: list[Score]
    summaries: list[Summary]
    reference: Mapping[str, int | None]
    control: str
    train: float
    test: float
    confidence: float
    scale: Scale
    since: Since
    notes: Sequence[str] = ()

    def columns(self) -> dict[str, list[Any]]:
        """Return the rows as columns, ready for a DataFrame."""
        return {field.name: [getattr(row, field.name) for row in self.rows] for field in fields(Score)}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, ready for JSON."""
        return {**asdict(self), "rules": RULES}


def score(
    comparison: Comparison,
    *,
    columns: Iterable[str] | None = None,
    train: float = 0.99,
    test: float = 0.95,
    control: str = CONTROL,
    scale: Scale = "log",
    since: Since = "memorisation",
    per_layer: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> Scores:
    """Say of every column when it changes, before or after test accuracy, and whether beyond the weight norm.

    In each run: the column's own transition (`transition`) from the memorisation step on; its lead before the
    grokking step; how far it is ahead of test accuracy's own transition, found by the same rule; Spearman and
    Kendall correlation with test accuracy over the same checkpoints, and Spearman's with the control's ranks
    taken out (of both, by linear regression).

    Checkpoints of one training depend on each other, so a p-value that counts them as independent is wrong,
    and none is given: one run gives numbers and no claim. Over the runs that grok, which are independent: the
    mean, its bootstrap interval from five runs on (`interval`), Student's and the sign test, corrected over
    the columns after Holm 1979. Runs that never grok are censored: counted, and left out of the means. The
    verdicts' rules are `RULES`.

    A lead says that a column changes earlier, in these runs, and not that it foretells: that takes runs that
    do not grok, see `predict`.

    Args:
        comparison: measured runs, from `analyze_many`.
        columns: which; None is every column of numbers but those by layer of a measure that has totals.
        train, test: accuracies that count as memorised and grokked, for three evaluations in a row.
        control: the column to control for.
        scale: the step axis on which changes are looked for, `log` or `linear`.
        since: `start` looks at the whole course, where most columns change most while the network memorises.
        per_layer: also the columns by layer.
        confidence: of the intervals and tests.
        seed: of the bootstrap.

    Raises:
        UnknownName: no run has the control, or one of `columns`.
        SettingError: a threshold or the confidence is out of bounds.
        UsageError: a library of the extra `report` is missing.
    """
    _check(train=train, test=test, confidence=confidence)
    names = _known(comparison, control, columns) or default_columns(comparison, per_layer)
    rows: list[Score] = []
    reference: dict[str, int | None] = {}
    for run, results in comparison.runs.items():
        window = _Window.of(run, results, (train, test), control, scale, since)
        reference[run] = window.reference
        rows += [window.score(name) for name in names if name in results.declared]
    summaries = _summaries(rows, names, control, confidence, seed)
    notes = _notes(rows, reference)
    return Scores(rows, summaries, reference, control, train, test, confidence, scale, since, notes)


def _check(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share <= 1 or (name == "confidence" and share == 1):
            raise SettingError(
                f"{name} must be above 0 and {'below' if name == 'confidence' else 'at most'} 1, got {share}"
            )


def default_columns(comparison: Comparison, per_layer: bool = False) -> list[str]:
    """Return the columns that are scored unless others are asked for: those of numbers, by layer only where a
    measure has no totals, without tallies that have nothing to tell."""
    numbers = _numbers(comparison)
    return [
        name
        for name in (numbers if per_layer else without_layers(numbers, numbers))
        if not (comparison.declared[name].tally and _idle(comparison, name))
    ]


def _known(comparison: Comparison, control: str, columns: Iterable[str] | None) -> list[str]:
    """The columns asked for, each once; none when none were."""
    numbers = _numbers(comparison)
    if control not in numbers:
        raise UnknownName("column", control, numbers, "the control must be a measured column of numbers")
    wanted = list(dict.fromkeys(columns or ()))
    for name in wanted:
        if name not in numbers:
            raise UnknownName("column", name, numbers)
    return wanted


def _numbers(comparison: Comparison) -> list[str]:
    return [name for name, column in comparison.declared.items() if not column.text]


def _idle(comparison: Comparison, name: str) -> bool:
    return not any(
        value > 0 for results in comparison.runs.values() for value in results.columns.get(name, ())
    )


@dataclass(frozen=True)
class _Window:
    """A run from the step on from which its courses are looked at."""

    run: str
    results: Results
    memorised: int | None
    grokked: int | None
    start: int
    control_column: str
    scale: Scale

    @classmethod
    def of(
        cls,
        run: str,
        results: Results,
        thresholds: tuple[float, float],
        control: str,
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
        return self.course(ACCURACY)

    @cached_property
    def control(self) -> np.ndarray | None:
        return self.course(self.control_column)

    @cached_property
    def reference(self) -> int | None:
        """The step of test accuracy's own transition, where the run groks."""
        found = self.change(self.accuracy) if self.grokked is not None else None
        return found.step if found else None

    def course(self, name: str) -> np.ndarray | None:
        """The course from the start of the window on; None where the run has none."""
        if name != ACCURACY and name not in self.results.declared:
            return None
        if name == ACCURACY and not self.results.curve:
            return None
        return self.results.course(name)[self.results.steps.index(self.steps[0]) :] if self.steps else None

    def change(self, course: np.ndarray | None, peak: bool = False) -> Transition | None:
        return (
            None if course is None else transition(self.steps, course.tolist(), scale=self.scale, peak=peak)
        )

    def score(self, name: str) -> Score:
        course = self.course(name)
        found = self.change(course, self.results.declared[name].direction == "peak")
        changed = found.step if found and found.clear else None
        return Score(
            run=self.run,
            column=name,
            memorisation_step=self.memorised,
            grokking_step=self.grokked,
            transition_step=changed,
            lead=math.nan if changed is None or self.grokked is None else float(self.grokked - changed),
            log_lead=_log_ratio(self.grokked, changed),
            spearman=spearman(course, self.accuracy),
            kendall=kendall(course, self.accuracy),
            partial=math.nan
            if name == self.control_column
            else partial_spearman(course, self.accuracy, self.control),
            with_control=spearman(course, self.control),
            ahead=_log_ratio(self.reference, changed),
            shape=found.shape if found and changed is not None else "",
            size=found.size if found and changed is not None else math.nan,
        )


def _log_ratio(later: int | None, earlier: int | None) -> float:
    """log10 of the ratio of two steps; step 0 counts as 1."""
    if later is None or earlier is None:
        return math.nan
    return math.log10(max(later, 1) / max(earlier, 1))


def _summaries(
    rows: Sequence[Score], names: Sequence[str], control: str, confidence: float, seed: int
) -> list[Summary]:
    evidence = [_Evidence.of(name, rows, confidence, seed) for name in names]
    adjusted = zip(holm([each.p for each in evidence]), holm([each.sign_p for each in evidence]), strict=True)
    return [
        each.summary(p, sign_p, control, confidence)
        for each, (p, sign_p) in zip(evidence, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class _Evidence:
    """What the runs that grok say of one column."""

    column: str
    runs: int
    grokked: Sequence[Score]
    leads: Mean
    ahead: Mean
    spearman: Mean
    partial: Mean
    kendall: float
    before: int
    shape: str
    same_shape: int
    p: float
    size_p: float
    sign_p: float

    @classmethod
    def of(cls, column: str, rows: Sequence[Score], confidence: float, seed: int) -> _Evidence:
        mine = [row for row in rows if row.column == column]
        grokked = [row for row in mine if row.grokking_step is not None]
        means = {
            name: Mean.of((getattr(row, name) for row in grokked), confidence, seed)
            for name in ("log_lead", "ahead", "spearman", "partial", "kendall")
        }
        aheads = [row.ahead for row in grokked if not math.isnan(row.ahead)]
        shapes = [row.shape for row in grokked if row.shape]
        size_p = t_test([row.size for row in grokked if row.shape])
        shape = max(sorted(set(shapes)), key=shapes.count, default="")
        before = sum(value > 0 for value in aheads)
        return cls(
            column=column,
            runs=len(mine),
            grokked=grokked,
            leads=means["log_lead"],
            ahead=means["ahead"],
            spearman=means["spearman"],
            partial=means["partial"],
            kendall=means["kendall"].mean,
            before=before,
            shape=shape,
            same_shape=shapes.count(shape),
            p=max(t_test(aheads), size_p),
            size_p=size_p,
            sign_p=sign_test(before, sum(value != 0 for value in aheads)) if aheads else math.nan,
        )

    @property
    def clear(self) -> int:
        return sum(row.transition_step is not None for row in self.grokked)

    @property
    def nothing_left(self) -> bool:
        """Whether the column has the control's very ranks wherever both are known."""
        known = [row.with_control for row in self.grokked if not math.isnan(row.with_control)]
        return bool(known) and all(abs(value) > SAME for value in known)

    def summary(self, p: float, sign_p: float, control: str, confidence: float) -> Summary:
        verdict, why = self._verdict(p, control, 1 - confidence)
        return Summary(
            column=self.column,
            runs=self.runs,
            censored=self.runs - len(self.grokked),
            lead=self.leads.mean,
            lead_low=self.leads.low,
            lead_high=self.leads.high,
            sign_p=self.sign_p,
            sign_p_adjusted=sign_p,
            spearman=self.spearman.mean,
            partial=self.partial.mean,
            partial_low=self.partial.low,
            partial_high=self.partial.high,
            verdict=verdict,
            clear=self.clear,
            ahead=self.ahead.mean,
            ahead_low=self.ahead.low,
            ahead_high=self.ahead.high,
            before=self.before,
            p=self.p,
            p_adjusted=p,
            shape=self.shape,
            same_shape=self.same_shape,
            kendall=self.kendall,
            spearman_low=self.spearman.low,
            spearman_high=self.spearman.high,
            why=why,
        )

    def _verdict(self, p: float, control: str, alpha: float) -> tuple[Verdict, str]:
        """The first of `RULES` that holds, and what it rests on."""
        if len(self.grokked) < FEWEST_RUNS:
            return "undecided", f"{len(self.grokked)} of {self.runs} runs grok, {FEWEST_RUNS} are needed"
        if self.column != control and self._confounded():
            return "confounded", f"nothing clear is left of its correlation when {control} is taken out"
        if self.clear < MOST * len(self.grokked) or not self.ahead.known:
            return "undecided", f"it changes clearly in {self.clear} of {len(self.grokked)} runs"
        if self.same_shape < MOST * self.clear:
            return "undecided", f"its change is a {self.shape} in {self.same_shape} of {self.clear} runs only"
        if max(abs(self.ahead.low), abs(self.ahead.high)) <= MARGIN and self.size_p <= alpha:
            return "coincides", f"it changes within {MARGIN} decades of test accuracy"
        before = f"before test accuracy in {self.before} of {self.clear} runs"
        if self.ahead.contains(0) or p > alpha:
            return "undecided", f"{before}, adjusted p = {p:.2g}"
        return "leads" if self.ahead.low > 0 else "lags", before

    def _confounded(self) -> bool:
        strong = self.spearman.known and abs(self.spearman.mean) >= STRONG and not self.spearman.contains(0)
        low, high = self.partial.low, self.partial.high
        return strong and (self.nothing_left or -STRONG < low <= 0 <= high < STRONG)


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
        notes.append(
            f"{grokked} runs that grok are too few for intervals or verdicts: {FEWEST_RUNS} are needed"
        )
    if grokked and not any(step is not None for step in reference.values()):
        notes.append(
            "test accuracy has too few evaluations for a transition of its own: nothing is ahead of it"
        )
    return notes
