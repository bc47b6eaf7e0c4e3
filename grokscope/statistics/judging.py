"""By which rule a claim is judged: what a hypothesis answers, and what several answers come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from typing import Any

from grokscope.hypothesis import Hypothesis
from grokscope.results import Results
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.statistics.courses import setting

MOST, FEW = 0.8, 0.2  # shares of the runs: from MOST on a claim held, up to FEW it did not hold


class Decision(StrEnum):
    """What became of a claim, in the three words that `predict` and `reproduce` have for it."""

    HELD = "held"
    NOT_HELD = "did not hold"
    UNDECIDED = "undecided"


STYLES = {Decision.HELD: "green", Decision.NOT_HELD: "red", Decision.UNDECIDED: "yellow"}  # of rich
RULE = (
    f"held in at least {MOST:.0%} of the runs in which it can be said, did not hold in at most {FEW:.0%}; "
    "undecided between these, and where it can be said in less than half of those that it is about"
)


def share_decides(share: float) -> Decision:
    """Return what a share of runs, or of pairs of them, comes to; NaN is undecided."""
    if share >= MOST:
        return Decision.HELD
    return Decision.NOT_HELD if share <= FEW else Decision.UNDECIDED


def decide(outcomes: Sequence[bool | None]) -> Decision:
    """Return what a claim came to, by `RULE`, from whether it is true of each run.

    None is a run of which that cannot be said.

    >>> [str(decide(each)) for each in ([True] * 4 + [False], [True, None, None], [False])]
    ['held', 'undecided', 'did not hold']
    """
    said = [outcome for outcome in outcomes if outcome is not None]
    if not said or 2 * len(said) < len(outcomes):
        return Decision.UNDECIDED
    return share_decides(sum(said) / len(said))


def decide_all(parts: Iterable[Decision]) -> Decision:
    """Return what a claim of several parts came to.

    It held when every part held, and did not hold when one did not.
    """
    decisions = set(parts)
    if Decision.NOT_HELD in decisions:
        return Decision.NOT_HELD
    return Decision.HELD if decisions == {Decision.HELD} else Decision.UNDECIDED


@dataclass(frozen=True)
class Answer:
    """What a hypothesis says of one run, or of runs side by side.

    Attributes:
        effect: positive as the claim says; NaN where nothing can be said.
        values: what it was found from, by name.
    """

    effect: float = math.nan
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the claim is true there; None where that cannot be said. No effect is no truth."""
        return None if math.isnan(self.effect) else self.effect > 0


def ask(hypothesis: Hypothesis, *runs: Results) -> Answer:
    """Return what the hypothesis says of a run, or of one of each group. Whatever it raises goes through.

    Raises ValueError or TypeError where it returns what no hypothesis may.
    """
    returned = hypothesis(*runs)
    effect, values = returned if isinstance(returned, tuple) else (returned, {})
    return Answer(_number(effect), {str(name): float(value) for name, value in values.items()})


def _number(effect: Any) -> float:
    if effect is None:
        return math.nan
    if isinstance(effect, bool):
        return 1.0 if effect else -1.0
    number = float(effect)
    if math.isinf(number):
        raise ValueError("a hypothesis must return a finite number or None, got an infinite one")
    return number


def side_by_side(groups: Sequence[Iterable[Results]]) -> list[tuple[Results, ...]]:
    """Return the runs that a claim about pairs compares: one of each group, all of one training seed.

    Of one group alone every run is for itself.
    """
    listed = [list(group) for group in groups]
    if len(listed) == 1:
        return [(results,) for results in listed[0]]
    return [
        (first, *others)
        for first in listed[0]
        for others in product(*(_of_seed(group, seed_of(first)) for group in listed[1:]))
    ]


def _of_seed(group: Iterable[Results], seed: int | None) -> list[Results]:
    return [results for results in group if seed is not None and seed_of(results) == seed]


def seed_of(results: Results) -> int | None:
    """Return the run's training seed; None where its configuration has none."""
    seed = setting(results, "training.seed")
    return None if seed is None else int(seed)


def with_thresholds(results: Results, train: float = MEMORISED_AT, test: float = GROKKED_AT) -> Results:
    """Return the results with the memorisation and grokking step of these accuracies."""
    memorised, grokked = results.transitions(train, test)
    return replace(results, memorisation_step=memorised, grokking_step=grokked)
