"""The papers' figures: the registry is whole, and every check tells a true claim from a false one."""

import math

import other_figures
import pytest
import synthetic
from synthetic import (
    FAILS,
    FALLING,
    FIGURES,
    GROKS,
    HELD,
    NORM_FALLS,
    NOT_HELD,
    RISES_SLOWLY,
    TURNS,
    UNDECIDED,
    bumps,
    decays,
    foretelling,
    group,
    level,
    on_both,
    ramp,
    real_data,
    run,
    sooner,
    synergies,
    verdict,
)

from grokscope import Comparison, Results, load_plugins
from grokscope.reproduce.checking import Part, check
from grokscope.statistics import courses
from grokscope.statistics.judging import decide_all
from grokscope.training import resolve_config
from grokscope_tan import information

THREE = {"clauw", "golechha", "tan"}  # the papers that grokscope is about
OTHERS = {"nanda", "omnigrok", "kumar", "prieto", "demoss", "xu"}
COURSES = {**synthetic.COURSES, **other_figures.COURSES}


@pytest.mark.parametrize("name", [name for name in FIGURES if not name.startswith("clauw")])
def test_what_stands_in_for_the_papers_data_decides_nothing(name):
    figure = FIGURES[name]
    assert ("stand-in" in figure.beyond) == any(group.stand_ins for group in figure.groups.values())
    smaller = any(group.runs.quick.get("p") for group in figure.groups.values())
    assert ("quick" in figure.beyond) == smaller


def names(figure):
    return [reading.name for reading in FIGURES[figure].readings]


def test_tan_and_huangs_claims_are_judged_under_every_reading():
    assert names("tan-1") == ["float64", "float32"]
    assert names("tan-9") == ["float64", "centred", "float32", "float32 centred"]
    assert names("tan-8") == names("tan-14") == [*names("tan-9"), "after ReLU"]
    assert names("tan-10") == names("tan-16") == ["before ReLU", "after ReLU"]
    readings = {reading.name: FIGURES["tan-8"].under(reading).groups for reading in FIGURES["tan-8"].readings}
    addition = {name: groups["modular addition"] for name, groups in readings.items()}
    types = {
        name: resolve_config("modadd", recipe=group.runs.recipe, settings=group.runs.settings)[
            "training"
        ].get("loss_dtype", "float32")
        for name, group in addition.items()
    }
    assert types == {name: "float32" if "float32" in name else "float64" for name in readings}
    centred = {name for name, group in addition.items() if group.columns.get("pmi.pmi") == "pmi.pmi_centred"}
    assert centred == {"centred", "float32 centred"}
    images = {name: groups["images"] for name, groups in readings.items()}
    assert {name for name, group in images.items() if group.parameters} == {"after ReLU"}
    assert images["after ReLU"].parameters == {"pmi.first_layer": "post"}
    assert all(group.runs == images["float64"].runs for group in images.values())


@pytest.mark.parametrize("name", ["golechha-1", "golechha-2", "golechha-3"])
def test_golechhas_claims_are_judged_under_both_losses(name):
    """His table says MSELoss, his text cross-entropy."""
    found = {
        reading.name: FIGURES[name].under(reading).groups["network"] for reading in FIGURES[name].readings
    }
    losses = {
        reading: resolve_config("mnist", recipe=group.runs.recipe, settings=group.runs.settings)["training"][
            "loss"
        ]
        for reading, group in found.items()
    }
    assert losses == {"MSE": "mse", "cross-entropy": "cross_entropy"}


def test_the_papers_come_as_plugins_by_the_door_that_a_strangers_does():
    brings = {plugin.name: plugin for plugin in load_plugins().plugins if plugin.figures}
    assert set(brings) == THREE | OTHERS
    for name, plugin in brings.items():
        assert plugin.hypotheses
        assert all(figure.paper.key == name for figure in plugin.figures)


@pytest.mark.parametrize("name", COURSES)
def test_a_claim_that_is_borne_out_holds(name):
    good, _ = COURSES[name]
    for part in check(FIGURES[name], good):
        assert part.verdict == HELD, part
    assert verdict(name, good) == HELD


@pytest.mark.parametrize("name", COURSES)
def test_a_claim_that_is_contradicted_does_not_hold(name):
    _, bad = COURSES[name]
    assert verdict(name, bad) == NOT_HELD


