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

RUNS, PAIRS, GROKKING, GROUPS = "runs", "pairs", "grokking", "groups"
ABOUT = {
    RUNS: "holds in each run",
    PAIRS: "holds in each set of runs of one seed, one of each kind, side by side",
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
        function: receives one run's `Results`, or one of each group, and returns the effect, positive as the
            claim says, or None where nothing can be said; beside it, what it was found from.
        claim: what is claimed, a sentence.
        columns: the `measure.column` names that the function reads; none where accuracies are all it reads.
        about: `runs`, `pairs`, `grokking` or `groups`: whom the claim is about, see `hypothesis`.
        source: paper and section.
        groups: the names of the groups of runs that it is about, the first of which has the larger values.
        group: tells which group a run belongs to, or None for neither.
        chance: in which share of runs pure noise does as the claim says.
        leads: of a claim about timing, pairs of names of its values: the step of what comes first, and
            of what it comes before.
        help: the function's docstring: what exactly is compared.
    """

    name: str
    function: Callable[..., Any]
    claim: str
    columns: tuple[str, ...]
    about: str
    source: str
    groups: tuple[str, ...]
    group: Callable[[Any], str | None] | None
    chance: float
    help: str
    leads: tuple[tuple[str, ...], ...] = ()

    def __call__(self, *results: Any) -> Any:
        """Call the function that it was made from."""
        return self.function(*results)

    @property
    def measures(self) -> list[str]:
        """The measures to be computed before anything can be said, without repetition."""
        return list(dict.fromkeys(column.partition(".")[0] for column in self.columns))

    @property
    def rule(self) -> str:
        """What exactly is compared, in a phrase: the docstring without its capital and full stop."""
        words = " ".join(self.help.split()).removesuffix(".")
        return words[:1].lower() + words[1:] if words[1:2].islower() or words.startswith("A ") else words


def hypothesis(
    *,
    claim: str,
    columns: Sequence[str] = (),
    about: str = RUNS,
    source: str = "",
    groups: Sequence[str] = (),
    group: Callable[[Any], str | None] | None = None,
    chance: float = 0.5,
    leads: Sequence[tuple[str, str]] = (),
) -> Callable[[Callable[..., Any]], Hypothesis]:
    """Declare a function of a run's `Results` as a hypothesis: one sentence of a paper.

    It returns a number, positive (or larger) as the claim says, or True or False, or None (or NaN) where that
    cannot be said: too few checkpoints, or an end that came too soon. It may return `(effect, values)`, where
    `values` are the numbers that it was found from, by name, to be shown beside it. It reads
    `results.memorisation_step` and `results.grokking_step`, which follow the thresholds asked for, and
    `results.values(column, start, end)`; `grokscope.courses` has what checks of papers read.

    So that noise does not support it, its effect on a course of pure noise must be positive in `chance` of
    the runs at most. Of claims that compare runs of any number of checkpoints (`grokking`, `groups`),
    `values` gives as many evaluations of every run in each of its calls; `course` gives all there are, and
    what grows with their number is then no evidence.

    Args:
        claim: what is claimed, a sentence.
        columns: the `measure.column` names that it reads; where one was not measured, a run has nothing to
            say. None where it reads the curve of losses and accuracies alone.
        about: `runs`: the effect is positive in each run. `pairs`: the function receives runs of one seed,
            one of each group, and its effect is positive in each such set. `grokking`: the value is larger in
            runs that grok than in those that do not. `groups`: it is larger in the first of two groups than
            in the second.
        source: paper and section.
        groups: with `groups` two names, with `pairs` as many as the function has arguments, with `runs` one
            name or none: whom the claim is about.
        group: a function of `Results` that returns one of these names, or None for a run that the claim is
            not about. `predict` needs it to tell runs apart; a figure says which of its groups are meant.
        chance: with `runs` and `pairs`, in which share of cases noise does as the claim says; above 1/2 many
            runs must bear the claim out before that says anything.
        leads: of a claim about timing, pairs of names among the `values` that it returns, both steps (or
            numbers of steps): what comes first, and before what. Accounts of figures then tell by how many
            decades it does in each run.

    Raises:
        PluginError: the declaration cannot be.
    """

    def declare(function: Callable[..., Any]) -> Hypothesis:
        declared = Hypothesis(
            name=str(getattr(function, "__name__", type(function).__name__)),
            function=function,
            claim=claim,
            columns=(columns,) if isinstance(columns, str) else tuple(columns),
            about=about,
            source=source,
            groups=(groups,) if isinstance(groups, str) else tuple(groups),
            group=group,
            chance=chance,
            help=inspect.getdoc(function) or "",
            leads=tuple(map(tuple, leads)),
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
    if not 0 < declared.chance < 1:
        return f"chance must be between 0 and 1, got {declared.chance!r}"
    for pair in declared.leads:
        if len(pair) != 2 or not all(isinstance(name, str) and name for name in pair):
            return f"leads must be pairs of names of values, got {pair!r}"
    for column in declared.columns:
        if not isinstance(column, str) or not _COLUMN.fullmatch(column):
            return f"columns must be measure.column, got {column!r}"
    return _groups_problem(declared) or _signature_problem(declared)


def _signature_problem(declared: Hypothesis) -> str:
    given = list(signature(declared.function).parameters.values())
    wanted = len(declared.groups) if declared.about == PAIRS else 1
    places = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    if len(given) == wanted and all(each.kind in places for each in given):
        return ""
    shown = ", ".join(map(str, given))
    if declared.about == PAIRS:
        return f"it must take one run's results of each group: {', '.join(declared.groups)}; got ({shown})"
    return f"it must take one run's results and nothing else, got ({shown})"


def _groups_problem(declared: Hypothesis) -> str:
    names, told = declared.groups, declared.group is not None
    if told and not callable(declared.group):
        return "group must be a function of results that returns a group"
    if declared.about == GROKKING:
        return f"groups do not go with about={GROKKING!r}" if names or told else ""
    if declared.about == RUNS:
        alone = len(names) > 1 or bool(names) != told
        return f"of about={RUNS!r} groups must be one name, and group tell it" if alone else ""
    if len(set(names)) != len(names) or (len(names) != 2 if declared.about == GROUPS else len(names) < 2):
        return f"groups must be two names{' or more' * (declared.about == PAIRS)}, got {list(names)}"
    if declared.about == GROUPS and not told:
        return "group must be a function of results that returns a group"
    return ""
