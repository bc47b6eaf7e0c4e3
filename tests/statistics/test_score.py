"""score finds the lead that was put in, calls what only follows the norm confounded, and noise nothing."""

import json
import math

import numpy as np
import pytest

from grokscope import SettingError, UnknownName, score
from grokscope.statistics.score import RULES

NORM = "weight_norm.l2_all"
RUNS = 8


@pytest.fixture(scope="module")
def planted(make):
    """Eight runs: accuracy changes near 800, `early` at half of that, `late` at one and a half times, `copy`
    with it; `follower` is the norm and noise, and only through the norm goes with accuracy."""
    runs, middles = [], []
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        middle = int(800 * (1 + 0.05 * rng.normal()))
        middles.append(middle)
        norm = 50 - 20 * make.sigmoid(500, 0.3) + 2 * make.smooth(rng)
        ranks = (norm - norm.mean()) / norm.std()
        accuracy = make.sigmoid(middle)
        columns = {
            NORM: norm,
            "early.value": 3 + 5 * make.sigmoid(middle / 2) + 0.05 * make.smooth(rng),
            "late.value": -40 * make.sigmoid(middle * 1.5, 0.02) + 0.3 * make.smooth(rng),
            "copy.value": 1e-9 * accuracy,
            "follower.value": -ranks + 0.1 * rng.normal(size=len(norm)),
            "noise.value": rng.normal(size=len(norm)),
            "walk.value": np.cumsum(rng.normal(size=len(norm))),
            "peaked.value": make.sigmoid(middle / 2, 0.03) - 0.8 * make.sigmoid(middle, 0.03),
            "constant.value": np.full(len(norm), 7.0),
            "nothing.value": np.full(len(norm), np.nan),
        }
        runs.append(make.results(columns, accuracy, peak=["peaked.value"]))
    return make.comparison(runs), middles


@pytest.fixture(scope="module")
def scores(planted):
    return score(planted[0])


def by_column(scores):
    return {summary.column: summary for summary in scores.summaries}


def test_the_lead_is_found_within_one_checkpoint(planted, scores, make):
    middles = planted[1]
    spacing = make.steps[1]

    def checkpoint(step):
        return math.ceil(step / spacing)  # the first one at or after it

    for row in scores.rows:
        middle = middles[int(row.run[1:])]
        assert row.memorisation_step == make.memorised
        assert abs(checkpoint(scores.reference[row.run]) - checkpoint(middle)) <= 1
        if row.column in ("early.value", "copy.value", "late.value"):
            factor = {"early.value": 0.5, "copy.value": 1, "late.value": 1.5}[row.column]
            assert abs(checkpoint(row.transition_step) - checkpoint(factor * middle)) <= 1, row
            assert row.lead == row.grokking_step - row.transition_step
            assert row.log_lead == pytest.approx(math.log10(row.grokking_step / row.transition_step))
            assert row.ahead == pytest.approx(math.log10(scores.reference[row.run] / row.transition_step))
    exact = [row for row in scores.rows if row.column == "copy.value"]
    assert [row.transition_step for row in exact] == list(scores.reference.values())


def test_verdicts(scores):
    found = by_column(scores)
    verdicts = {name: summary.verdict for name, summary in found.items()}
    assert verdicts == {
        NORM: verdicts[NORM],
        "early.value": "leads",
        "late.value": "lags",
        "copy.value": "coincides",
        "follower.value": "confounded",
        "noise.value": "undecided",
        "walk.value": "undecided",
        "peaked.value": "leads",
        "constant.value": "undecided",
        "nothing.value": "undecided",
    }
    assert verdicts[NORM] != "confounded", "the control is not held against itself"
    early = found["early.value"]
    assert early.ahead_low <= math.log10(2) <= early.ahead_high + 0.01
    assert early.ahead == pytest.approx(math.log10(2), abs=0.02)
    assert (early.before, early.clear, early.censored, early.runs) == (RUNS, RUNS, 0, RUNS)
    assert early.sign_p == pytest.approx(2 ** (1 - RUNS))
    assert early.sign_p_adjusted > early.sign_p
    follower = found["follower.value"]
    assert follower.spearman > 0.5
    assert follower.partial_low < 0 < follower.partial_high
    assert early.partial_low > 0
    assert found["peaked.value"].shape == "peak"
    assert set(verdicts.values()) <= set(RULES)


def test_noise_gets_no_claim(make):
    """Of 5 sweeps of 6 runs with a white, a drifting and a trembling column none says anything."""
    for sweep in range(5):
        rng = np.random.default_rng(sweep)
        runs = []
        for _ in range(6):
            middle = int(800 * (1 + 0.1 * rng.normal()))
            size = len(make.steps)
            columns = {
                NORM: rng.normal(size=size),
                "white.value": rng.normal(size=size),
                "walk.value": np.cumsum(rng.normal(size=size)),
                "smooth.value": make.smooth(rng),
            }
            runs.append(make.results(columns, make.sigmoid(middle)))
        for summary in score(make.comparison(runs)).summaries:
            assert summary.verdict == "undecided", (sweep, summary)


def test_the_very_ranks_of_the_control_are_confounded(make):
    runs = []
    for seed in range(5):
        accuracy = make.sigmoid(700 + 20 * seed)
        norm = 10 - accuracy + 0.001 * make.smooth(np.random.default_rng(seed))
        runs.append(make.results({NORM: norm, "double.value": np.exp(norm)}, accuracy))
    found = by_column(score(make.comparison(runs)))["double.value"]
    assert math.isnan(found.partial)
    assert found.verdict == "confounded"


