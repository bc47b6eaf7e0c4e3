"""What measured runs say to declared hypotheses: supported, not supported or undecided, with the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grokscope.discovery import load_plugins
from grokscope.errors import described
from grokscope.hypothesis import GROKKING, GROUPS, RUNS, Hypothesis
from grokscope.results import Comparison, Results
from grokscope.statistics.grid import Reading, levelled
from grokscope.statistics.over_runs import Mean, holm

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
SIGNIFICANT = 0.05
STRONG = 0.75  # the share of runs, or AUROC, that a claim must reach to be worth being made
RULE = (
    f"supported: p, corrected by Holm over the hypotheses tested, is below {SIGNIFICANT} and the share of "
    f"runs (or AUROC) at least {STRONG}; not supported: the interval of that share lies below {STRONG}; "
    "else undecided. Runs are counted as independent, seeds of one setting too"
)


@dataclass(frozen=True)
class Verdict:
    """What the runs say to one hypothesis.

    Attributes:
        name, claim, source: the hypothesis.
        verdict: `supported`, `not supported` or `undecided`; see `RULE`.
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
    verdict: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def verdicts(
    comparison: Comparison,
    hypotheses: Mapping[str, Hypothesis] | Iterable[Hypothesis] | None = None,
    *,
    train: float = 0.99,
    test: float = 0.95,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Verdict]:
    """Test hypotheses on measured runs.

    A claim about each run is tested by the one-sided sign test over the runs that have something to say; one
    about two kinds of runs by a one-sided permutation test of the AUROC. p-values are corrected by Holm's
    method over all hypotheses that could be tested, so that of many only one in twenty such lists names a
    single one wrongly supported. A claim is `supported` where the corrected p is below 0.05 and it holds in
    three of four runs at least (or has an AUROC of 0.75), `not supported` where the interval of that share
    lies below 0.75, and else undecided.

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
    runs = {run: _with_thresholds(results, train, test) for run, results in comparison.runs.items()}
    tested = [_tested(name, hypothesis, runs, confidence, seed) for name, hypothesis in named.items()]
    return _decided(tested)


def _with_thresholds(results: Results, train: float, test: float) -> Results:
    memorised, grokked = results.transitions(train, test)
    return replace(results, memorisation_step=memorised, grokking_step=grokked)


def _tested(
    name: str, hypothesis: Hypothesis, runs: Mapping[str, Results], confidence: float, seed: int
) -> Verdict:
    """Return the numbers of one hypothesis, not yet corrected and decided."""
    plain = Verdict(name, hypothesis.claim, hypothesis.source, UNDECIDED, "")
    missing = [
        column for column in hypothesis.columns if not any(column in r.declared for r in runs.values())
    ]
    if missing:
        return replace(
            plain, text=f"not measured: it needs {', '.join(hypothesis.measures)}", missing=tuple(missing)
        )
    measured = {
        run: results
        for run, results in runs.items()
        if all(column in results.declared for column in hypothesis.columns)
    }
    effects, kinds, failures = _asked(hypothesis, measured)
    if failures:
        run, why = next(iter(failures.items()))
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        return replace(plain, text=f"it fails: {why} (run {run}{more})", failures=failures)
    plain = replace(plain, effects=effects)
    if hypothesis.about == RUNS:
        return _over_runs(plain, confidence)
    groups = ("that grok", "that do not") if hypothesis.about == GROKKING else hypothesis.groups
    return _between(plain, kinds, groups, confidence, seed)


def _asked(
    hypothesis: Hypothesis, runs: Mapping[str, Results]
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """Return what the hypothesis says of each run, which kind of run each is, and where it fails.

    Where runs are compared with one another, they are asked twice: what they read is noted the first time,
    and the second time every run gives as many evaluations for each read (`levelled`).
    """
    readings = {run: Reading.of(results) for run, results in runs.items()}
    effects, kinds, failures = _answers(hypothesis, readings)
    if hypothesis.about == RUNS or failures:
        return effects, kinds, failures
    return _answers(hypothesis, levelled({run: readings[run] for run in effects}))


def _answers(
    hypothesis: Hypothesis, runs: Mapping[str, Results]
) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    effects: dict[str, float] = {}
    kinds: dict[str, str] = {}
    failures: dict[str, str] = {}
    for run, results in runs.items():
        try:
            kind, effect = _kind(hypothesis, results), _effect(hypothesis(results))
        except (Exception, SystemExit, GeneratorExit) as error:  # a stranger's code, whatever it raises
            failures[run] = described(error)
            continue
        if effect is not None and kind is not None:
            effects[run], kinds[run] = effect, kind
    return effects, kinds, failures


def _kind(hypothesis: Hypothesis, results: Results) -> str | None:
    if hypothesis.about == GROKKING:
        return "that do not" if results.grokking_step is None else "that grok"
    if hypothesis.about != GROUPS or hypothesis.group is None:
        return ""
    kind = hypothesis.group(results)
    if kind is not None and kind not in hypothesis.groups:
        raise ValueError(f"group must be one of {list(hypothesis.groups)} or None, got {kind!r}")
    return kind


def _effect(outcome: Any) -> float | None:
    if outcome is None:
        return None
    effect = float(outcome)
    if math.isinf(effect):
        raise ValueError("a hypothesis must return a finite number or None, got an infinite one")
    return None if math.isnan(effect) else effect


def _over_runs(plain: Verdict, confidence: float) -> Verdict:
    """Test whether the effect is positive in more than half of the runs; zero says nothing either way."""
    if not plain.effects:
        return replace(plain, text="no run has anything to say to it", numbers={"runs": 0})
    import numpy as np
    import scipy.stats

    effects = np.array(list(plain.effects.values()))
    held, told = int((effects > 0).sum()), int((effects != 0).sum())
    effect = Mean.of(effects.tolist(), confidence)
    numbers: dict[str, float] = {"runs": len(effects), "hold": held, "effect": float(effects.mean())}
    numbers |= {"effect_low": effect.low, "effect_high": effect.high}
    if told:
        done = scipy.stats.binomtest(held, told, 0.5, alternative="greater")
        low, high = scipy.stats.binomtest(held, told).proportion_ci(confidence, method="exact")
        numbers |= {"share": held / told, "low": float(low), "high": float(high), "p": float(done.pvalue)}
    runs = f"{len(effects)} run" + ("s" if len(effects) > 1 else "")
    shown = _interval(effect.low, effect.high)
    return replace(
        plain,
        numbers=numbers,
        text=f"holds in {held} of {runs}, mean effect {numbers['effect']:.3g}{shown}",
    )


def _between(
    plain: Verdict, kinds: Mapping[str, str], groups: Sequence[str], confidence: float, seed: int
) -> Verdict:
    """Test whether the value is larger in the runs of the first kind than in those of the second."""
    import numpy as np

    from grokscope.statistics.estimates import FEWEST_OF_EACH

    values = [
        np.array([plain.effects[run] for run, kind in kinds.items() if kind == group]) for group in groups
    ]
    first, second = map(len, values)
    numbers: dict[str, float] = {"runs": first + second, "first": first, "second": second}
    words = f"{first} runs {groups[0]}, {second} {groups[1]}"
    if min(first, second) < FEWEST_OF_EACH:
        text = f"too few to compare, {FEWEST_OF_EACH} of each at least: {words}"
        return replace(plain, numbers=numbers, text=text)
    from grokscope.statistics.estimates import superiority

    found = superiority(values[0], values[1], confidence, seed)
    numbers |= {"share": found.value, "low": found.low, "high": found.high, "p": found.p}
    return replace(
        plain, numbers=numbers, text=f"AUROC {found.value:.2f}{_interval(found.low, found.high)}; {words}"
    )


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) or math.isnan(high) else f" ({low:.3g} … {high:.3g})"


def _decided(tested: Sequence[Verdict]) -> list[Verdict]:
    """Correct the p-values over all hypotheses that have one, and decide."""
    ps = [verdict.numbers.get("p", math.nan) for verdict in tested]
    count = sum(not math.isnan(p) for p in ps)
    if not count:
        return list(tested)
    return [
        verdict if math.isnan(p) else _decide(verdict, p, adjusted, count)
        for verdict, p, adjusted in zip(tested, ps, holm(ps), strict=True)
    ]


def _decide(verdict: Verdict, p: float, adjusted: float, count: int) -> Verdict:
    numbers = {**verdict.numbers, "p_adjusted": adjusted}
    decision = UNDECIDED
    if numbers["high"] < STRONG:
        decision = NOT_SUPPORTED
    elif adjusted < SIGNIFICANT and numbers["share"] >= STRONG:
        decision = SUPPORTED
    words = f"p = {p:.2g}" + (f", corrected for {count}: {adjusted:.2g}" if count > 1 else "")
    return replace(verdict, verdict=decision, numbers=numbers, text=f"{verdict.text}; {words}")
