"""The league ranks columns by what is known of them, and says so where nothing foretells."""

import math
from dataclasses import replace

import numpy as np
import pytest

from grokscope.results import ColumnName, Failure
from grokscope.statistics.league import CONTROLS, sightings
from grokscope.statistics.league.columns import COPY, NOISE
from grokscope.statistics.league.places import SIGNIFICANT
from grokscope.statistics.one_run import is_resolved
from grokscope.statistics.over_runs import difference, holm
from grokscope.statistics.transition import transition


@pytest.fixture(scope="module")
def known(world, shape):
    """An early and a late sign, one that comes after, one that comes anyway, and one that needs no memory."""

    def columns(rng, groks, change):
        flat = rng.normal(0, 0.02, 40)
        return {
            "a.early": (shape(change / 5) if groks else 0) + flat,
            "a.late": (-shape(change / 1.6) if groks else 0) + flat,
            "a.after": (shape(change * 2) if groks else 0) + flat,
            "a.anyway": shape(change / 5) + flat,
            "a.level": np.full(40, 1.0 if groks else 2.0) + flat,
            "a.constant": np.ones(40),
            "by.layer:one": shape(change / 5) * groks + flat,
            "by.layer:two": shape(change / 5) * groks - flat,
        }

    return world(columns)


@pytest.fixture(scope="module")
def found(known, table):
    return table(*known)


def of(found, column):
    return found.places[found.place(column) - 1]


def test_an_early_sign_beats_a_late_one_beats_what_knows_nothing(found):
    order = [found.place(name) for name in ("a.early", "a.late", "a.after", "a.anyway")]
    assert order == sorted(order)
    early, late = of(found, "a.early"), of(found, "a.late")
    assert (early.rank, late.rank) == (1, 3), "the column by layer is as early, and tied"
    assert early.ahead.mean == pytest.approx(math.log10(5), abs=0.05)
    assert late.ahead.mean == pytest.approx(math.log10(1.6), abs=0.05)
    assert of(found, "a.after").ahead.mean == pytest.approx(-math.log10(2), abs=0.05)
    assert early.ahead.contains(math.log10(5))
    assert late.shape == "fall"
    assert {place.column for place in found.foretelling} == {"by.layer", "a.early", "a.late"}
    for place in (early, late, of(found, "a.after")):
        assert (place.changes.runs, place.changes.of_runs) == (15, 15)
    for place, runs in ((early, 15), (late, 15), (of(found, "a.after"), 0)):
        assert (place.first.runs, place.first.of_runs) == (runs, 15)
        assert place.alarms.runs <= 1, "noise around a level"


def test_what_comes_anyway_is_a_false_alarm(found):
    anyway = of(found, "a.anyway")
    assert (anyway.alarms.runs, anyway.alarms.settings) == (12, 4)
    assert not anyway.foretells
    assert anyway.foresight.mean < 0


def test_the_controls_are_where_they_must_be(found):
    assert {place.column for place in found.places if place.control} == set(CONTROLS)
    copy, noise = of(found, COPY), of(found, NOISE)
    assert copy.ahead.mean == 0
    assert copy.first.runs == 0
    assert copy.foresight.mean <= 0
    assert not any(of(found, control).foretells for control in CONTROLS)
    assert noise.foresight.mean == pytest.approx(0, abs=0.15)
    assert of(found, "a.late").foresight.low > of(found, NOISE).foresight.high
    assert of(found, "a.constant").first.runs == 0, "no column is left out, and a constant sees nothing"


def test_what_is_different_before_tells_them_apart_whatever_the_setting(found):
    level, noise = of(found, "a.level"), of(found, NOISE)
    assert level.value.value == 1
    assert level.value.p == pytest.approx(22 / 126), "the one labelling of 126, corrected for 22 AUROCs"
    assert "no AUROC can have p below 0.17" in " ".join(found.notes)
    assert noise.value.p > 0.05
    assert noise.moved.p > 0.05
    assert not level.foretells, "it never changes"


