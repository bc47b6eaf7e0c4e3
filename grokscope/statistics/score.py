"""Which measure changes before test accuracy, how early, how surely, and beyond what the weight norm says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from grokscope.errors import SettingError, UnknownName, UsageError
from grokscope.results import ColumnName, Comparison
from grokscope.results.columns import column_of, named_columns, number_columns, shown_columns
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.run.outcome import Goal
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.evidence import FEWEST_RUNS, RULES, Summary, summaries
from grokscope.statistics.one_run import Score, Since, Window
from grokscope.statistics.settings import by_settings
from grokscope.statistics.transition import Scale

CONTROL = "control"  # a role of columns


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
        window = Window.of(run, results, (train, test), controlled, scale, since)
        reference[run] = window.reference.until if window.reference else None
        rows += [window.score(name) for name in names if name in results.declared]
    grokked = dict.fromkeys(row.run for row in rows if row.grokking_step is not None)
    varied, settings = by_settings(comparison, grokked)
    groups = {run: at for at, runs in enumerate(settings) for run in runs}
    found, tested = summaries(rows, names, groups, controlled, confidence)
    goals = dict.fromkeys(results.goals[1] for results in comparison.runs.values())
    own = [goal for goal in goals if not goal.is_usual]
    notes = [*map(_stands_for, own), *_notes(rows, reference), *_of_settings(varied, settings)]
    asked = (train, test, confidence, scale, since)
    words = " or ".join(goal.words for goal in own)
    return Scores(rows, found, reference, controlled, *asked, tested, notes, words)


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
