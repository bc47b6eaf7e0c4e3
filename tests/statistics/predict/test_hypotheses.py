"""Every built-in hypothesis on courses that satisfy it, contradict it, and say nothing."""

import numpy as np
import other_papers
import pytest

from grokscope import load_plugins, verdicts
from grokscope.testing import check_hypothesis

HYPOTHESES = load_plugins().hypotheses
STEPS = np.arange(0, 1001, 10)  # memorised at 50, grokked at 400
LOG = np.log10(1 + STEPS)
PEAK = np.exp(-(((STEPS - 200) / 80) ** 2))
LATE = np.where(STEPS >= 300, 1.0, 0.1)
FLAT = np.full(len(STEPS), 0.5)
NORM, AGREEMENT, DISTANCE = "weight_norm.l2_all", "abelian.agreement:train", "abelian.logit_distance:train"
STEADY = {NORM: 9 - 8 * STEPS / 1000}  # beside what is timelier
SUDDEN = np.where(STEPS >= 400, 1.0, 0.1)
EARLY = np.where(STEPS >= 40, 1.0, 0.1)
AFTER = np.where(STEPS >= 500, 1.0, 0.1)

# name: columns that satisfy it, columns that contradict it, how the runs are trained
EACH_RUN = {
    "early_synergy_peak": ({"oinfo.synergy": PEAK}, {"oinfo.synergy": LOG}, {}),
    "cd_falls": ({"cd.cd": 9 - LOG}, {"cd.cd": LOG}, {}),
    "l2_falls": ({NORM: 9 - LOG}, {NORM: 1 + LOG}, {}),
    "l2_falls_first": ({NORM: 9 - LOG}, {NORM: 9 - SUDDEN * STEPS / 1000}, {}),
    "norm_not_needed": ({NORM: 1 + LOG}, {NORM: 9 - LOG}, {}),
    "norm_rises": ({NORM: 1 + LOG}, {NORM: 9 - LOG}, {"anti_norm": 2e-10}),
    "perturbation_error_falls": (
        {"perturbation_error.mean": 9 - LOG},
        {"perturbation_error.mean": LOG},
        {},
    ),
    "sharpness_falls": ({"sharpness.trace": 9 - LOG}, {"sharpness.trace": LOG}, {}),
    "pmi_timely": ({"pmi.pmi": SUDDEN, **STEADY}, {"pmi.pmi": LATE, **STEADY}, {}),
    "pe_timely": ({"pe.pe": SUDDEN, **STEADY}, {"pe.pe": LATE, **STEADY}, {}),
    "pmi_timelier_than_labels": (
        {"pmi.pmi": SUDDEN, "pmi_label.pmi_label": np.where(STEPS >= 150, 1.0, 0.1)},
        {"pmi.pmi": np.where(STEPS >= 150, 1.0, 0.1), "pmi_label.pmi_label": SUDDEN},
        {},
    ),
    "mid_small_or_falling_early": ({"mid.mid": 0.05 + 0.01 * (STEPS > 50)}, {"mid.mid": FLAT}, {}),
    "ed_small_or_falling_early": ({"ed.ed": 0.01 + (STEPS < 20)}, {"ed.ed": 1 + LOG / 9}, {}),
    "weight_entropy_falls": (
        {"weight_entropy.total": 9 - AFTER},
        {"weight_entropy.total": 9 - LOG},  # most of it while the network overfits
        {},
    ),
    "weight_entropy_still_before": (
        {"weight_entropy.total": 9 - AFTER},
        {"weight_entropy.total": 9 - LATE},
        {},
    ),
    "circuit_complexity_falls": (
        {"circuit_complexity.kl_mean": 9 - LOG},
        {"circuit_complexity.kl_mean": LOG},
        {},
    ),
    "sparsity_plateaus_before": (
        {"activation_sparsity.mean": 1 - np.exp(-STEPS / 20)},
        {"activation_sparsity.mean": STEPS / 1000},
        {},
    ),
    "agreement_late_when_plain": ({AGREEMENT: SUDDEN / 2 + LATE / 3}, {AGREEMENT: EARLY}, {}),
    "agreement_early_when_perturbed": ({AGREEMENT: EARLY}, {AGREEMENT: LATE}, {"perturb": [0.5, 0.4]}),
    "distance_rests_when_plain": ({DISTANCE: 100 * np.exp(-STEPS / 100)}, {DISTANCE: 1 + LOG}, {}),
    **other_papers.EACH_RUN,
}
BETWEEN = {
    "synergy_peak_tells": ({"oinfo.synergy": PEAK}, {"oinfo.synergy": 9 * LOG}, {}, {"grok": None}),
    **other_papers.BETWEEN,
}
# Those that accuracies decide: options of runs that satisfy and contradict it, how they are trained.
ACCURACIES = {
    "generalises_with_rising_norm": ({"grok": 400}, {"grok": None}, {"anti_norm": 2e-10}),
    "no_delay": ({"grok": 55}, {"grok": 400}, {"dropout": 0.3}),
    **other_papers.OF_OPTIONS,
}
PERTURBED = {"perturb": [0.5, 0.4]}
RESTLESS, CALM = ({"columns": {DISTANCE: course}} for course in (2 + np.sin(STEPS), 9 - LOG))
# Of runs of one seed: how those of either kind are trained, options of both that satisfy it, and that
# contradict it.
SIDE_BY_SIDE = {
    "sooner_when_perturbed": (
        PERTURBED,
        {},
        ({"grok": 200}, {"grok": 600}),
        ({"grok": 600}, {"grok": 200}),
    ),
    "distance_restless_when_perturbed": (PERTURBED, {}, (RESTLESS, CALM), (CALM, RESTLESS)),
    **other_papers.SIDE_BY_SIDE,
}