def test_what_is_left_beside_the_weight_norm_is_the_columns_own(world, table, shape):
    def columns(rng, groks, change):
        norm = rng.normal(size=40) - 2 * shape(change)
        return {
            "weight_norm.l2_all": norm,
            "a.sign": (shape(change) + rng.normal(0, 0.1, 40)) * groks,
            "a.norm": -norm + rng.normal(0, 0.1, 40),
        }

    found = table(*world(columns, grok=4, never=3, seeds=2))
    sign, noise, norm, itself = (
        of(found, name).partial for name in ("a.sign", NOISE, "a.norm", "weight_norm.l2_all")
    )
    assert of(found, COPY).partial.mean == pytest.approx(1)
    assert sign.low > 0.4
    for nothing in (noise, norm):
        assert nothing.contains(0)
        assert abs(nothing.mean) < 0.25
    assert math.isnan(itself.mean), "its own ranks leave nothing"


def test_every_column_is_counted_in_the_correction(found):
    assert found.columns == 8
    assert found.tested == len(found.places) == 11
    ps = [place.p for place in found.places]
    assert [place.p_adjusted for place in found.places] == holm(ps)


def test_nothing_foretells_where_nothing_knows_anything(world, table):
    """Ten columns of noise, and ten of drift."""

    def columns(rng, groks, change):
        noise = {f"n.n{at}": rng.normal(size=40) for at in range(10)}
        return noise | {f"d.d{at}": rng.normal(size=40).cumsum() for at in range(10)}

    found = table(*world(columns, seeds=2, seed=1))
    assert found.foretelling == []
    blind = [place for place in found.places if place.foresight.mean > 0 and place.p <= 0.05]
    assert len(blind) <= 2  # binomial(23, 1/40): 2 % have more
    assert sum(place.value.p <= 0.05 for place in found.places) == 0


