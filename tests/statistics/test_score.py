"""score finds the lead that was put in, calls what only follows the norm confounded, and noise nothing."""

import json
import math

import numpy as np
import pytest

from grokscope import Comparison, SettingError, UnknownName, score
from grokscope.statistics.score import RULES

NORM = "weight_norm.l2_all"
RUNS = 8


@pytest.fixture(scope="module")
def planted(make):
    """Eight runs in which accuracy changes near 800.

    `early` changes at half of that, `late` at one and a half times, `copy` with it; `follower` is the norm
    and noise, and only through the norm goes with accuracy.
    """
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
            assert (row.change.after, row.change.until) == (
                row.transition_step - spacing,
                row.transition_step,
            )
            assert row.lead == pytest.approx(row.grokking_step - row.transition_step, abs=1)
            assert row.log_lead == pytest.approx(
                math.log10(row.grokking_step / row.transition_step), abs=0.01
            )
            assert row.ahead == pytest.approx(
                math.log10(scores.reference[row.run] / row.transition_step), abs=0.01
            )
            assert row.ahead_low < row.ahead < row.ahead_high
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
    assert early.ahead.contains(math.log10(2))
    assert early.ahead.mean == pytest.approx(math.log10(2), abs=0.015)
    assert (early.before, early.clear, early.censored, early.runs) == (RUNS, RUNS, 0, RUNS)
    assert early.p.signs == pytest.approx(2 ** (1 - RUNS))
    assert early.p.signs_adjusted > early.p.signs
    follower = found["follower.value"]
    assert follower.correlations.spearman.mean > 0.5
    assert follower.correlations.partial.contains(0)
    assert early.correlations.partial.low > 0
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


def test_a_twin_of_the_control_is_called_so(make):
    """The very ranks, whatever the measure; nearly them, where it is another column of the control's."""
    runs = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        accuracy = make.sigmoid(700 + 20 * seed)
        norm = 10 - accuracy + 0.001 * make.smooth(rng)
        near = norm + 0.002 * make.smooth(rng)
        columns = {NORM: norm, "double.value": np.exp(norm), "weight_norm.l1": near, "near.value": near}
        runs.append(make.results(columns, accuracy))
    scores = score(make.comparison(runs))
    found = by_column(scores)
    assert 0.95 < found["weight_norm.l1"].correlations.with_control.mean < 0.999
    verdicts = {name: found[name].verdict for name in found}
    assert verdicts["double.value"] == verdicts["weight_norm.l1"] == "twin"
    assert "twin" not in (verdicts[NORM], verdicts["near.value"])
    assert math.isnan(found["double.value"].correlations.partial.mean)
    assert "rank correlation with weight_norm.l2_all is +1.00" in found["double.value"].judgement.why
    assert found["double.value"].judgement.reason == "rho +1.00"
    # Twins are told from one run too: it is no claim about runs.
    assert by_column(score(make.comparison(runs[:1])))["double.value"].verdict == "twin"


def test_a_change_where_the_search_begins_is_unresolved(make):
    """Memorised at 100, checkpoints every 10: a change by step 120 may be the end of an earlier one."""

    def scored(step, since="memorisation"):
        runs = [
            make.results(
                {NORM: make.smooth(np.random.default_rng(seed)), "jump.value": 1.0 * (make.steps >= step)},
                make.sigmoid(800 + seed),
            )
            for seed in range(5)
        ]
        return score(make.comparison(runs), columns=["jump.value"], since=since)

    for step in (110, 120):
        scores = scored(step)
        (summary,) = scores.summaries
        assert (summary.verdict, summary.unresolved, summary.judgement.reason) == (
            "unresolved",
            5,
            "edge 5/5",
        )
        assert "where the search begins" in summary.judgement.why
        assert not scores.rows[0].resolved
        assert scores.rows[0].transition_step == step
        assert math.isnan(scores.rows[0].ahead)
        assert math.isnan(scores.rows[0].lead)
    assert scored(130).summaries[0].verdict == "leads"
    assert scored(120, since="start").summaries[0].verdict == "leads"


