"""A figure's claim on the runs that were measured for it: every part asked, by the rule of all hypotheses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grokscope.errors import described
from grokscope.figure import Asked, Figure
from grokscope.results import Comparison
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.judging import Answer, Decision, ask, decide, side_by_side, with_thresholds
from grokscope.statistics.over_runs import wilson


@dataclass(frozen=True)
class Part:
    """One part of a claim, checked in every seed.

    Attributes:
        rule: what was checked, in words and numbers.
        outcomes: for every seed True, False, or None where it cannot be said.
        values: what was found, by name, a number for every seed; NaN where there is none.
        hypothesis: the name of the hypothesis that was asked.
        leads: of a claim about timing, by how many decades of steps what should come first does, in every
            seed, by the names of both; NaN where one of them never comes.
        failures: where the hypothesis raised, and what.
    """

    rule: str
    outcomes: tuple[bool | None, ...]
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    hypothesis: str = ""
    failures: tuple[str, ...] = ()
    leads: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """In how many seeds it is true."""
        return sum(outcome is True for outcome in self.outcomes)

    @property
    def said(self) -> int:
        """In how many seeds it can be said."""
        return sum(outcome is not None for outcome in self.outcomes)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of the share in which it is true; NaN where it cannot be said of any seed."""
        return wilson(self.held / self.said, self.said, CONFIDENCE) if self.said else (math.nan, math.nan)

    @property
    def verdict(self) -> Decision:
        """What the seeds come to; see `grokscope.statistics.judging`."""
        return decide(self.outcomes)


def check(figure: Figure, found: Mapping[str, Comparison]) -> list[Part]:
    """Return every part of the figure's claim, asked of its measured groups.

    What a hypothesis raises is not raised here: it is in its part's `failures`, and says nothing of the seed.
    """
    return [_part(part, found) for part in figure.asks]


def _part(part: Asked, found: Mapping[str, Comparison]) -> Part:
    groups = [[with_thresholds(results) for results in found[name].runs.values()] for name in part.groups]
    answers: list[Answer] = []
    failures: list[str] = []
    for case in side_by_side(groups):
        try:
            answers.append(ask(part.hypothesis, *case))
        except (Exception, SystemExit, GeneratorExit) as error:  # a stranger's code, whatever it raises
            answers.append(Answer())
            runs = " and ".join(results.run for results in case)
            failures.append(f"{runs}: hypothesis {part.hypothesis.name}: {described(error)}")
    values = _by_name([answer.values for answer in answers])
    return Part(
        part.rule,
        tuple(answer.holds for answer in answers),
        values,
        part.hypothesis.name,
        tuple(failures),
        {
            f"from {first} to {second}": _leads(values, first, second)
            for first, second in part.hypothesis.leads
        },
    )


def _leads(values: Mapping[str, Sequence[float]], first: str, second: str) -> tuple[float, ...]:
    """Return by how many decades one step comes before another; NaN where one is none, or 0.

    Nothing where the hypothesis tells one of them of no run.
    """
    if not {first, second} <= values.keys():
        return ()
    steps = zip(values[first], values[second], strict=True)
    return tuple(math.log10(late / early) if early > 0 and late > 0 else math.nan for early, late in steps)


def _by_name(values: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    names = dict.fromkeys(name for each in values for name in each)
    return {name: tuple(each.get(name, math.nan) for each in values) for name in names}