# Courses that bear a claim out in all parts but one.
ALL_BUT_ONE = {
    "the norm falls only after it grokked": (
        "tan-1",
        on_both(weight_norm__l2_all=bumps((0, 5), (100, 10), (1500, 10), (2000, 5), (5000, 5))),
        "its fall begins first",
    ),
    "PC rises until addition is grokked": (
        "tan-12",
        {
            "images": group(pc__pc=level(50, 90, 1000)),
            "modular addition": group(RISES_SLOWLY, pc__pc=bumps((0, 2), (2900, 99), (5000, 95))),
        },
        "PC rises, then falls",
    ),
    "PC falls further long after addition is grokked": (
        "tan-12",
        {
            "images": group(pc__pc=level(50, 90, 1000)),
            "modular addition": group(
                RISES_SLOWLY,
                pc__pc=bumps((0, 2), (2500, 98), (2800, 97), (4500, 99), (5000, 70)),
            ),
        },
        "turns as test accuracy rises",
    ),
    "PC turns before test accuracy rises": (
        "tan-12",
        {
            "images": group(pc__pc=level(50, 90, 1000)),
            "modular addition": group(RISES_SLOWLY, pc__pc=bumps((0, 2), (500, 99), (5000, 90))),
        },
        "turns as test accuracy rises",
    ),
    "PC falls on images": (
        "tan-12",
        {
            "images": group(pc__pc=level(90, 50, 1000)),
            "modular addition": group(RISES_SLOWLY, pc__pc=TURNS),
        },
        "images: from memorisation on, PC and test accuracy rise together",
    ),
    "synergy peaks once it has grokked": (
        "clauw-5",
        synergies(0.3, 0.1)
        | {"alpha 8": group(GROKS, oinfo__synergy=bumps((0, 0.2), (1500, 0.3), (5000, 0.05)))},
        "alpha 8: synergy is highest before the grokking step",
    ),
    "synergy comes back where nothing is learnt": (
        "clauw-5",
        synergies(0.3, 0.1)
        | {"alpha 50": group(FAILS, oinfo__synergy=bumps((0, 0.1), (50, 0.01), (1000, 0.01), (5000, 0.2)))},
        "alpha 50: synergy is halved",
    ),
    "MID rises on addition": (
        "tan-14",
        foretelling("mid__mid")[0] | {"modular addition": group(mid__mid=level(0.5, 2, 90))},
        "falls before memorisation",
    ),
    "ED is large on images, after memorisation": (
        "tan-15",
        foretelling("ed__ed")[0] | {"images": group(ed__ed=level(0.05, 0.2, 2000))},
        "small throughout",
    ),
    "abelian training is sooner than plain alone": (
        "tan-6",
        sooner(1000, abelian=800, perturbed=700),
        "sooner there than perturbed training",
    ),
    "weight entropy falls while it overfits": (
        "golechha-1",
        real_data(NORM_FALLS, bumps((0, 9), (100, 9), (900, 8), (1500, 4), (5000, 4)), FALLING),
        "does not change while the network overfits",
    ),
}


@pytest.mark.parametrize("name", ALL_BUT_ONE)
def test_each_part_of_a_claim_can_fail_by_itself(name):
    figure, found, words = ALL_BUT_ONE[name]
    failed = {part.rule: part.verdict for part in check(FIGURES[figure], found) if part.verdict != HELD}
    assert set(failed.values()) == {NOT_HELD}
    assert all(words in rule for rule in failed)
    assert failed


def test_what_never_turns_does_not_turn_in_time():
    still = run(RISES_SLOWLY, pc__pc=bumps((0, 2), (2500, 99), (5000, 99)))
    turned, never = (run(RISES_SLOWLY, pc__pc=course) for course in (TURNS, ramp(100, 5000, 2, 99)))
    assert courses.turn(turned, "pc.pc") == 2500
    assert math.isnan(courses.turn(never, "pc.pc"))
    falls = bumps((0, 5), (100, 9), (300, 1), (1000, 6), (5000, 4))
    assert courses.turn(run(pc__pc=falls), "pc.pc") == 100
    assert courses.turn(run(pc__pc=falls), "pc.pc", start=300) == 1000
    for results in (still, never):
        effect, _ = information.pc_turns_in_time(results)
        assert effect < 0
    assert math.isnan(information.pc_turns_in_time(run(RISES_SLOWLY))[0]), "nothing was measured"


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_decided_where_nothing_was_found(name):
    empty = {group: Comparison({}, {}, {}) for group in FIGURES[name].groups}
    assert verdict(name, empty) == UNDECIDED


@pytest.mark.parametrize("name", COURSES)
def test_a_column_that_is_missing_decides_nothing_wrongly(name):
    """A run without the measured columns leaves a claim undecided, unless the accuracies alone decide it."""
    good, _ = COURSES[name]
    bare = {
        group: Comparison(
            {
                run: Results(run, {"step": r.steps}, {}, curve=r.curve, config=r.config)
                for run, r in found.runs.items()
            },
            {},
            {},
        )
        for group, found in good.items()
    }
    assert verdict(name, bare) in (HELD, UNDECIDED)


