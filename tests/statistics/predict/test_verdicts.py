"""Verdicts follow the stated rule, and a hypothesis that fails stops no other."""

import numpy as np
import pytest

from grokscope import hypothesis, verdicts
from grokscope.statistics import estimates


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(estimates, "BOOTSTRAPS", 99)
    monkeypatch.setattr(estimates, "PERMUTATIONS", 499)


@hypothesis(claim="It rises.", columns=["x.x"])
def rises(results):
    course = results.course("x.x")
    return course[-1] - course[0], {"at first": course[0]}


@hypothesis(claim="It is larger where it groks.", columns=["x.x"], about="grokking")
def tells(results):
    return results.course("x.x")[0]


def kind(results):
    return {"p": "perturbed", "q": "plain"}.get(results.run[0])


@hypothesis(claim="It is larger.", columns=["x.x"], about="groups", groups=("perturbed", "plain"), group=kind)
def larger(results):
    return results.course("x.x")[0]


def verdict(comparison, *hypotheses, **options):
    return [each.verdict for each in verdicts(comparison, hypotheses, **options)]


@pytest.fixture
def slopes(make_run, compare, steps):
    def make(values):
        courses = [steps * (np.nan if value is None else value) for value in values]
        return compare([make_run(f"r{n}", columns={"x.x": course}) for n, course in enumerate(courses)])

    return make


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1] * 5, "held"),
        ([1], "held"),  # as in one seed of `reproduce`: what chance has to do with it, p says
        ([1] * 9 + [-1], "held"),
        ([1] * 4 + [-1], "held"),
        ([1] * 3 + [-1] * 2, "undecided"),
        ([-1] * 5, "did not hold"),
        ([1, -1] * 30, "undecided"),  # in half of many runs
        ([1] * 65 + [-1] * 35, "undecided"),  # oftener than by chance, and yet not as a rule
        ([0] * 9, "did not hold"),  # it does not rise
        ([1, None], "held"),
        ([1, None, None], "undecided"),  # it can be said in less than half of them
    ],
)
def test_a_claim_about_each_run(slopes, values, wanted):
    assert verdict(slopes(values), rises) == [wanted]


def test_its_numbers(slopes):
    (found,) = verdicts(slopes([1] * 6 + [-1, 0]), [rises])
    assert found.numbers["hold"] == 6
    assert found.numbers["runs"] == 8
    assert found.numbers["share"] == pytest.approx(6 / 8)
    assert found.numbers["p"] == pytest.approx((28 + 8 + 1) / 256)
    assert found.numbers["effect"] == pytest.approx(5000 / 8)
    assert found.numbers["effect_low"] < found.numbers["effect"] < found.numbers["effect_high"]
    assert "holds in 6 of 8 runs" in found.text
    assert found.effects["r6"] == -1000


def test_many_claims_are_corrected_for_each_other(slopes):
    def named(number):
        def another(results):
            return rises(results)[0]

        another.__name__ = f"h{number}"
        return hypothesis(claim="It rises.", columns=["x.x"])(another)

    several = [named(number) for number in range(4)]
    assert verdict(slopes([1] * 7), *several) == ["held"] * 4
    assert [v.numbers["p_adjusted"] for v in verdicts(slopes([1] * 7), several)] == [4 / 128] * 4
    assert "corrected for 4: 0.12" in verdicts(slopes([1] * 5), several)[0].text


def test_a_claim_about_those_that_grok(make_run, compare, steps):
    def some(yes, no):
        runs = [make_run(f"y{n}", columns={"x.x": steps + v}) for n, v in enumerate(yes)]
        runs += [make_run(f"n{n}", grok=None, columns={"x.x": steps + v}) for n, v in enumerate(no)]
        return compare(runs)

    assert verdict(some([5, 6, 7, 8], [1, 2, 3, 4]), tells) == ["held"]
    assert verdict(some([1, 2, 3, 4], [5, 6, 7, 8]), tells) == ["did not hold"]
    assert verdict(some([1, 6], [5, 2]), tells) == ["undecided"]
    assert verdict(some([1, 6], []), tells) == ["undecided"]
    assert "too few to compare" in verdicts(some([1, 6], [3]), [tells])[0].text
    # The threshold decides who groks: at none does anyone fail to.
    (found,) = verdicts(some([5, 6, 7, 8], [1, 2, 3, 4]), [tells], test=0.05)
    assert "8 runs that grok, 0 that do not" in found.text


def test_a_claim_about_two_kinds_of_training(make_run, compare, steps):
    runs = [make_run(f"p{n}", columns={"x.x": steps + 9.0 + n}) for n in range(4)]
    runs += [make_run(f"q{n}", columns={"x.x": steps * 1.0 + n}) for n in range(4)]
    runs += [make_run("other", columns={"x.x": steps - 99.0})]
    (found,) = verdicts(compare(runs), [larger])
    assert found.verdict == "held"
    assert (found.numbers["first"], found.numbers["second"], found.numbers["share"]) == (4, 4, 1)


