"""Who takes part, what is looked at, that nothing after the cut enters, and what is said of small samples."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from grokscope import UnknownName, UsageError, predict
from grokscope.statistics import estimates
from grokscope.statistics.predict import FEATURES, features


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(estimates, "BOOTSTRAPS", 99)
    monkeypatch.setattr(estimates, "PERMUTATIONS", 299)
    estimates._separation_null.cache_clear()
    yield
    estimates._separation_null.cache_clear()


@pytest.fixture
def swept(make_run, compare, steps):
    """Ten runs that grok, at steps that the norm tells, and eight that do not, which synergy tells."""
    draw = np.random.default_rng(1)
    runs = []
    for number in range(18):
        grok = 200 + 50 * number if number < 10 else None
        course = {
            "tells.whether": steps * (1.0 if grok else 0.2) + number / 1000,
            "tells.when": np.full(len(steps), math.log10(grok or 500)),
            "noise.x": draw.normal(size=len(steps)),
        }
        runs.append(make_run(f"r{number}", grok=grok, columns=course))
    return compare(runs, seed=list(range(18)))


def row(prediction, column, feature="value"):
    (found,) = [r for r in prediction.predictors if (r.column, r.feature) == (column, feature)]
    return found


def test_a_separator_and_a_clock_are_found(swept):
    found = predict(swept)
    assert len(found.predictors) == 3 * len(FEATURES)
    whether = row(found, "tells.whether", "slope")
    assert (whether.auroc, whether.sign, whether.runs, whether.grokking) == (1, "+", 18, 10)
    assert whether.p_adjusted < 0.05
    when = row(found, "tells.when")
    assert when.timed == 10
    assert when.r2 == pytest.approx(1)
    assert when.r2_p_adjusted < 0.05
    noise = row(found, "noise.x")
    assert noise.auroc_low <= 0.5 <= noise.auroc_high
    assert noise.p_adjusted > 0.05
    assert found.outcomes == {f"r{n}": n < 10 for n in range(18)}
    assert found.columns["column"][0] == "tells.whether"
    assert predict(swept).columns == found.columns  # seeded


def test_nothing_after_the_cut_enters(swept, make_run, compare, steps):
    def with_another_future(results):
        changed = dict(results.columns)
        for name in results.declared:
            past = [v for s, v in zip(steps, changed[name], strict=True) if s <= 50]
            changed[name] = past + [1e9 * (-1) ** n for n in range(len(steps) - len(past))]
        columns = {name: changed[name] for name in results.declared}
        return make_run(results.run, grok=results.transitions()[1], columns=columns)

    other = compare([with_another_future(r) for r in swept.runs.values()], seed=list(range(18)))
    assert predict(other).columns == predict(swept).columns
    assert predict(other, until=60).columns != predict(swept, until=60).columns


def test_scale_does_not_matter(swept, make_run, compare):
    def rescaled(results):
        columns = {name: 3 * results.course(name) - 7 for name in results.declared}
        return make_run(results.run, grok=results.transitions()[1], columns=columns)

    other = compare([rescaled(r) for r in swept.runs.values()], seed=list(range(18)))
    for one, two in zip(predict(other).predictors, predict(swept).predictors, strict=True):
        assert one.auroc == two.auroc
        assert one.r2 == pytest.approx(two.r2, abs=1e-6)


def test_features_are_what_they_are_called():
    steps = np.array([0, 9, 99, 999])
    values = np.array([1.0, 5.0, 3.0, 100.0])
    assert features(steps, values, 99) == pytest.approx({"value": 3, "slope": 1, "peak": 5})
    assert features(steps, values, 98)["slope"] == pytest.approx(4)
    seen = features(steps, np.array([math.nan, 2.0, math.inf, 1.0]), 99)
    assert (seen["value"], seen["peak"]) == (2, 2)
    assert math.isnan(seen["slope"])
    assert all(map(math.isnan, features(steps, values, -1).values()))
    assert features(steps, np.full(4, 0.1), 999)["slope"] == 0  # not what rounding makes of it


def test_runs_without_an_outcome_are_named(make_run, compare, steps):
    course = {"x.x": steps * 1.0}
    runs = [
        make_run("never memorises", grok=None, mem=None, columns=course),
        make_run("at once", grok=50, columns=course),
        make_run("short", grok=None, last=300, columns=course),
        make_run("groks", grok=200, last=300, columns=course),
        make_run("late", grok=800, columns=course),
        make_run("never", grok=None, last=600, columns=course),
    ]
    found = predict(compare(runs))
    assert found.budget == 300  # the earliest end of a run that does not grok
    assert found.outcomes == {"short": False, "groks": True, "late": False, "never": False}
    assert "never memorises" in found.excluded["never memorises"]
    assert "had grokked (step 50)" in found.excluded["at once"]
    assert any("1 run groks only after the budget of 300 steps" in each for each in found.warnings)

    found = predict(compare(runs), budget=600)
    assert found.outcomes == {"groks": True, "late": False, "never": False}
    assert "outcome unknown" in found.excluded["short"]

    found = predict(compare(runs), budget="own")
    assert found.budget is None
    assert found.outcomes == {"short": False, "groks": True, "late": True, "never": False}

    found = predict(compare(runs), until=250)
    assert "had grokked (step 200)" in found.excluded["groks"]
    assert found.outcomes["never memorises"] is False
    assert "ends at step 300" in predict(compare(runs), until=400).excluded["short"]


def test_thresholds_are_asked_for(make_run, compare, steps):
    run = make_run("a", grok=400, columns={"x.x": steps * 1.0})
    run.curve["test_accuracy"][:] = np.where(run.curve["step"] >= 400, 0.85, 0.1)
    assert predict(compare([run])).outcomes == {"a": False}
    assert predict(compare([run]), test=0.8).outcomes == {"a": True}


def test_a_small_sample_is_said_to_be_small(make_run, compare, steps):
    def some(yes, no, columns=1):
        course = {f"x.c{n}": steps * 1.0 for n in range(columns)}
        outcomes = [300 + 100 * n for n in range(yes)] + [None] * no
        return compare([make_run(f"r{n}", grok=g, columns=course) for n, g in enumerate(outcomes)])

    (told, timed) = predict(some(2, 3)).warnings
    assert "can reach p below 0.2: AUROC here proves nothing" in told
    assert "2 runs grok at a known step: predicting it takes at least 4" in timed
    assert "there is no AUROC" in predict(some(4, 1)).warnings[0]
    assert "there is no AUROC" in predict(some(4, 0)).warnings[0]
    (told, timed) = predict(some(5, 5, columns=3)).warnings
    assert "p below 0.0079, or 0.071 corrected for 9 rows" in told
    assert "with 5 runs whose grokking step is known no permutation test can reach p below 0.0083" in timed
    assert predict(some(0, 0)).predictors[:0] == ()


def test_seeds_that_all_end_alike_are_no_independent_evidence(make_run, compare, steps):
    course = {"x.x": steps * 1.0}
    runs = [make_run(f"r{n}", grok=300 if n < 6 else None, columns=course) for n in range(12)]
    decay = [0.1] * 3 + [2.0] * 3 + [10.0] * 3 + [50.0] * 3
    seeds = [0, 1, 2] * 4
    warned = predict(compare(runs, weight_decay=decay, seed=seeds)).warnings
    assert any("4 settings apart" in each and "p below 0.33" in each for each in warned)
    slower = [make_run(f"r{n}", grok=(300 if n < 6 else 800) + n % 2 * 10, columns=course) for n in range(12)]
    warned = predict(
        compare(slower, weight_decay=[2.0] * 6 + [0.1] * 6, seed=[0, 1, 2, 3, 4, 5] * 2)
    ).warnings
    assert any(
        "100% of the variance of the log grokking step lies between the 2 settings" in w for w in warned
    )
    mixed = [2.0, 10.0] * 6
    assert not any("variance" in w for w in predict(compare(slower, weight_decay=mixed, seed=seeds)).warnings)
    assert not any(
        "settings" in each for each in predict(compare(runs, weight_decay=mixed, seed=seeds)).warnings
    )
    assert not any("settings" in each for each in predict(compare(runs, seed=list(range(12)))).warnings)


def test_noise_foretells_nothing(make_run, compare, steps):
    draw = np.random.default_rng(3)
    missed = rows = found = 0
    for _ in range(6):
        runs = [
            make_run(f"r{n}", grok=300 if n < 7 else None, columns={"noise.x": draw.normal(size=len(steps))})
            for n in range(14)
        ]
        for each in predict(compare(runs)).predictors:
            rows += 1
            missed += not each.auroc_low <= 0.5 <= each.auroc_high
            found += each.p_adjusted < 0.05
    assert binomtest(missed, rows, 0.05, alternative="greater").pvalue > 0.01
    assert found <= 2


def test_columns_are_chosen(make_run, compare, steps):
    columns = {"x.total": steps * 1.0, "x.part:layer": steps * 1.0, "y.part:layer": steps * 1.0}
    comparison = compare([make_run("a", columns=columns)])
    assert {r.column for r in predict(comparison).predictors} == {"x.total", "y.part:layer"}
    assert {r.column for r in predict(comparison, per_layer=True).predictors} == set(columns)
    assert {r.column for r in predict(comparison, columns=["x.part:layer"]).predictors} == {"x.part:layer"}
    with pytest.raises(UnknownName, match=r"did you mean x\.total"):
        predict(comparison, columns=["x.totl"])


def test_a_run_without_the_column_is_left_out_of_its_row(swept, make_run, compare):
    runs = [*swept.runs.values(), make_run("bare", grok=400)]
    found = predict(compare(runs, seed=list(range(19))))
    assert len(found.outcomes) == 19
    assert row(found, "noise.x").runs == 18


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"until": -1}, "`until` must be a step"),
        ({"budget": "later"}, "`budget` must be a step or 'own', got 'later'"),
        ({"budget": 50, "until": 60}, r"after the cut \(60\), got 50"),
        ({"confidence": 1.0}, "confidence must be"),
    ],
)
def test_what_cannot_be_is_refused(swept, options, what):
    with pytest.raises(UsageError, match=what):
        predict(swept, **options)
