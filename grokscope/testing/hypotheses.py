"""The contract of a hypothesis: it never raises, and noise does not support it, on whatever checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.stats

from grokscope.hypothesis import GROKKING, GROUPS, PAIRS, Hypothesis
from grokscope.measure import Column
from grokscope.results import ColumnName, Comparison, Results
from grokscope.statistics.judging import ask
from grokscope.statistics.verdicts import verdicts

Courses = Callable[[np.ndarray, np.random.RandomState], np.ndarray]

SIGNIFICANT = 0.05
MOST = 0.05  # of repetitions may noise be significant in
CAUTION = 0.001  # a contract that is kept is found broken so rarely, in each of the trials
EACH = 10  # runs of either kind
LAST = 3500
EARLIEST, LATEST = 0.02, 0.9  # of the last step: runs memorise and grok between these
JITTER = 0.1  # of these steps, from run to run


def check_hypothesis(
    hypothesis: Hypothesis, *, repetitions: int = 40, config: Mapping[str, Any] | None = None
) -> None:
    """Check that a hypothesis keeps what every one promises; raise AssertionError naming what it does not.

    It says what it is about and what it compares; on runs that never memorise, never grok, grok at once or
    have one checkpoint, and on columns of NaN and of zeros, it returns a finite number or None and does not
    raise; and it gives the same again.

    Noise does not support it: of `repetitions` comparisons of ten runs with ten, p of `verdicts` is below
    0.05 in at most 5 % (more than a sampling error above that fails: of the usual 40, eight or more). The
    columns are white noise, and random walks over the steps that spread to a factor of e or of e^3; the ten
    and the ten have as many checkpoints, 141 against 31, 31 against 141, or even against log-spaced ones.
    When runs memorise and grok is drawn for each comparison; those that a claim about grokking is compared
    with do not grok, and of a claim about groups the ten and the ten are the two; of one about pairs the runs
    of each ten have seeds of their own. A hypothesis that reads accuracies alone has no column for noise.

    Args:
        hypothesis: what `@hypothesis` made.
        repetitions: how many comparisons for each kind of noise and checkpoints.
        config: a configuration of the runs, where the hypothesis looks only at runs that were trained in one
            way; of one that has nothing to say to any run nothing would be checked.
    """
    assert hypothesis.help.strip(), f"{hypothesis.name} must have a docstring that says what is compared"
    assert hypothesis.source.strip(), f"{hypothesis.name} must have a source"
    given = {"training": {}, **(config or {})}
    _check_edges(hypothesis, given)
    for name, courses in NOISES.items() if hypothesis.columns else ():
        for grids, steps in GRIDS.items():
            _check_noise(hypothesis, f"{name} ({grids})", courses, steps, repetitions, given)


def _check_edges(hypothesis: Hypothesis, config: Mapping[str, Any]) -> None:
    draw, steps = np.random.RandomState(0), np.arange(0, 1001, 10)
    noise = {name: draw.random_sample(len(steps)) for name in hypothesis.columns}
    courses = [noise, *({name: np.full(len(steps), v) for name in noise} for v in (0.0, math.nan))]
    for columns in courses:
        for memorised, grokked in ((50, 400), (50, None), (None, None), (50, 50), (400, 50), (1000, None)):
            for length in (len(steps), 1):
                run = _results(steps[:length], columns, memorised, grokked, config)
                runs = [run] * (len(hypothesis.groups) if hypothesis.about == PAIRS else 1)
                where = f"{hypothesis.name} (memorised {memorised}, grokked {grokked}, {length} checkpoints)"
                found = [repr(ask(hypothesis, *runs)) for _ in range(2)]
                assert found[0] == found[1], f"{where} must give the same result twice"


def _white(steps: np.ndarray, draw: np.random.RandomState) -> np.ndarray:
    return np.abs(draw.standard_normal(len(steps)))


def _walk(spread: float) -> Courses:
    """A random walk over the steps, as an exponent: measures are seldom negative."""

    def course(steps: np.ndarray, draw: np.random.RandomState) -> np.ndarray:
        apart = np.sqrt(np.diff(steps, prepend=0) / steps[-1])
        return np.exp(spread * np.cumsum(apart * draw.standard_normal(len(steps))))

    return course


def _even(count: int, last: int = LAST) -> np.ndarray:
    return np.linspace(0, last, count).astype(int)


_SPACED = np.unique(np.concatenate([[0], np.geomspace(5, LAST, 60).astype(int)]))

NOISES: Mapping[str, Courses] = {
    "white noise": _white,
    "random walks": _walk(1.0),
    "wide random walks": _walk(3.0),
}
GRIDS: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
    "equal checkpoints": (_even(101), _even(101)),
    "141 checkpoints against 31": (_even(141), _even(31, 600)),
    "31 checkpoints against 141": (_even(31, 600), _even(141)),
    "log-spaced checkpoints against even ones": (_SPACED, _even(71)),
}


def _check_noise(
    hypothesis: Hypothesis,
    noise: str,
    courses: Courses,
    grids: Sequence[np.ndarray],
    repetitions: int,
    config: Mapping[str, Any],
) -> None:
    draw, supported, told = np.random.RandomState(1), 0, 0
    asked = _of_groups(hypothesis)
    for _ in range(repetitions):
        runs = {each.run: each for each in _noisy_runs(asked, courses, grids, draw, config)}
        (verdict,) = verdicts(Comparison(runs=runs, settings={}, failed={}), [asked])
        assert not verdict.failures, f"{hypothesis.name} fails on {noise}: {verdict.text}"
        supported += verdict.numbers.get("p", 1.0) < SIGNIFICANT
        told += bool(verdict.effects)
    assert told, (
        f"{hypothesis.name} must have something to say to one of the runs of {noise} at least; where it is "
        "about runs trained in some way, hand that over: config="
    )
    by_chance = scipy.stats.binomtest(supported, repetitions, MOST, alternative="greater").pvalue
    assert by_chance > CAUTION, (
        f"{hypothesis.name} is supported in {supported} of {repetitions} comparisons of {noise}: noise would "
        f"support it, where it may in {MOST:.0%}"
    )


def _of_groups(hypothesis: Hypothesis) -> Hypothesis:
    """The hypothesis, with made-up groups where it compares some."""
    if hypothesis.about not in (GROUPS, PAIRS):
        return hypothesis
    return replace(hypothesis, group=lambda results: hypothesis.groups[int(results.run.split()[0])])


def _noisy_runs(
    hypothesis: Hypothesis,
    courses: Courses,
    grids: Sequence[np.ndarray],
    draw: np.random.RandomState,
    config: Mapping[str, Any],
) -> Iterator[Results]:
    usual = np.exp(np.sort(draw.uniform(math.log(EARLIEST), math.log(LATEST), size=2)))
    kinds = max(len(hypothesis.groups), len(grids))
    for kind in range(kinds):
        steps = grids[min(kind, len(grids) - 1)]
        for number in range(EACH):
            memorised, grokked = (steps[-1] * usual * draw.uniform(1 - JITTER, 1 + JITTER, size=2)).astype(
                int
            )
            never = hypothesis.about == GROKKING and kind == 1
            columns = {name: courses(steps, draw) for name in hypothesis.columns}
            run = _results(steps, columns, memorised, None if never else grokked, config)
            training = {
                **config.get("training", {}),
                **({"seed": number} if hypothesis.about == PAIRS else {}),
            }
            yield replace(run, run=f"{kind} {number}", config={**config, "training": training})


def _results(
    steps: np.ndarray,
    columns: Mapping[str, np.ndarray],
    memorised: int | None,
    grokked: int | None,
    config: Mapping[str, Any],
) -> Results:
    """Return a run's results with courses of one's own, memorised and grokked at the given steps."""
    reached = {"train_accuracy": memorised, "test_accuracy": grokked}
    accuracies = {
        name: np.where(steps >= (math.inf if at is None else at), 1.0, 0.1) for name, at in reached.items()
    }
    losses = {name.replace("accuracy", "loss"): 1 - values for name, values in accuracies.items()}
    return Results(
        run="example",
        columns={
            "step": steps.tolist(),
            **{name: values[: len(steps)].tolist() for name, values in columns.items()},
        },
        declared={name: Column(ColumnName.read(name).column, "an example") for name in columns},
        memorisation_step=memorised,
        grokking_step=grokked,
        curve={"step": steps, **accuracies, **losses},
        config=config,
    )