def test_the_test_of_settings_errs_as_often_as_it_says():
    """Shares as they come of columns that know nothing: most 0, others anywhere."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(400):
        kinds, groups = [], []
        for settings in (8, 6):
            level = rng.uniform(0, 1, settings).repeat(5) * (rng.uniform(size=settings) < 0.5).repeat(5)
            kinds.append(np.clip(level + rng.normal(0, 0.1, len(level)), 0, 1))
            groups.append(np.arange(settings).repeat(5).tolist())
        wrong += difference(*kinds, groups, 0.95)[1] <= 0.05
    assert wrong / 400 <= 0.07


def blind(rng, settings, seeds=2):
    """What columns that know nothing foresee: 0 in most settings, anything in others, alike in seeds."""
    level = rng.uniform(0, 1, settings) * (rng.uniform(size=settings) < 0.4)
    return np.clip(level.repeat(seeds) + rng.normal(0, 0.1, settings * seeds), 0, 1)


def test_a_league_of_columns_that_know_nothing_seldom_says_that_one_foretells():
    rng, groups = np.random.default_rng(2), tuple(np.arange(n).repeat(2).tolist() for n in (10, 6))
    leagues = [
        holm([difference(blind(rng, 10), blind(rng, 6), groups, 0.95)[1] for _ in range(40)])
        for _ in range(40)
    ]
    assert sum(min(ps) <= SIGNIFICANT for ps in leagues) <= 5  # binomial(40, 0.05): 1 % have more


def test_the_interval_of_a_foresight_covers_it():
    rng, groups = np.random.default_rng(3), tuple(np.arange(n).repeat(2).tolist() for n in (10, 6))
    truth = np.mean([blind(rng, 10, 1).mean() for _ in range(2000)])
    held = [
        difference(blind(rng, 10) + 0.2, blind(rng, 6) * 0.5, groups, 0.95)[0].contains(0.2 + truth / 2)
        for _ in range(400)
    ]
    assert np.mean(held) >= 0.93


def test_a_rank_is_one_more_than_the_number_of_columns_whose_interval_lies_above(found):
    for place in found.places:
        above = [other for other in found.places if other.foresight.low > place.foresight.high]
        assert place.rank == 1 + len(above)


def test_the_difference_is_scipys_welch_and_needs_two_of_each():
    import scipy.stats

    rng = np.random.default_rng(1)
    one, other = rng.normal(1, 1, 6), rng.normal(0, 3, 9)
    mean, p = difference(one, other, (None, None), 0.9)
    welch = scipy.stats.ttest_ind(one, other, equal_var=False)
    assert p == pytest.approx(welch.pvalue)
    interval = welch.confidence_interval(0.9)
    assert (mean.low, mean.high) == pytest.approx((interval.low, interval.high))
    assert not difference([1.0], other, (None, None), 0.9)[0].known
    assert math.isnan(difference([], other, (None, None), 0.9)[0].mean)
    assert difference([1, 1], [0, 0], (None, None), 0.9)[1] == 0


def test_runs_that_cannot_take_part_are_named(known, table, world, shape):
    runs, settings = known
    never = next(run for run in runs if run.startswith("never"))
    grok = next(run for run in runs if run.startswith("grok"))
    curve = dict(runs[grok].curve)
    early = replace(runs[grok], memorisation_step=None, curve=curve | {"train_accuracy": curve["step"] * 0.0})
    blank = runs[never].curve | {"train_accuracy": curve["step"] * 0.0}
    changed = runs | {grok: early, never: replace(runs[never], memorisation_step=None, curve=blank)}
    rows, excluded = sightings(changed, settings, ColumnName("weight_norm", "l2_all"))
    assert list(excluded) == [grok]
    assert "nothing to foresee" in excluded[grok]
    start = {row.fate.start for row in rows if row.run == never}
    assert start == {runs[grok].memorisation_step}, "it begins where the runs of its kind memorise"
    alone, why = sightings({never: changed[never]}, settings, ColumnName("weight_norm", "l2_all"))
    assert not alone
    assert "nowhere to begin" in why[never]


def test_fewer_checkpoints_are_a_coarser_resolution_and_what_is_absent_is_said(known, table):
    runs, settings = known
    changed = {}
    for at, (run, results) in enumerate(runs.items()):
        thinned = [
            value if place % 3 == 0 else math.nan for place, value in enumerate(results.columns["a.early"])
        ]
        changed[run] = replace(
            results,
            columns={**results.columns, "a.early": thinned},
            provenance=dict.fromkeys(("weight_norm", "a", "by", "gone", "failing")),
            notes={"gone": f"it is not for {run[:-1]}" if at < 9 else "it is never"},
            failures=[Failure("plugin", "dist", "failing", 10, "it broke")] if at == 0 else [],
        )
    found = table(changed, settings)
    fine, coarse = (of(found, name).resolution for name in ("a.anyway", "a.early"))
    assert fine == pytest.approx(math.log10(400) / 39, rel=0.1), "the grid's"
    assert coarse == pytest.approx(3 * fine, rel=0.1)
    assert of(found, "a.early").ahead.contains(math.log10(5))
    assert set(found.absent) == {"gone", "failing"}
    assert list(found.absent["gone"]) == [*found.grok, *found.never]
    assert found.absent["gone"]["never8"] == "it is never"
    assert found.absent["failing"]["grok0"] == "it broke"
    assert found.absent["failing"]["never8"] == "it has no number there"
    told = [note for note in found.notes if note.startswith("gone ")]
    assert told[-1] == f"gone has no value in {'; '.join(settings_of(found)[3:])}: it is never"
    assert len(told) == 4, "each reason with the settings that have it"
    assert found.columns == 8


def settings_of(found):
    return [name for name, _ in found.settings]


def test_too_few_settings_get_no_rank(world, table, shape):
    found = table(*world(lambda rng, groks, change: {"a.early": shape(change / 5) * groks}, grok=2, seeds=2))
    assert {place.rank for place in found.places} == {None}
    assert "there are no ranks: 2 that grok are too few settings" in found.notes[0]
    assert found.tested == 0
    assert not found.foretelling


@pytest.mark.parametrize(("checkpoints", "low", "high"), [(14, 0.25, 0.4), (30, 0.02, 0.1)])
def test_how_often_noise_changes_clearly_is_as_the_guide_says(checkpoints, low, high):
    rng, steps = np.random.default_rng(0), np.geomspace(40, 1000, checkpoints).round().astype(int).tolist()
    found = [transition(steps, rng.normal(size=checkpoints).tolist()) for _ in range(400)]
    assert low < np.mean([each.clear and is_resolved(each) for each in found]) < high
