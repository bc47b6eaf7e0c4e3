"""What the runs that grok say of one column together, and by which rule it is judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from grokscope.results import ColumnName
from grokscope.statistics.one_run import EDGE, SISTER, TWIN, Score
from grokscope.statistics.over_runs import Mean, holm, sign_test, t_test

Verdict = Literal["leads", "lags", "coincides", "confounded", "twin", "unresolved", "undecided"]

FEWEST_RUNS = 5  # that grok, for a verdict about when a column changes
MARGIN = 0.05  # log10 of steps: closer than 12 % coincides
STRONG = 0.5  # a rank correlation that asks for an explanation
MOST = 0.8  # of the runs that grok must have a clear transition, and most of these the same shape

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


class Judgement(NamedTuple):
    """A verdict of `RULES`, what it rests on in a word or two, for a table, and in a sentence."""

    verdict: Verdict
    reason: str
    why: str


@dataclass(frozen=True)
class Correlations:
    """Mean rank correlations over the runs, with test accuracy and with the control.

    With test accuracy Spearman's, Kendall's, and Spearman's with the control's ranks taken out; with the
    control Spearman's.
    """

    spearman: Mean
    kendall: Mean
    partial: Mean
    with_control: Mean


@dataclass(frozen=True)
class PValues:
    """p-values of one column, and those corrected over the columns after Holm.

    Attributes:
        ahead: Student's test that the mean of `ahead` is 0.
        size: likewise of the mean `size` of the change: what drifts at random may change late in every run,
            but up in one and down in the other.
        signs: sign test of `ahead`, two-sided, ties left out; of n runs 2^(1 - n) at least.
        adjusted: the larger of `ahead` and `size`, corrected.
        signs_adjusted: `signs`, corrected.
    """

    ahead: float
    size: float
    signs: float
    adjusted: float = math.nan
    signs_adjusted: float = math.nan

    @property
    def both(self) -> float:
        """The larger of `ahead` and `size`: that both are not 0."""
        return max(self.ahead, self.size)


@dataclass(frozen=True)
class Summary:
    """One column over the runs that grok.

    Where these are the seeds of several settings, means are over settings, their values the means over
    seeds, and intervals and tests count settings (`Mean.of`).

    Attributes:
        runs: how many have the column.
        grokked: the scores of those that grok; the others count in nothing.
        lead: log10 lead before the grokking step.
        ahead: likewise before test accuracy's own transition; its interval is never narrower than the
            checkpoints between which the changes lie.
        correlations, p: what they are called.
        judgement: by the first of `RULES` that holds.
    """

    column: ColumnName
    runs: int
    grokked: Sequence[Score] = field(repr=False)
    lead: Mean
    ahead: Mean
    correlations: Correlations
    p: PValues
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        """The verdict of its judgement."""
        return self.judgement.verdict

    @property
    def censored(self) -> int:
        """How many runs never grok."""
        return self.runs - len(self.grokked)

    @property
    def clear(self) -> int:
        """How many of those that grok have a clear transition."""
        return sum(row.transition_step is not None for row in self.grokked)

    @property
    def unresolved(self) -> int:
        """How many of these have it within two checkpoints of where the search begins."""
        return sum(row.transition_step is not None and not row.resolved for row in self.grokked)

    @property
    def before(self) -> int:
        """In how many runs the column changes before test accuracy does."""
        return sum(row.ahead > 0 for row in self.grokked)

    @property
    def shape(self) -> str:
        """The commonest shape of the change."""
        shapes = self._shapes()
        return max(sorted(set(shapes)), key=shapes.count, default="")

    @property
    def same_shape(self) -> int:
        """In how many runs the change has the commonest shape."""
        return self._shapes().count(self.shape)

    def _shapes(self) -> list[str]:
        return [row.shape for row in self.grokked if row.shape]

    @property
    def twin(self) -> bool:
        """Whether it is the control in other words, wherever both are known."""
        known = [row.twin for row in self.grokked if not math.isnan(row.with_control)]
        return bool(known) and all(known)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values by name, as `score --csv` and `--json` have it."""
        spearman, partial = self.correlations.spearman, self.correlations.partial
        return {
            "column": self.column,
            "runs": self.runs,
            "censored": self.censored,
            **self.lead.named("lead"),
            "sign_p": self.p.signs,
            "sign_p_adjusted": self.p.signs_adjusted,
            "spearman": spearman.mean,
            **partial.named("partial"),
            "verdict": self.verdict,
            "clear": self.clear,
            "unresolved": self.unresolved,
            **self.ahead.named("ahead"),
            "before": self.before,
            "p": self.p.both,
            "p_adjusted": self.p.adjusted,
            "shape": self.shape,
            "same_shape": self.same_shape,
            "kendall": self.correlations.kendall.mean,
            "spearman_low": spearman.low,
            "spearman_high": spearman.high,
            "with_control": self.correlations.with_control.mean,
            "twin": self.twin,
            "why": self.judgement.why,
            "reason": self.judgement.reason,
        }


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
    alpha = 1 - confidence
    unjudged = [_unjudged(name, rows, groups, confidence) for name in names]
    ps = [summary.p.both for summary in unjudged]
    adjusted = zip(holm(ps), holm([summary.p.signs for summary in unjudged]), strict=True)
    judged = [
        _judged(replace(summary, p=replace(summary.p, adjusted=both, signs_adjusted=signs)), control, alpha)
        for summary, (both, signs) in zip(unjudged, adjusted, strict=True)
    ]
    return judged, sum(not math.isnan(p) for p in ps)


