"""How a hypothesis declares itself: a claim in words, and a function that says what one run has to say to it.

Imports nothing heavy, so that plugins which bring hypotheses load as quickly as those that do not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grokscope.declare import signature
from grokscope.errors import PluginError

RUNS, GROKKING, GROUPS = "runs", "grokking", "groups"
ABOUT = {
    RUNS: "holds in each run",
    GROKKING: "is larger in runs that grok than in those that do not",
    GROUPS: "is larger in runs of one kind than in those of another",
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COLUMN = re.compile(r"[^.\s]+\.[^.\s].*")


@dataclass(frozen=True)
class Hypothesis:
    """A declared hypothesis. Calling it calls the function it was made from.

    Attributes:
        name: the function's name.
        function: receives one run's `Results` and returns the effect, positive as the claim says, or None
            where the run has nothing to say.
        claim: what is claimed, a sentence.
        columns: the `measure.column` names that the function reads.
        about: `runs`, `grokking` or `groups`: whom the claim is about, see `hypothesis`.
        source: paper and section.
        groups: the names of two groups of runs; the claim is that the first has the larger values.
        group: tells which group a run belongs to, or None for neither.
        help: the function's docstring: what exactly is compared.
    """

    name: str
    function: Callable[[Any], float | None]
    claim: str
    columns: tuple[str, ...]
    about: str
    source: str
    groups: tuple[str, ...]
    group: Callable[[Any], str | None] | None
    help: str

    def __call__(self, results: Any) -> float | None:
        return self.function(results)

    @property
    def measures(self) -> list[str]:
        """The measures to be computed before anything can be said, without repetition."""
        return list(dict.fromkeys(column.partition(".")[0] for column in self.columns))


def hypothesis(
    *,
    claim: str,
    columns: Sequence[str],
    about: str = RUNS,
    source: str = "",
    groups: Sequence[str] = (),
    group: Callable[[Any], str | None] | None = None,
) -> Callable[[Callable[[Any], float | None]], Hypothesis]:
    """Declare a function of one run's `Results` as a hypothesis.

    It returns a number, positive (or larger) as the claim says, or None where the run has nothing to say: it
    never grokked, was trained in another way, has too few checkpoints. It reads `results.memorisation_step`
    and `results.grokking_step`, which follow the thresholds asked for, and `results.values(column, start,
    end)`. So that noise does not support it, its effect on a course of pure noise must be positive in half of
    the runs at most. Of claims that compare runs, `values` gives as many evaluations of every run in each of
    its calls; `course` gives all there are, and what grows with their number is then no evidence.

    Args:
        claim: what is claimed, a sentence.
        columns: the `measure.column` names that it reads; without them a run has nothing to say.
        about: `runs`: the effect is positive in each run. `grokking`: it is larger in runs that grok than in
            those that do not. `groups`: it is larger in the first of two groups than in the second.
        source: paper and section.
        groups, group: with `about="groups"`, the two groups' names, and a function of `Results` that
            returns one of them, or None.

    Raises:
        PluginError: the declaration cannot be.
    """

    def declare(function: Callable[[Any], float | None]) -> Hypothesis:
        declared = Hypothesis(
            name=str(getattr(function, "__name__", type(function).__name__)),
            function=function,
            claim=claim,
            columns=(columns,) if isinstance(columns, str) else tuple(columns),
            about=about,
            source=source,
            groups=tuple(groups),
            group=group,
            help=inspect.getdoc(function) or "",
        )
        problem = _problem(declared)
        if problem:
            raise PluginError(f"hypothesis {declared.name}: {problem}")
        return declared

    return declare


def _problem(declared: Hypothesis) -> str:
    """Return what is wrong with a declaration, or nothing."""
    if not _NAME.fullmatch(declared.name):
        return f"names must be letters, digits and underscores, got {declared.name!r}"
    if not isinstance(declared.claim, str) or not declared.claim.strip():
        return f"claim must be a sentence, got {declared.claim!r}"
    if declared.about not in ABOUT:
        return f"about must be {', '.join(ABOUT)}, got {declared.about!r}"
    for column in declared.columns:
        if not isinstance(column, str) or not _COLUMN.fullmatch(column):
            return f"columns must be measure.column, got {column!r}"
    if not declared.columns:
        return "columns must name a measure.column at least"
    return _signature_problem(declared.function) or _groups_problem(declared)


def _signature_problem(function: Callable[..., Any]) -> str:
    given = list(signature(function).parameters.values())
    if len(given) == 1 and given[0].kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.POSITIONAL_ONLY,
    ):
        return ""
    return f"it must take one run's results and nothing else, got ({', '.join(map(str, given))})"


def _groups_problem(declared: Hypothesis) -> str:
    if declared.about != GROUPS:
        return "" if not (declared.groups or declared.group) else f"groups go with about={GROUPS!r}"
    if len(set(declared.groups)) != 2 or len(declared.groups) != 2:
        return f"groups must be two names, got {list(declared.groups)}"
    return "" if callable(declared.group) else "group must be a function of results that returns a group"
