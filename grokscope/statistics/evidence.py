"""What the runs that grok say of one column together, and by which rule it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from grokscope.results import ColumnName
from grokscope.statistics.over_runs import Mean, holm, sign_test, t_test

if TYPE_CHECKING:
    from grokscope.statistics.score import Score

Verdict = Literal["leads", "lags", "coincides", "confounded", "twin", "unresolved", "undecided"]

FEWEST_RUNS = 5  # that grok, for a verdict about when a column changes
MARGIN = 0.05  # log10 of steps: closer than 12 % coincides
STRONG = 0.5  # a rank correlation that asks for an explanation
MOST = 0.8  # of the runs that grok must have a clear transition, and most of these the same shape
TWIN, SISTER = 0.999, 0.95  # rank correlations with the control; the second for columns of its own measure
EDGE = 2  # checkpoints from where the search begins

RULES: Mapping[Verdict, str] = {
    "leads": "its change comes before test accuracy's own: the interval of `ahead` is above 0, and Student's "
    "tests over the runs, that it is not 0 and that the change goes one way, hold after Holm's correction "
    "over the columns",
    "lags": "likewise, after it",
    "coincides": f"the interval of `ahead` lies within ±{MARGIN} (12 % of the step)",
    "confounded": f"its rank correlation with test accuracy is strong (at least {STRONG} in size, interval "
    f"without 0), but with the control's ranks taken out the interval contains 0 and nothing of {STRONG} or "
    "more",
    "twin": f"it is the control in other words: its rank correlation with the control is at least {TWIN} in "
    f"size in every run, or {SISTER} where it is a column of the same measure; nothing can be taken out",
    "unresolved": f"in most runs it changes within {EDGE} checkpoints of where the search begins, so that it "
    "may have changed before",
    "undecided": f"none of these: fewer than {FEWEST_RUNS} runs grok, most have no clear change of one "
    "shape, or they disagree",
}


@dataclass(frozen=True)
class Summary:
    """One column over the runs that grok.

    Where these are the seeds of several settings, means are over settings, their values the means over
    seeds, and intervals and tests count settings (`interval`).

    Attributes:
        runs: how many have the column.
        censored: how many of them never grok; they count in nothing below.
        clear: how many of those that grok have a clear transition.
        unresolved: how many of these have it within two checkpoints of where the search begins; what it is
            ahead by is not known of them.
        lead, lead_low, lead_high: mean log10 lead before the grokking step, and its interval.
        ahead, ahead_low, ahead_high: likewise before test accuracy's own transition; never narrower than the
            checkpoints between which the changes lie.
        before: in how many runs the column changes before test accuracy does.
        sign_p: sign test of `ahead`: two-sided, ties left out.
        sign_p_adjusted: corrected over the columns after Holm; of n runs sign_p is 2^(1 - n) at least.
        p: the larger p-value of two of Student's tests: that the mean of `ahead` is 0, and that of `size`.
            What drifts at random may change late in every run, but up in one and down in the other.
        p_adjusted: likewise corrected.
        shape, same_shape: the commonest shape of the change, and in how many runs it is that.
        spearman, partial, ...: means of the runs' and their intervals.
        with_control: mean Spearman with the control.
        twin: whether it is the control in other words in every run.
        why: what the verdict rests on, a sentence.
        reason: the same in a word or two, for a table.
    """

    column: ColumnName
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
    unresolved: int = 0
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
    with_control: float = math.nan
    twin: bool = False
    why: str = ""
    reason: str = ""


def is_twin(column: ColumnName, control: ColumnName, rho: float) -> bool:
    """Return whether a column is the control in other words, by their rank correlation.

    The same ranks, or nearly where both are columns of one measure. The control is not its own twin.
    """
    least = SISTER if column.measure == control.measure else TWIN
    return column != control and abs(rho) >= least


def summaries(
    rows: Sequence[Score],
    names: Sequence[ColumnName],
    groups: Mapping[str, int],
    control: ColumnName,
    confidence: float,
) -> tuple[list[Summary], int]:
    """Return every column over the runs, and how many columns Holm's correction is over: those with a p.

    Args:
        rows: of all runs and columns.
        names: the columns.
        groups: which setting each run is of.
        control: the control column.
        confidence: of the intervals.
    """
    evidence = [_Evidence.of(name, rows, groups, confidence) for name in names]
    ps = [each.p for each in evidence]
    adjusted = zip(holm(ps), holm([each.sign_p for each in evidence]), strict=True)
    found = [
        each.summary(p, sign_p, control, confidence)
        for each, (p, sign_p) in zip(evidence, adjusted, strict=True)
    ]
    return found, sum(not math.isnan(p) for p in ps)


@dataclass(frozen=True)
class _Evidence:
    """What the runs that grok say of one column."""

    column: ColumnName
    runs: int
    grokked: Sequence[Score]
    leads: Mean
    ahead: Mean
    spearman: Mean
    partial: Mean
    kendall: Mean
    with_control: Mean
    before: int
    shape: str
    same_shape: int
    p: float
    size_p: float
    sign_p: float

    @classmethod
    def of(
        cls, column: ColumnName, rows: Sequence[Score], groups: Mapping[str, int], confidence: float
    ) -> _Evidence:
        mine = [row for row in rows if row.column == column]
        grokked = [row for row in mine if row.grokking_step is not None]
        settings = [groups[row.run] for row in grokked]

        def mean(name: str) -> Mean:
            return Mean.of((getattr(row, name) for row in grokked), confidence, settings)

        aheads = [row.ahead for row in grokked]
        shapes = [row.shape for row in grokked if row.shape]
        size_p = t_test([row.size for row in grokked], settings)
        shape = max(sorted(set(shapes)), key=shapes.count, default="")
        return cls(
            column=column,
            runs=len(mine),
            grokked=grokked,
            leads=mean("log_lead"),
            ahead=mean("ahead").widened(mean("ahead_low").mean, mean("ahead_high").mean),
            spearman=mean("spearman").within(-1, 1),
            partial=mean("partial").within(-1, 1),
            kendall=mean("kendall"),
            with_control=mean("with_control"),
            before=sum(value > 0 for value in aheads),
            shape=shape,
            same_shape=shapes.count(shape),
            p=max(t_test(aheads, settings), size_p),
            size_p=size_p,
            sign_p=sign_test(aheads, settings),
        )

    @property
    def clear(self) -> int:
        return sum(row.transition_step is not None for row in self.grokked)

    @property
    def unresolved(self) -> int:
        return sum(row.transition_step is not None and not row.resolved for row in self.grokked)

    @property
    def twin(self) -> bool:
        """Whether it is the control in other words, wherever both are known."""
        known = [row.twin for row in self.grokked if not math.isnan(row.with_control)]
        return bool(known) and all(known)

    def summary(self, p: float, sign_p: float, control: ColumnName, confidence: float) -> Summary:
        verdict, reason, why = self._verdict(p, control, 1 - confidence)
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
            unresolved=self.unresolved,
            ahead=self.ahead.mean,
            ahead_low=self.ahead.low,
            ahead_high=self.ahead.high,
            before=self.before,
            p=self.p,
            p_adjusted=p,
            shape=self.shape,
            same_shape=self.same_shape,
            kendall=self.kendall.mean,
            spearman_low=self.spearman.low,
            spearman_high=self.spearman.high,
            with_control=self.with_control.mean,
            twin=self.twin,
            why=why,
            reason=reason,
        )

    def _verdict(self, p: float, control: ColumnName, alpha: float) -> tuple[Verdict, str, str]:
        """The first of `RULES` that holds, and what it rests on, in a word or two and in a sentence."""
        if self.twin:
            rho = f"{self.with_control.mean:+.2f}"
            return (
                "twin",
                f"rho {rho}",
                f"its rank correlation with {control} is {rho}: nothing is left of it",
            )
        if len(self.grokked) < FEWEST_RUNS:
            said = f"{len(self.grokked)} of {self.runs} runs grok, {FEWEST_RUNS} are needed"
            return "undecided", "few runs", said
        if self._confounded():
            said = f"nothing clear is left of its correlation when {control} is taken out"
            return "confounded", f"left {self.partial.mean:+.2f}", said
        return self._change() or self._timing(p, alpha)

    def _change(self) -> tuple[Verdict, str, str] | None:
        """Why nothing can be said of when it changes, if so."""
        runs, clear, unresolved = len(self.grokked), self.clear, self.unresolved
        if clear < MOST * runs:
            return "undecided", f"clear {clear}/{runs}", f"it changes clearly in {clear} of {runs} runs"
        if clear - unresolved < MOST * clear:
            said = f"in {unresolved} of {clear} runs it changes where the search begins, or before"
            return "unresolved", f"edge {unresolved}/{clear}", said
        if self.same_shape < MOST * clear:
            said = f"its change is a {self.shape} in {self.same_shape} of {clear} runs only"
            return "undecided", f"{self.shape} {self.same_shape}/{clear}", said
        if not self.ahead.known:
            return "undecided", "no change", "test accuracy has no change of its own to compare with"
        return None

    def _timing(self, p: float, alpha: float) -> tuple[Verdict, str, str]:
        before = f"before test accuracy in {self.before} of {self.clear} runs"
        short = f"before {self.before}/{self.clear}"
        if max(abs(self.ahead.low), abs(self.ahead.high)) <= MARGIN and self.size_p <= alpha:
            return "coincides", short, f"it changes within {MARGIN} decades of test accuracy"
        if self.ahead.contains(0) or p > alpha:
            return "undecided", short, f"{before}, adjusted p = {p:.2g}"
        return "leads" if self.ahead.low > 0 else "lags", short, before

    def _confounded(self) -> bool:
        strong = self.spearman.known and abs(self.spearman.mean) >= STRONG and not self.spearman.contains(0)
        return strong and -STRONG < self.partial.low <= 0 <= self.partial.high < STRONG