def test_a_claim_about_runs_of_one_seed(make_run, compare, steps):
    @hypothesis(claim="c", columns=["x.x"], about="pairs", groups=("perturbed", "plain"), group=kind)
    def higher(first, second):
        return first.course("x.x")[0] - second.course("x.x")[0]

    def run(name, seed, level):
        return make_run(name, columns={"x.x": steps + level}, training={"seed": seed})

    runs = [run("p0", 0, 5.0), run("p1", 1, 1.0), run("q0", 0, 4.0), run("q1", 1, 0.0), run("q2", 2, 9.0)]
    (found,) = verdicts(compare(runs), [higher])
    assert (found.verdict, dict(found.effects)) == ("held", {"p0 and q0": 1.0, "p1 and q1": 1.0})
    assert "holds in 2 of 2 comparisons" in found.text
    (found,) = verdicts(compare(runs[:1]), [higher])
    assert (found.verdict, found.text) == ("undecided", "no run has anything to say to it")


def test_runs_that_a_claim_is_not_about_are_not_asked(slopes):
    @hypothesis(claim="c", columns=["x.x"], groups="first", group=lambda r: "first" if r.run < "r2" else None)
    def about_two(results):
        return True

    (found,) = verdicts(slopes([1] * 9), [about_two])
    assert (found.verdict, set(found.effects)) == ("held", {"r0", "r1"})


def test_what_noise_does_too_is_no_evidence(slopes):
    @hypothesis(claim="c", columns=["x.x"], chance=0.9)
    def easy(results):
        return True

    assert verdicts(slopes([1] * 6), [easy])[0].numbers["p"] == pytest.approx(0.9**6)
    assert verdicts(slopes([1] * 6), [rises])[0].numbers["p"] == pytest.approx(0.5**6)


def test_what_was_not_measured_is_named(slopes):
    @hypothesis(claim="c", columns=["y.a", "x.x", "y.b:layer"])
    def needs_more(results):
        raise AssertionError

    needy, other = verdicts(slopes([1] * 5), [needs_more, rises])
    assert needy.missing == ("y.a", "y.b:layer")
    assert needy.text == "not measured: it needs y, x"
    assert other.verdict == "held"
    assert "corrected" not in other.text


@pytest.mark.parametrize("outcome", ["text", float("inf"), [1, 2]])
def test_one_that_fails_is_named_and_the_others_go_on(slopes, outcome):
    @hypothesis(claim="c", columns=["x.x"])
    def broken(results):
        return 1 / 0 if results.run == "r1" else outcome

    failed, other = verdicts(slopes([1] * 5), [broken, rises])
    assert failed.verdict == "undecided"
    assert set(failed.failures) == {"r0", "r1", "r2", "r3", "r4"}
    assert failed.failures["r1"] == "ZeroDivisionError: division by zero"
    assert other.verdict == "held"


def test_a_group_that_does_not_exist_is_named(slopes):
    @hypothesis(claim="c", columns=["x.x"], about="groups", groups=("a", "b"), group=lambda results: "c")
    def lost(results):
        return 1.0

    (found,) = verdicts(slopes([1]), [lost])
    assert "group must be one of ['a', 'b'] or None, got 'c'" in found.text


def test_none_and_nan_say_nothing(slopes):
    @hypothesis(claim="c", columns=["x.x"])
    def silent(results):
        return None if results.run == "r0" else float("nan")

    (found,) = verdicts(slopes([1, 1]), [silent])
    assert (found.verdict, found.text) == ("undecided", "no run has anything to say to it")


def test_noise_supports_nothing(make_run, compare, steps, monkeypatch):
    """At most one list of twenty may hold a wrong `supported`."""
    from grokscope import load_plugins

    monkeypatch.setattr(estimates, "BOOTSTRAPS", 9)  # of the mean effect, which decides nothing
    # Those without columns read accuracies, which are no noise here.
    hypotheses = {name: each for name, each in load_plugins().hypotheses.items() if each.columns}
    needed = sorted({column for each in hypotheses.values() for column in each.columns})
    draw, wrong, trials = np.random.default_rng(5), 0, 6
    for _ in range(trials):
        runs = []
        for number in range(16):
            training = (
                {"anti_norm": 1e-9} if number % 4 == 3 else {"perturb": [0.5, 0.4] if number % 2 else None}
            )
            courses = {name: np.abs(draw.normal(size=len(steps))) for name in needed}
            grok = 400 if number < 12 else None
            runs.append(make_run(f"r{number}", grok=grok, columns=courses, training=training))
        found = verdicts(compare(runs), hypotheses)
        wrong += any(each.numbers.get("p_adjusted", 1) < 0.05 for each in found)
    assert wrong <= 1
