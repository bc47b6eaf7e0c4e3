"""What measured runs say to declared hypotheses: the verdict on each, with the numbers that it rests on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from grokscope.discovery import load_plugins
from grokscope.errors import described
from grokscope.hypothesis import GROKKING, GROUPS, PAIRS, Hypothesis
from grokscope.results import Comparison, Results
from grokscope.run.curves import GROKKED_AT, MEMORISED_AT
from grokscope.statistics import CONFIDENCE, judging
from grokscope.statistics.grid import Reading, levelled
from grokscope.statistics.judging import Answer, Decision, ask, decide, share_decides, side_by_side
from grokscope.statistics.over_runs import Mean, clopper_pearson, holm

RULE = (
    f"{judging.RULE}; of two kinds of runs it is the share of pairs (AUROC). p says how often noise alone "
    "would do as much, corrected by Holm over the hypotheses tested. Runs are counted as independent, seeds "
    "of one setting too"
)
Case = TypeVar("Case")
Said = TypeVar("Said")


@dataclass(frozen=True)
class Verdict:
    """What the runs say to one hypothesis.

    Attributes:
        name, claim, source: the hypothesis.
        verdict: held, did not hold or undecided; see `RULE`.
        text: what was found, a sentence.
        numbers: `share` (of runs in which it holds, or the AUROC) with `low`, `high`, `p` and `p_adjusted`;
            the number of `runs`, and for a claim about each run how many `hold`, the mean `effect` and its
            interval `effect_low`, `effect_high`; for a comparison how many are in `first` and `second`.
        effects: what the hypothesis made of each run that had something to say.
        missing: the columns that no run has; then nothing was tested.
        failures: why the hypothesis failed, by run; then nothing was tested.
    """

    name: str
    claim: str
    source: str
    verdict: Decision
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def verdicts(
    comparison: Comparison,
    hypotheses: Mapping[str, Hypothesis] | Iterable[Hypothesis] | None = None,
    *,
    train: float = MEMORISED_AT,
    test: float = GROKKED_AT,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> list[Verdict]:
    """Judge hypotheses on measured runs, by the rule and in the words of `reproduce`.

    A claim about each run held where it is true of at least 80 % of the runs in which it can be said, and did
    not hold where of at most 20 %; else, or where it can be said in less than half of those that it is about,
    it is undecided. One about two kinds of runs is judged by the share of pairs in which the value is larger
    (AUROC). How easily noise does as much is said by p: of the one-sided sign test, against the hypothesis's
    own `chance`, or of a one-sided permutation test of the AUROC; corrected by Holm's method over all
    hypotheses that could be tested.

    Runs that are compared are read alike: what a hypothesis reads by `results.values` has as many evaluations
    in every run, as many as the run with the fewest has there, at like places.

    Args:
        comparison: several runs, measured.
        hypotheses: by name, or a list; None is those of all plugins.
        train, test: accuracies that count as memorised and grokked.
        confidence: of the intervals.
        seed: of resampling and permutations.

    What a hypothesis raises is not raised here: it is in its verdict's `failures`.
    """
    if hypotheses is None:
        hypotheses = load_plugins().hypotheses
    named = hypotheses if isinstance(hypotheses, Mapping) else {each.name: each for each in hypotheses}
    runs = {run: judging.with_thresholds(results, train, test) for run, results in comparison.runs.items()}
    return _corrected(
        [_tested(name, hypothesis, runs, confidence, seed) for name, hypothesis in named.items()]
    )


def _tested(
    name: str, hypothesis: Hypothesis, runs: Mapping[str, Results], confidence: float, seed: int
) -> Verdict:
    """Return the verdict on one hypothesis, its p not yet corrected."""
    plain = Verdict(name, hypothesis.claim, hypothesis.source, Decision.UNDECIDED, "")
    missing = tuple(c for c in hypothesis.columns if not any(c in r.declared for r in runs.values()))
    if missing:
        needs = ", ".join(hypothesis.measures)
        return replace(plain, text=f"not measured: it needs {needs}", missing=missing)
    measured = {
        run: results
        for run, results in runs.items()
        if all(column in results.declared for column in hypothesis.columns)
    }
    kinds, failures = _said_of_each(measured, lambda results: _kind(hypothesis, results))
    meant = {run: measured[run] for run, kind in kinds.items() if kind is not None}
    if failures:
        return _failed(plain, failures)
    if hypothesis.about in (GROKKING, GROUPS):
        return _compared(plain, hypothesis, meant, kinds, confidence, seed)
    groups = [[r for run, r in meant.items() if kinds[run] == group] for group in hypothesis.groups or ("",)]
    cases = {" and ".join(run.run for run in case): case for case in side_by_side(groups)}
    answers, failures = _said_of_each(cases, lambda case: ask(hypothesis, *case))
    return _failed(plain, failures) if failures else _counted(plain, hypothesis, answers, confidence)


def _said_of_each(
    cases: Mapping[str, Case], asked: Callable[[Case], Said]
) -> tuple[dict[str, Said], dict[str, str]]:
    """Return what is said of each case, and where a stranger's code fails, whatever it raises."""
    said: dict[str, Said] = {}
    failures: dict[str, str] = {}
    for name, case in cases.items():
        try:
            said[name] = asked(case)
        except (Exception, SystemExit, GeneratorExit) as error:
            failures[name] = described(error)
    return said, failures