def test_all_are_tried_here():
    assert set(HYPOTHESES) == {*EACH_RUN, *BETWEEN, *ACCURACIES, *SIDE_BY_SIDE}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("grokscope.statistics.estimates.BOOTSTRAPS", 99)


def often(name, slowly):
    if slowly:
        return pytest.param(name, 200, marks=pytest.mark.slow)
    return name, (
        5 if name in other_papers.NAMES else 8
    )  # 4 of 8 are too many, as 5 of 10 are: found as often


@pytest.mark.parametrize(
    ("name", "repetitions"), [often(name, slowly) for slowly in (False, True) for name in HYPOTHESES]
)
def test_they_keep_the_contract(name, repetitions):
    config = {"training": {**EACH_RUN, **ACCURACIES}[name][2]} if name in {**EACH_RUN, **ACCURACIES} else None
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
        (found,) = verdicts(compare(runs), hypothesis)
        supported += found.verdict == "held" and found.numbers["p"] < 0.05
    assert supported <= 3


def jittered(columns, number):
    return {name: course + 1e-4 * number for name, course in columns.items()}


@pytest.mark.parametrize("name", EACH_RUN)
def test_what_each_run_says(name, make_run, compare):
    satisfies, contradicts, training = EACH_RUN[name]
    hypothesis = {name: HYPOTHESES[name]}

    def verdict(columns):
        runs = [make_run(f"r{n}", columns=jittered(columns, n), training=training) for n in range(6)]
        return verdicts(compare(runs), hypothesis)[0].verdict

    assert verdict(satisfies) == "held"
    assert verdict(contradicts) == "did not hold"
    say_nothing = [
        make_run("never memorised", columns=satisfies, grok=None, mem=None, training=training),
    ]
    if HYPOTHESES[name].groups == ("that grok",):
        say_nothing.append(make_run("never grokked", columns=satisfies, grok=None))
        say_nothing.append(make_run("at once", columns=satisfies, grok=50, mem=50))
    elif HYPOTHESES[name].groups:
        others = {"dropout": 0.2} if training == {} else {}
        say_nothing.append(make_run("trained in another way", columns=satisfies, training=others))
    if name in ("sharpness_falls", "distance_rests_when_plain"):
        say_nothing = say_nothing[1:]  # they are about all of training
    for run in say_nothing:
        (found,) = verdicts(compare([run]), hypothesis)
        assert not found.effects, run.run
        assert not found.failures, run.run
        assert found.verdict == "undecided"


@pytest.mark.parametrize("name", ["norm_falls_in_cleanup", "test_loss_falls_with_norm"])
def test_a_norm_that_is_held_says_nothing(name, make_run, compare):
    """What is left of its course is rounding."""
    held = make_run("held", columns=EACH_RUN[name][0], training={"constrain_norm": "drawn"})
    (found,) = verdicts(compare([held]), {name: HYPOTHESES[name]})
    assert not found.effects


@pytest.mark.parametrize("name", ACCURACIES)
def test_what_accuracies_say(name, make_run, compare):
    satisfies, contradicts, training = ACCURACIES[name]

    def verdict(options, training=training):
        runs = [make_run(f"r{n}", training=training, **options) for n in range(6)]
        return verdicts(compare(runs), {name: HYPOTHESES[name]})[0].verdict

    assert verdict(satisfies) == "held"
    assert verdict(contradicts) == "did not hold"
    assert verdict(satisfies, {}) == "undecided"


@pytest.mark.parametrize("name", SIDE_BY_SIDE)
def test_what_runs_of_one_seed_say(name, make_run, compare):
    one, other, satisfy, contradict = SIDE_BY_SIDE[name]

    def verdict(first, second, seeds=(0, 1, 2)):
        runs = [make_run(f"a{n}", training={**one, "seed": n}, **first) for n in seeds]
        runs += [make_run(f"b{n}", training={**other, "seed": n}, **second) for n in range(3)]
        return verdicts(compare(runs), {name: HYPOTHESES[name]})[0].verdict

    assert verdict(*satisfy) == "held"
    assert verdict(*contradict) == "did not hold"
    assert verdict(*satisfy, (7, 8)) == "undecided"


@pytest.mark.parametrize("name", BETWEEN)
def test_what_two_kinds_of_runs_say(name, make_run, compare):
    high, low, first, second = BETWEEN[name]
    hypothesis = {name: HYPOTHESES[name]}

    def verdict(upper, lower, count=5):
        runs = [make_run(f"a{n}", columns=jittered(upper, n), **first) for n in range(count)]
        runs += [make_run(f"b{n}", columns=jittered(lower, n), **second) for n in range(count)]
        return verdicts(compare(runs), hypothesis)[0].verdict

    assert verdict(high, low) == "held"
    assert verdict(low, high) == "did not hold"
    assert verdict(high, low, 1) == "undecided"
    (found,) = verdicts(compare([make_run("only one kind", columns=high, **first)]), hypothesis)
    assert found.verdict == "undecided"


def test_the_height_of_a_peak_does_not_matter_and_without_synergy_there_is_none(make_run):
    def tells(course):
        return HYPOTHESES["synergy_peak_tells"](make_run(columns={"oinfo.synergy": course}))

    assert tells(PEAK) == pytest.approx(tells(PEAK / 9)) == pytest.approx(1)
    assert tells(LOG) < 0
    assert tells(0 * LOG) == tells(-1 - PEAK) == 0