@pytest.mark.parametrize("name", COURSES)
def test_checks_read_columns_that_are_measured(name):
    """The synthetic columns, which make a check hold, are columns of the measures that the figure names."""
    plugins = load_plugins()
    for found in COURSES[name]:
        for place, comparison in found.items():
            measures = plugins.select(list(FIGURES[name].groups[place].measures))
            known = {f"{r.title}.{column.name}" for r in measures for column in r.measure.columns}
            assert {column.partition(":")[0] for column in comparison.declared} <= known


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_every_figure_says_what_is_claimed_and_where(figure):
    assert figure.claim.endswith(".")
    assert figure.title
    assert figure.paper.arxiv in figure.source
    assert set(figure.beyond) <= {"quick", "stand-in"}
    for part in check(figure, COURSES[figure.name][0]):
        assert part.rule
        assert part.values
    for part in figure.asks:
        assert part.hypothesis.claim.endswith(".")
        assert figure.paper.cited in part.hypothesis.source


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((True,) * 5, HELD),
        ((True, True, True, True, False), HELD),
        ((True, True, True, False, False), UNDECIDED),
        ((True, False, False, False, False), NOT_HELD),
        ((False,), NOT_HELD),
        ((True, None), HELD),
        ((True, None, None), UNDECIDED),
        ((None, None), UNDECIDED),
        ((), UNDECIDED),
    ],
)
def test_a_part_holds_in_four_fifths_of_the_seeds_that_can_be_decided(outcomes, expected):
    assert Part("rule", outcomes).verdict == expected


def test_a_claim_holds_when_all_of_it_does():
    assert decide_all([HELD, HELD]) == HELD
    assert decide_all([HELD, UNDECIDED]) == UNDECIDED
    assert decide_all([HELD, UNDECIDED, NOT_HELD]) == NOT_HELD
    assert decide_all([]) == UNDECIDED


def test_the_rise_of_test_accuracy_is_halfway_from_memorisation_to_the_best():
    assert courses.rise(run(level(0.2, 0.9, 2000))) == 2000
    assert courses.rise(run(ramp(1000, 3000))) == 2000
    assert math.isnan(courses.rise(run(level(0.5, 0.65, 1000))))
    assert math.isnan(courses.rise(run(train=level(0, 0.5, 100))))


def test_a_run_that_cannot_reach_95_percent_groks_at_95_percent_of_its_best():
    assert courses.generalised(run(ramp(1000, 3000))) == 2900
    assert courses.generalised(run(ramp(1000, 3000, 0.0, 0.9))) == 2900
    assert math.isnan(courses.generalised(run(level(0.5, 0.65, 1000))))


def test_a_delay_that_the_end_cuts_short_is_longer_at_least():
    assert courses.delay(run()) == (900, False)
    assert courses.delay(run(FAILS)) == (4900, True)


def test_a_delay_cut_short_still_decides_where_it_is_longer_already():
    [first, *_] = check(FIGURES["clauw-1"], decays(FAILS, ramp(300, 600)))
    assert first.verdict == HELD
    [first, *_] = check(FIGURES["clauw-1"], decays(GROKS, FAILS))
    assert first.verdict == NOT_HELD


def test_a_slope_is_per_step_between_the_values_that_there_are():
    rises = run(x__x=ramp(1000, 3000, 0, 8))
    assert courses.slope(rises, "x.x", 1000, 3000) == pytest.approx(8 / 2000)
    assert courses.slope(rises, "x.x", 990, 2010) == pytest.approx(4 / 1000)  # checkpoints at 1000 and 2000
    for start, end in ((1010, 1060), (math.nan, 3000), (6000, 7000)):
        assert math.isnan(courses.slope(rises, "x.x", start, end))
    assert math.isnan(courses.slope(rises, "x.y", 0, 5000))


def test_runs_differ_in_what_changes_their_training():
    one = run(training={"weight_decay": 2.0, "lr": 0.1, "dropout": None})
    longer = run(training={"weight_decay": 0.1, "lr": 0.1, "steps": 9, "log_every": 3}, seed=5)
    assert courses.differ_only_in(one, longer, "training.weight_decay")
    assert not courses.differ_only_in(one, longer)
    assert not courses.differ_only_in(one, run(training={"lr": 0.2}), "training.weight_decay")
    other = Results("other", {"step": []}, {}, config={**one.config, "task": {"p": 7}})
    assert not courses.differ_only_in(one, other, "training.weight_decay")