def _failed(plain: Verdict, failures: Mapping[str, str]) -> Verdict:
    run, why = next(iter(failures.items()))
    more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    return replace(plain, text=f"it fails: {why} (run {run}{more})", failures=failures)


def _kind(hypothesis: Hypothesis, results: Results) -> str | None:
    if hypothesis.about == GROKKING:
        return "that do not" if results.grokking_step is None else "that grok"
    if hypothesis.group is None:
        return None if hypothesis.about == PAIRS else ""
    kind = hypothesis.group(results)
    if kind is not None and kind not in hypothesis.groups:
        raise ValueError(f"group must be one of {list(hypothesis.groups)} or None, got {kind!r}")
    return kind


def _counted(
    plain: Verdict, hypothesis: Hypothesis, answers: Mapping[str, Answer], confidence: float
) -> Verdict:
    """Judge by the share of cases in which the claim is true."""
    effects = {name: each.effect for name, each in answers.items() if each.holds is not None}
    if not effects:
        return replace(plain, text="no run has anything to say to it", numbers={"runs": 0})
    import scipy.stats

    held, asked = sum(effect > 0 for effect in effects.values()), len(effects)
    effect = Mean.of(effects.values(), confidence)
    done = scipy.stats.binomtest(held, asked, hypothesis.chance, alternative="greater")
    low, high = clopper_pearson(held, asked, confidence)
    numbers = {
        "runs": float(asked),
        "hold": float(held),
        "effect": effect.mean,
        "effect_low": effect.low,
        "effect_high": effect.high,
        "share": held / asked,
        "low": low,
        "high": high,
        "p": float(done.pvalue),
    }
    word = "comparison" if hypothesis.about == PAIRS else "run"
    silent = len(answers) - asked
    cases = f"{asked} {word}{'s' * (asked > 1)}" + (f", {silent} cannot be said" if silent else "")
    text = f"holds in {held} of {cases}, mean effect {effect.mean:.3g}{_interval(effect.low, effect.high)}"
    verdict = decide([each.holds for each in answers.values()])
    return replace(plain, verdict=verdict, effects=effects, numbers=numbers, text=text)


def _compared(
    plain: Verdict,
    hypothesis: Hypothesis,
    runs: Mapping[str, Results],
    kinds: Mapping[str, str | None],
    confidence: float,
    seed: int,
) -> Verdict:
    """Judge by the share of pairs in which the value is larger in the run of the first kind.

    Runs are asked twice: what they read is noted the first time, and the second time every run gives as many
    evaluations for each read (`levelled`).
    """
    from grokscope.statistics.estimates import FEWEST_OF_EACH, superiority

    readings = {run: Reading.of(results) for run, results in runs.items()}
    answers, failures = _said_of_each(readings, lambda reading: ask(hypothesis, reading))
    said = [run for run, answer in answers.items() if answer.holds is not None]
    if not failures:
        alike = levelled({run: readings[run] for run in said})
        answers, failures = _said_of_each(alike, lambda reading: ask(hypothesis, reading))
    if failures:
        return _failed(plain, failures)
    effects = {run: answer.effect for run, answer in answers.items() if answer.holds is not None}
    plain = replace(plain, effects=effects)
    groups = ("that grok", "that do not") if hypothesis.about == GROKKING else hypothesis.groups
    first, second = ([value for run, value in effects.items() if kinds[run] == group] for group in groups)
    numbers = {
        "runs": float(len(effects)),
        "first": float(len(first)),
        "second": float(len(second)),
    }
    words = f"{len(first)} runs {groups[0]}, {len(second)} {groups[1]}"
    if min(len(first), len(second)) < FEWEST_OF_EACH:
        text = f"too few to compare, {FEWEST_OF_EACH} of each at least: {words}"
        return replace(plain, numbers=numbers, text=text)
    import numpy as np

    found = superiority(np.array(first), np.array(second), confidence, seed)
    numbers |= {"share": found.value, "low": found.low, "high": found.high, "p": found.p}
    text = f"AUROC {found.value:.2f}{_interval(found.low, found.high)}; {words}"
    return replace(plain, verdict=share_decides(found.value), numbers=numbers, text=text)


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f" ({low:.3g} … {high:.3g})"


def _corrected(tested: Sequence[Verdict]) -> list[Verdict]:
    """Correct the p-values over all hypotheses that have one."""
    ps = [verdict.numbers.get("p", math.nan) for verdict in tested]
    count = sum(not math.isnan(p) for p in ps)
    return [
        verdict if math.isnan(p) else _with_p(verdict, p, adjusted, count)
        for verdict, p, adjusted in zip(tested, ps, holm(ps), strict=True)
    ]


def _with_p(verdict: Verdict, p: float, adjusted: float, count: int) -> Verdict:
    words = f"p = {p:.2g}" + (f", corrected for {count}: {adjusted:.2g}" if count > 1 else "")
    numbers = {**verdict.numbers, "p_adjusted": adjusted}
    return replace(verdict, numbers=numbers, text=f"{verdict.text}; {words}")