def _unjudged(
    column: ColumnName, rows: Sequence[Score], groups: Mapping[str, int], confidence: float
) -> Summary:
    mine = [row for row in rows if row.column == column]
    grokked = [row for row in mine if row.grokking_step is not None]
    settings = [groups[row.run] for row in grokked]

    def mean(name: str) -> Mean:
        return Mean.of((getattr(row, name) for row in grokked), confidence, settings)

    aheads = [row.ahead for row in grokked]
    return Summary(
        column=column,
        runs=len(mine),
        grokked=grokked,
        lead=mean("log_lead"),
        ahead=mean("ahead").widened(mean("ahead_low").mean, mean("ahead_high").mean),
        correlations=Correlations(
            spearman=mean("spearman").within(-1, 1),
            kendall=mean("kendall"),
            partial=mean("partial").within(-1, 1),
            with_control=mean("with_control"),
        ),
        p=PValues(
            ahead=t_test(aheads, settings),
            size=t_test([row.size for row in grokked], settings),
            signs=sign_test(aheads, settings),
        ),
        judgement=Judgement("undecided", "", ""),
    )


def _judged(summary: Summary, control: ColumnName, alpha: float) -> Summary:
    """Return it with the first of `RULES` that holds."""
    return replace(summary, judgement=_judgement(summary, control, alpha))


def _judgement(found: Summary, control: ColumnName, alpha: float) -> Judgement:
    if found.twin:
        rho = f"{found.correlations.with_control.mean:+.2f}"
        said = f"its rank correlation with {control} is {rho}: nothing is left of it"
        return Judgement("twin", f"rho {rho}", said)
    if len(found.grokked) < FEWEST_RUNS:
        said = f"{len(found.grokked)} of {found.runs} runs grok, {FEWEST_RUNS} are needed"
        return Judgement("undecided", "few runs", said)
    if _is_confounded(found.correlations):
        said = f"nothing clear is left of its correlation when {control} is taken out"
        return Judgement("confounded", f"left {found.correlations.partial.mean:+.2f}", said)
    return _of_the_change(found) or _of_the_timing(found, alpha)


def _is_confounded(of: Correlations) -> bool:
    strong = of.spearman.known and abs(of.spearman.mean) >= STRONG and not of.spearman.contains(0)
    return strong and -STRONG < of.partial.low <= 0 <= of.partial.high < STRONG


def _of_the_change(found: Summary) -> Judgement | None:
    """Why nothing can be said of when it changes, if so."""
    runs, clear, unresolved = len(found.grokked), found.clear, found.unresolved
    if clear < MOST * runs:
        return Judgement(
            "undecided", f"clear {clear}/{runs}", f"it changes clearly in {clear} of {runs} runs"
        )
    if clear - unresolved < MOST * clear:
        said = f"in {unresolved} of {clear} runs it changes where the search begins, or before"
        return Judgement("unresolved", f"edge {unresolved}/{clear}", said)
    if found.same_shape < MOST * clear:
        said = f"its change is a {found.shape} in {found.same_shape} of {clear} runs only"
        return Judgement("undecided", f"{found.shape} {found.same_shape}/{clear}", said)
    if not found.ahead.known:
        return Judgement("undecided", "no change", "test accuracy has no change of its own to compare with")
    return None


def _of_the_timing(found: Summary, alpha: float) -> Judgement:
    ahead, p = found.ahead, found.p
    before = f"before test accuracy in {found.before} of {found.clear} runs"
    short = f"before {found.before}/{found.clear}"
    if max(abs(ahead.low), abs(ahead.high)) <= MARGIN and p.size <= alpha:
        return Judgement("coincides", short, f"it changes within {MARGIN} decades of test accuracy")
    if ahead.contains(0) or p.adjusted > alpha:
        return Judgement("undecided", short, f"{before}, adjusted p = {p.adjusted:.2g}")
    return Judgement("leads" if ahead.low > 0 else "lags", short, before)