def test_which_columns_are_asked_for_changes_p_only_by_the_correction(planted, scores):
    comparison = planted[0]
    alone = by_column(score(comparison, columns=["early.value"]))["early.value"]
    among = by_column(scores)["early.value"]
    for name in ("p", "sign_p", "ahead", "ahead_low", "ahead_high", "partial_low", "spearman_high"):
        assert alone.as_dict()[name] == among.as_dict()[name]
    tested = [summary for summary in scores.summaries if not math.isnan(summary.p.both)]
    assert scores.columns_tested == len(tested)
    assert score(comparison, columns=["early.value"]).columns_tested == 1
    assert alone.p.adjusted == alone.p.both < among.p.adjusted <= scores.columns_tested * among.p.both


def test_seeds_of_settings_are_not_so_many_runs(make):
    """Two settings of three seeds: `ahead` is 0.1 in the one and 0.4 in the other.

    Six runs would show a lead beyond doubt; two settings show next to nothing, and it is said.
    """

    def run(seed, ahead):
        middle = 800 * (1 + 0.03 * np.random.default_rng(seed).normal())
        columns = {
            NORM: make.smooth(np.random.default_rng(seed + 50)),
            "early.value": make.sigmoid(middle / 10**ahead),
        }
        return make.results(columns, make.sigmoid(middle))

    runs = {f"r{at}": run(at, 0.1 if at < 3 else 0.4) for at in range(6)}

    def scored(**settings):
        found = score(Comparison(runs=runs, settings=settings, failed={}), columns=["early.value"])
        return found.summaries[0], found.notes

    seeds = [0, 1, 2, 0, 1, 2]
    alone, notes = scored(seed=list(range(6)))
    assert alone.verdict == "leads"
    assert not any("settings" in note for note in notes)
    nested, notes = scored(weight_decay=[0.1] * 3 + [2.0] * 3, seed=seeds)
    assert nested.ahead.mean == pytest.approx(alone.ahead.mean)
    assert nested.ahead.contains(0)
    assert nested.p.both > 0.3
    assert nested.p.signs == 0.5  # two settings, both before
    assert nested.verdict == "undecided"
    (warned,) = (note for note in notes if "settings" in note)
    assert "the 6 runs that grok are seeds of 2 settings of weight_decay" in warned
    assert "settings are resampled, then seeds: two settings bear hardly any claim" in warned
    each_its_own, notes = scored(weight_decay=[0.1, 0.2, 0.5, 1.0, 2.0, 3.0])
    assert each_its_own == alone
    assert not any("settings" in note for note in notes)


@pytest.mark.parametrize(
    ("spacing", "repetitions"),
    [(25, 20), *(pytest.param(spacing, 60, marks=pytest.mark.slow) for spacing in (5, 10, 20))],
)
def test_ahead_is_unbiased_and_covered_whatever_the_grid(make, spacing, repetitions):
    """Changes at known places, true `ahead` 0.2, on grids too coarse to see them exactly."""
    truth, found = 0.2, []
    steps = np.arange(0, 601, spacing)
    for seed in range(repetitions):
        rng = np.random.default_rng(1000 * spacing + seed)
        runs = []
        for _ in range(6):
            middle = 160 * 10 ** (0.05 * rng.normal())
            early = middle / 10 ** (truth + 0.02 * rng.normal())
            columns = {NORM: 0.0 * steps, "early.value": 1.0 * (steps >= early)}
            runs.append(make.results(columns, 1.0 * (steps >= middle), memorised=20, at=steps))
        found += score(make.comparison(runs), columns=["early.value"]).summaries
    aheads = np.array([each.ahead.mean for each in found])
    assert abs(aheads.mean() - truth) < max(3 * aheads.std() / np.sqrt(repetitions), 0.004)
    covered = sum(each.ahead.contains(truth) for each in found)
    assert covered >= 0.9 * repetitions


def test_a_constant_norm_confounds_nothing(make):
    runs = [
        make.results(
            {NORM: np.full(len(make.steps), 5.0), "early.value": make.sigmoid(350 + 10 * seed)},
            make.sigmoid(700 + 20 * seed),
        )
        for seed in range(5)
    ]
    found = by_column(score(make.comparison(runs)))["early.value"]
    assert found.correlations.partial.mean == pytest.approx(found.correlations.spearman.mean)
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
    assert all(math.isnan(summary.ahead.low) for summary in one.summaries)
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