def test_a_constant_norm_confounds_nothing(make):
    runs = [
        make.results(
            {NORM: np.full(len(make.steps), 5.0), "early.value": make.sigmoid(350 + 10 * seed)},
            make.sigmoid(700 + 20 * seed),
        )
        for seed in range(5)
    ]
    found = by_column(score(make.comparison(runs)))["early.value"]
    assert found.partial == pytest.approx(found.spearman)
    assert found.verdict == "leads"


def test_censored_runs_are_counted_and_left_out(planted, scores, make):
    comparison, _ = planted
    never = make.results(
        {NORM: make.sigmoid(500), "early.value": make.sigmoid(1500)}, np.zeros(len(make.steps))
    )
    runs = [*comparison.runs.values(), never, never]
    asked = ["early.value"]
    more = score(make.comparison(runs), columns=asked)
    with_them, alone = by_column(more)["early.value"], by_column(scores)["early.value"]
    assert (with_them.runs, with_them.censored) == (RUNS + 2, 2)
    assert with_them.ahead == alone.ahead
    row = next(row for row in more.rows if row.run == f"s{RUNS}")
    assert row.grokking_step is None
    assert row.transition_step is not None
    assert math.isnan(row.lead)
    assert math.isnan(row.log_lead)
    assert any("2 of 10 runs never grok" in note for note in more.notes)
    only = score(make.comparison([never]))
    assert only.notes[0].startswith("no run groks")
    assert {summary.verdict for summary in only.summaries} == {"undecided"}


def test_thresholds_are_what_is_asked_for(planted, make):
    comparison, _ = planted
    comparison, asked = make.comparison(list(comparison.runs.values())[:1]), ["early.value"]
    strict = score(comparison, columns=asked, test=0.999).rows[0]
    usual = score(comparison, columns=asked).rows[0]
    assert strict.grokking_step > usual.grokking_step
    never = score(comparison, columns=asked, train=1.0, test=1.0).rows[0]
    assert never.grokking_step is None


def test_one_run_and_few_runs_describe_and_claim_nothing(planted, make):
    runs = list(planted[0].runs.values())
    one = score(make.comparison(runs[:1]))
    assert any(row.transition_step is not None for row in one.rows)
    assert {summary.verdict for summary in one.summaries} == {"undecided"}
    assert all(math.isnan(summary.ahead_low) for summary in one.summaries)
    assert any("one run describes and proves nothing" in note for note in one.notes)
    four = score(make.comparison(runs[:4]))
    assert {summary.verdict for summary in four.summaries} == {"undecided"}
    assert any("too few" in note for note in four.notes)


def test_what_happens_while_it_memorises_is_left_out_unless_asked_for(make):
    jump = 5.0 * (make.steps >= 50) + 0.5 * make.sigmoid(500)
    runs = [
        make.results({NORM: make.sigmoid(300), "jump.value": jump}, make.sigmoid(800 + at)) for at in range(5)
    ]
    comparison = make.comparison(runs)
    steps = {row.transition_step for row in score(comparison, columns=["jump.value"]).rows}
    assert all(abs(step - 500) <= 10 for step in steps)
    steps = {row.transition_step for row in score(comparison, columns=["jump.value"], since="start").rows}
    assert steps == {50}


def test_which_columns_are_scored(make):
    size = len(make.steps)
    columns = {
        NORM: np.arange(size),
        "weight_norm.l2:first": np.arange(size),
        "layered.value:a": np.arange(size),
        "words.method": ["exact"] * size,
    }
    comparison = make.comparison([make.results(columns, make.sigmoid(800), text=["words.method"])])
    assert {row.column for row in score(comparison).rows} == {NORM, "layered.value:a"}
    assert len(score(comparison, per_layer=True).rows) == 3
    assert [row.column for row in score(comparison, columns=["weight_norm.l2:first"]).rows] == [
        "weight_norm.l2:first"
    ]
    with pytest.raises(UnknownName, match=r"unknown column 'words.method'"):
        score(comparison, columns=["words.method"])
    with pytest.raises(UnknownName, match=r"did you mean weight_norm.l2_all"):
        score(comparison, control="weight_norm.l2")


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 1.1}, {"confidence": 1.0}, {"train": math.nan}])
def test_bounds_are_said(planted, wrong):
    with pytest.raises(SettingError, match=f"{next(iter(wrong))} must be above 0"):
        score(planted[0], **wrong)


def test_a_run_without_a_curve_has_no_correlations(make):
    from dataclasses import replace

    run = make.results({NORM: make.sigmoid(300)}, make.sigmoid(800))
    row = score(make.comparison([replace(run, curve={}, grokking_step=900)])).rows[0]
    assert row.grokking_step == 900
    assert math.isnan(row.spearman)
    assert math.isnan(row.ahead)


def test_it_is_the_same_twice_and_plain_data(planted, scores):
    from grokscope.report.text import json_text

    first, again = scores, score(planted[0])
    assert json_text(first.as_dict()) == json_text(again.as_dict())
    back = json.loads(json_text(first.as_dict()))
    assert back["rows"][0]["column"] == NORM
    assert len(first.columns()["run"]) == len(first.rows)
