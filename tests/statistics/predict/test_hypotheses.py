"""Every built-in hypothesis on courses that satisfy it, contradict it, and say nothing."""

import numpy as np
import pytest

from grokscope import load_plugins, verdicts
from grokscope.testing import check_hypothesis

HYPOTHESES = load_plugins().hypotheses
STEPS = np.arange(0, 1001, 10)  # memorised at 50, grokked at 400
LOG = np.log10(1 + STEPS)
PEAK = np.exp(-(((STEPS - 200) / 80) ** 2))
LATE = np.where(STEPS >= 300, 1.0, 0.1)
FLAT = np.full(len(STEPS), 0.5)
PERTURBED = {"perturb": [0.5, 0.4]}

# name: columns that satisfy it, columns that contradict it, options of the runs
EACH_RUN = {
    "early_synergy_peak": ({"oinfo.synergy": PEAK}, {"oinfo.synergy": LOG}, {}),
    "cd_falls": ({"cd.cd": 9 - LOG}, {"cd.cd": LOG}, {}),
    "norm_not_needed": ({"weight_norm.l2_all": 1 + LOG}, {"weight_norm.l2_all": 9 - LOG}, {}),
    "mid_small_or_falling_early": ({"mid.mid": 0.1 + 0.9 * (STEPS > 50)}, {"mid.mid": FLAT}, {}),
    "ed_small_or_falling_early": ({"ed.ed": 0.01 + (STEPS < 20)}, {"ed.ed": 1 + LOG / 9}, {}),
    "weight_entropy_falls": (
        {"weight_entropy.total": 9 - LOG},
        {"weight_entropy.total": 1 + LOG},
        {},
    ),
    "sparsity_plateaus_before": (
        {"activation_sparsity.mean": 1 - np.exp(-STEPS / 40)},
        {"activation_sparsity.mean": STEPS / 1000},
        {},
    ),
    "generalises_with_growing_norm": (
        {"weight_norm.l2_all": 1 + LOG},
        {"weight_norm.l2_all": 9 - LOG},
        {"training": {"anti_norm": 2e-10}},
    ),
    "agreement_late_when_plain": (
        {"abelian.agreement:train": LATE},
        {"abelian.agreement:train": np.where(STEPS >= 40, 1.0, 0.1)},
        {},
    ),
}
BETWEEN = {
    "synergy_peak_tells": ({"oinfo.synergy": PEAK}, {"oinfo.synergy": 9 * LOG}, {}, {"grok": None}),
    "agreement_early_when_perturbed": (
        {"abelian.agreement:train": LATE + 0.5},
        {"abelian.agreement:train": LATE},
        {"training": PERTURBED},
        {},
    ),
}


def test_all_are_tried_here():
    assert set(HYPOTHESES) == set(EACH_RUN) | set(BETWEEN)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("grokscope.statistics.estimates.BOOTSTRAPS", 99)


@pytest.mark.parametrize("repetitions", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", HYPOTHESES)
def test_they_keep_the_contract(name, repetitions):
    options = EACH_RUN.get(name, BETWEEN.get(name))[2]
    config = {"training": options.get("training", {})} if name in EACH_RUN else None
    check_hypothesis(HYPOTHESES[name], repetitions=repetitions, config=config)


def test_noise_on_unequal_checkpoints_supports_no_early_peak(make_run, compare):
    """141 checkpoints have a higher maximum than 31: read as they were, 19 of 60 were supported."""
    hypothesis, draw, supported = {"it": HYPOTHESES["synergy_peak_tells"]}, np.random.default_rng(0), 0
    for _ in range(60):
        runs = []
        for number in range(20):
            groks = number < 10
            at = np.arange(0, 3501, 25) if groks else np.arange(0, 601, 20)
            course = {"oinfo.synergy": draw.normal(size=len(at))}
            last = int(at[-1])
            runs.append(make_run(f"r{number}", grok=400 if groks else None, last=last, at=at, columns=course))
        supported += verdicts(compare(runs), hypothesis)[0].verdict == "supported"
    assert supported <= 3


def jittered(columns, number):
    return {name: course + 1e-4 * number for name, course in columns.items()}


@pytest.mark.parametrize("name", EACH_RUN)
def test_what_each_run_says(name, make_run, compare):
    satisfies, contradicts, options = EACH_RUN[name]
    hypothesis = {name: HYPOTHESES[name]}

    def verdict(columns):
        runs = [make_run(f"r{n}", columns=jittered(columns, n), **options) for n in range(6)]
        return verdicts(compare(runs), hypothesis)[0].verdict

    assert verdict(satisfies) == "supported"
    assert verdict(contradicts) == "not supported"
    say_nothing = [
        make_run("never memorised", columns=satisfies, grok=None, mem=None, **options),
        make_run("one checkpoint", columns={key: [1.0] for key in satisfies}, at=[0], **options),
    ]
    if name not in (
        "generalises_with_growing_norm",
        "mid_small_or_falling_early",
        "ed_small_or_falling_early",
    ):
        say_nothing.append(make_run("never grokked", columns=satisfies, grok=None, **options))
        say_nothing.append(make_run("at once", columns=satisfies, grok=50, mem=50, **options))
    if name == "generalises_with_growing_norm":
        say_nothing.append(make_run("plain", columns=satisfies))
    if name == "agreement_late_when_plain":
        say_nothing.append(make_run("perturbed", columns=satisfies, training=PERTURBED))
    for run in say_nothing:
        (found,) = verdicts(compare([run]), hypothesis)
        assert not found.effects, run.run
        assert not found.failures, run.run
        assert found.verdict == "undecided"


@pytest.mark.parametrize("name", BETWEEN)
def test_what_two_kinds_of_runs_say(name, make_run, compare):
    high, low, first, second = BETWEEN[name]
    hypothesis = {name: HYPOTHESES[name]}

    def verdict(upper, lower, count=5):
        runs = [make_run(f"a{n}", columns=jittered(upper, n), **first) for n in range(count)]
        runs += [make_run(f"b{n}", columns=jittered(lower, n), **second) for n in range(count)]
        return verdicts(compare(runs), hypothesis)[0].verdict

    assert verdict(high, low) == "supported"
    assert verdict(low, high) == "not supported"
    assert verdict(high, low, 1) == "undecided"
    (found,) = verdicts(compare([make_run("only one kind", columns=high, **first)]), hypothesis)
    assert found.verdict == "undecided"


def test_the_height_of_a_peak_does_not_matter_and_without_synergy_there_is_none(make_run):
    def tells(course):
        return HYPOTHESES["synergy_peak_tells"](make_run(columns={"oinfo.synergy": course}))

    assert tells(PEAK) == pytest.approx(tells(PEAK / 9)) == pytest.approx(1)
    assert tells(LOG) < 0
    assert tells(0 * LOG) == tells(-1 - PEAK) == 0
