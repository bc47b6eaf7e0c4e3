"""When one column of one run changes, how far ahead of test accuracy, and how its ranks go with others'."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from grokscope.results import ColumnName, Results
from grokscope.statistics.correlation import kendall, partial_spearman, spearman
from grokscope.statistics.transition import Between, Scale, Transition, transition

if TYPE_CHECKING:
    import numpy as np

TWIN, SISTER = 0.999, 0.95  # rank correlations with the control; the second for columns of its own measure
EDGE = 2  # checkpoints from where the search begins
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
class Window:
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
    ) -> Window:
        """Return the window that begins at memorisation, or at the start where the run groks without a delay.

        Args:
            run: its name.
            results: what was measured.
            thresholds: train and test accuracy that count as memorised and grokked.
            control: the column to control for.
            scale: the step axis on which changes are looked for.
            since: `start` takes the whole course.
        """
        memorised, grokked = results.transitions(*thresholds)
        delayed = memorised is not None and (grokked is None or grokked > memorised)
        start = memorised if since == "memorisation" and delayed and memorised is not None else 0
        return cls(run, results, memorised, grokked, start, control, scale)

    @cached_property
    def steps(self) -> list[int]:
        """The measured steps in it."""
        return [step for step in self.results.steps if step >= self.start]

    @cached_property
    def accuracy(self) -> np.ndarray | None:
        """The course of test accuracy, or of what stands for it."""
        return self._from_start(self.results.rising())

    @cached_property
    def control(self) -> np.ndarray | None:
        """The course of the control column."""
        return self.course(self.control_column)

    def curve(self, metric: str) -> np.ndarray | None:
        """The course of a metric of the curve at the steps of the window; None where the run has no curve."""
        return self._from_start(self.results.course(metric) if self.results.curve else None)

    @cached_property
    def reference(self) -> Between | None:
        """Where test accuracy's own transition lies, where the run groks and it is resolved."""
        found = self.change(self.accuracy) if self.grokked is not None else None
        return found.between if found and is_resolved(found) else None

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
        """Return the transition of a course, or its peak; None where it has none."""
        return (
            None if course is None else transition(self.steps, course.tolist(), scale=self.scale, peak=peak)
        )

    def clear_change(self, name: ColumnName) -> Transition | None:
        """Return the transition of a column that the run declares, where it is clear."""
        found = self.change(self.course(name), self.results.declared[name].direction == "peak")
        return found if found and found.clear else None

    def score(self, name: ColumnName) -> Score:
        """Return what the run says of a column that it declares."""
        course, found = self.course(name), self.clear_change(name)
        resolved = found is None or is_resolved(found)
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
            twin=_is_twin(name, self.control_column, together),
        )


def is_resolved(found: Transition) -> bool:
    """Return whether a change does not lie where the search begins: it may have come before."""
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


def _is_twin(column: ColumnName, control: ColumnName, rho: float) -> bool:
    """Return whether a column is the control in other words, by their rank correlation.

    The same ranks, or nearly where both are columns of one measure. The control is not its own twin.
    """
    least = SISTER if column.measure == control.measure else TWIN
    return column != control and abs(rho) >= least
