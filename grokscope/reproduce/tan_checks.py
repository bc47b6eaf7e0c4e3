"""What is checked of the figures of Tan & Huang 2023: each claim as a rule on the measured courses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from grokscope.reproduce.courses import (
    accuracy_at,
    at,
    below,
    best_accuracy,
    both,
    changed,
    course,
    each,
    end_of,
    generalised,
    last,
    log_distance,
    memorised,
    pairs,
    peak,
    reached,
    share_of_course,
)
from grokscope.reproduce.figure import Part
from grokscope.statistics.correlation import spearman

if TYPE_CHECKING:
    from grokscope.results import Comparison, Results

ADDITION, IMAGES = "modular addition", "images"
BOTH = (ADDITION, IMAGES)
L2, L1, PC = "weight_norm.l2_all", "weight_norm.l1_all", "pc.pc"
AGREEMENT, DISTANCE = "abelian.agreement:train", "abelian.logit_distance:train"
ORDERS = (0.5, 1, 2, 3)
UNPERTURBED = "unperturbed test split"
SMALL = 0.1  # nats: "very small"
BEGINS = 0.1  # share of its rise from which test accuracy is said to undergo it


def _on_both(
    found: Mapping[str, Comparison],
    rule: str,
    names: tuple[str, ...],
    judge: Callable[[Results], tuple[bool | None, tuple[float, ...]]],
) -> list[Part]:
    return [each(found[name], f"{name}: {rule}", names, judge) for name in BOTH]


def _once_memorised(results: Results, column: str) -> float:
    """A column at the first checkpoint from memorisation on: the one before may lie well before it. NaN where
    there is none."""
    after = [step for step in results.steps if step >= memorised(results)]
    return at(results, column, after[0]) if after else math.nan


def check_norm(found: Mapping[str, Comparison], column: str) -> list[Part]:
    """The norm falls, and begins to before test accuracy rises."""

    def falls(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        before, after = _once_memorised(results, column), last(results, column)
        return below(after, before), (before, after)

    def begins(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        fall, rise = _fall_begins(column, results), rise_begins(results)
        return below(fall, rise), (fall, rise)

    tenth = f"{BEGINS:.0%}"
    return [
        *_on_both(
            found,
            "the norm ends below its value at memorisation",
            ("norm at memorisation", "at the end"),
            falls,
        ),
        *_on_both(
            found,
            f"its fall begins first: it is at {tenth} of it before test accuracy is at {tenth} of its rise",
            (f"norm at {tenth} of its fall at step", f"test accuracy at {tenth} of its rise"),
            begins,
        ),
    ]


def _fall_begins(column: str, results: Results) -> float:
    """The step from which a column has made a tenth of its fall from its highest, or NaN."""
    begin, top = peak(results, column, memorised(results))
    end = last(results, column)
    reached = (
        step
        for step, value in zip(results.steps, course(results, column), strict=True)
        if step >= begin and value <= top - BEGINS * (top - end)
    )
    return float(next(reached, math.nan)) if end < top else math.nan


def rise_begins(results: Results) -> float:
    """The step from which test accuracy has made a tenth of its rise after memorisation, or NaN."""
    start = accuracy_at(results, memorised(results))
    return reached(results, start + BEGINS * (best_accuracy(results) - start))


def check_1(found: Mapping[str, Comparison]) -> list[Part]:
    """Figure 1: the l2 norm."""
    return check_norm(found, L2)


def check_11(found: Mapping[str, Comparison]) -> list[Part]:
    """Figure 11: the l1 norm."""
    return check_norm(found, L1)


def check_2(found: Mapping[str, Comparison]) -> list[Part]:
    """Perturbation error falls once the training set is known; sharpness falls all along."""

    def error(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        column = "perturbation_error.mean"
        before, after = _once_memorised(results, column), last(results, column)
        return below(after, before), (before, after)

    def sharp(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        rho = spearman(results.steps, course(results, "sharpness.trace"))
        return below(rho, -0.5), (rho,)

    ends = ("error at memorisation", "at the end")
    falls = "sharpness falls: Spearman's rho with the step is below -0.5"
    return [
        *_on_both(found, "perturbation error ends below its value at memorisation", ends, error),
        *(each(found[f"{name}, sharpness"], f"{name}: {falls}", ("rho",), sharp) for name in BOTH),
    ]


def check_3(found: Mapping[str, Comparison]) -> list[Part]:
    """Corollary 4.3's curve is near the real test accuracy."""

    def near(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        import numpy as np

        gap = np.abs(course(results, "predicted_accuracy.corollary") - course(results, "test_accuracy"))
        mean = float(np.nanmean(gap)) if np.isfinite(gap).any() else math.nan
        half = reached(results, 0.5)
        return below(mean, 0.1), (100 * mean, half)

    return [
        each(
            found[ADDITION],
            "on average over the checkpoints the curve is within 10 points of the test accuracy",
            ("mean distance (points)", "test accuracy 50 % at step"),
            near,
        )
    ]


def _sooner(plain: Results, other: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether the other run is sooner at 90 % of the plain run's best test accuracy."""
    level = 0.9 * best_accuracy(plain)
    a, b = reached(other, level), reached(plain, level)
    missed = math.isnan(a) and not math.isnan(b) and end_of(other) >= b
    return False if missed else below(a, b), (a, b)


def _faster(found: Mapping[str, Comparison], how: str, names: tuple[str, ...]) -> list[Part]:
    return [
        each(
            pairs(found[name], found[f"{name}, {how}"]),
            f"{name}: {how} training is sooner at 90 % of plain training's best test accuracy",
            (f"step, {how}", "step, plain"),
            _sooner,
        )
        for name in names
    ]


def check_4(found: Mapping[str, Comparison]) -> list[Part]:
    """Perturbed training generalises earlier."""
    return _faster(found, "perturbed", BOTH)


def check_6(found: Mapping[str, Comparison]) -> list[Part]:
    """Training with the abelian term generalises earlier than plain and than perturbed training."""
    plain, abelian = found[ADDITION], found[f"{ADDITION}, abelian"]
    noisy = found[f"{ADDITION}, perturbed"]

    def before_perturbed(
        results: Results, one: Results, other: Results
    ) -> tuple[bool | None, tuple[float, ...]]:
        level = 0.9 * best_accuracy(results)
        a, b = reached(one, level), reached(other, level)
        return below(a, b), (a, b)

    triples = [
        (results, one, other)
        for results, one in pairs(plain, abelian)
        for same, other in pairs(plain, noisy)
        if same is results
    ]
    return [
        *_faster(found, "abelian", (ADDITION,)),
        each(
            triples,
            "it is sooner there than perturbed training, too",
            ("step, abelian", "step, perturbed"),
            before_perturbed,
        ),
    ]


def check_5(found: Mapping[str, Comparison]) -> list[Part]:
    """Plain training is not commutative before it groks; perturbed training is once it has memorised."""

    def late(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up = reached(results, 0.5)
        half = math.nan if math.isnan(up) else at(results, AGREEMENT, up)
        known = _once_memorised(results, AGREEMENT)
        return both(below(known, 0.9), below(half, 0.9)), (100 * known, 100 * half)

    def early(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        known = _once_memorised(results, AGREEMENT)
        return below(0.9, known), (memorised(results), 100 * known)

    return [
        each(
            found[ADDITION],
            "plain: agreement is below 90 % at memorisation, and still when test accuracy passes 50 %",
            ("agreement (%) at memorisation", "at test accuracy 50 %"),
            late,
        ),
        each(
            found[f"{ADDITION}, perturbed"],
            "perturbed: agreement is above 90 % at the first checkpoint from memorisation on",
            ("memorised at step", "agreement (%) there"),
            early,
        ),
    ]


def check_7(found: Mapping[str, Comparison]) -> list[Part]:
    """In the end f(a, b) and f(b, a) are steadily near each other when plain, and restless when not."""

    def calm(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        end, top = last(results, DISTANCE), peak(results, DISTANCE)[1]
        return below(end, 0.1 * top), (end, top)

    def restless(plain: Results, other: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = _turns(other), _turns(plain)
        return below(b, a), (a, b)

    noisy = f"{ADDITION}, perturbed"
    return [
        each(
            found[ADDITION],
            "plain: the distance ends below a tenth of its highest",
            ("distance at the end", "highest"),
            calm,
        ),
        each(
            pairs(found[ADDITION], found[noisy]),
            "perturbed: over the last third of training it turns at more of the checkpoints than plain",
            ("checkpoints (%) at which it turns, perturbed", "plain"),
            restless,
        ),
    ]


def _turns(results: Results) -> float:
    """Share (%) of the last third's checkpoints at which the distance begins to fall or to rise."""
    import numpy as np

    moves = np.sign(np.diff(course(results, DISTANCE)[-max(4, len(results.steps) // 3) :]))
    moves = moves[np.isfinite(moves)]
    return 100 * float(np.mean(moves[1:] * moves[:-1] < 0)) if len(moves) > 1 else math.nan


def _share_in_rise(column: str, results: Results) -> float:
    """Share (%) of all that a column moves from memorisation on while test accuracy rises quickly, or NaN."""
    import numpy as np

    start, begins, up = memorised(results), rise_begins(results), generalised(results)
    values = course(results, column)
    kept = np.isfinite(values) & (np.asarray(results.steps) >= start)
    moves, steps = np.abs(np.diff(values[kept])), np.asarray(results.steps)[kept][1:]
    if math.isnan(begins) or math.isnan(up) or not moves.sum() > 0:
        return math.nan
    return 100 * float(moves[(steps >= begins) & (steps <= up)].sum() / moves.sum())


def _timely(found: Mapping[str, Comparison], column: str) -> list[Part]:
    def sharply(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        a, b = _share_in_rise(column, results), _share_in_rise(L2, results)
        return below(b, a), (a, b, rise_begins(results), generalised(results))

    return _on_both(
        found,
        f"of all that {column} moves from memorisation on, more than of the l2 norm's falls into the rise of "
        f"test accuracy, from {BEGINS:.0%} of it to the grokking step",
        (f"% of {column}", "% of the norm", "rises from step", "to step"),
        sharply,
    )


def check_8(found: Mapping[str, Comparison]) -> list[Part]:
    """PMI changes at the time of grokking."""
    return _timely(found, "pmi.pmi")


def check_9(found: Mapping[str, Comparison]) -> list[Part]:
    """PE changes at the time of grokking."""
    return _timely(found, "pe.pe")


def of_order(alpha: float) -> str:
    return f"alpha {alpha:g}"


def check_10(found: Mapping[str, Comparison]) -> list[Part]:
    """The trend of PMI and PE does not rest on the order, nor on the split."""
    base = found[of_order(1)]
    parts = []
    for name, runs in found.items():
        if runs is base:
            continue
        for column in ("pmi.pmi", "pe.pe"):

            def alike(
                first: Results, second: Results, column: str = column
            ) -> tuple[bool | None, tuple[float, ...]]:
                rho = spearman(course(first, column), course(second, column))
                return below(0.9, rho), (rho,)

            rule = f"{column}: {name} and alpha 1 on the training split go together, Spearman's rho above 0.9"
            parts.append(each(pairs(base, runs), rule, ("rho",), alike))
    return parts


def check_12(found: Mapping[str, Comparison]) -> list[Part]:
    """Confidence on noised inputs rises with test accuracy on images, and turns into a fall on addition."""

    def together(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        rho = spearman(*share_of_course(results, memorised(results), PC, "test_accuracy"))
        return below(0.5, rho), (rho,)

    def turns(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up = generalised(results)
        top, first, then = peak(results, PC, end=up)[1], at(results, PC, 0), at(results, PC, up)
        return both(below(first, top), below(then, top)), (first, top, then, last(results, PC))

    def in_time(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up, begins = generalised(results), rise_begins(results)
        turn = peak(results, PC, end=up)[0]
        return below(begins, turn + 1), (turn, begins, up)

    return [
        each(
            found[IMAGES],
            f"{IMAGES}: from memorisation on, PC and test accuracy rise together: Spearman's rho above 0.5",
            ("rho",),
            together,
        ),
        each(
            found[ADDITION],
            f"{ADDITION}: PC rises, then falls: until the grokking step it has been higher than it is there",
            ("first (%)", "highest so far", "at the grokking step", "last"),
            turns,
        ),
        each(
            found[ADDITION],
            f"{ADDITION}: it turns as test accuracy rises, from {BEGINS:.0%} of that to the grokking step",
            ("PC turns at step", f"test accuracy is at {BEGINS:.0%} of its rise", "grokking step"),
            in_time,
        ),
    ]


def check_13(found: Mapping[str, Comparison]) -> list[Part]:
    """What noise does to confidence falls between memorisation and grokking."""

    def falls(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up = generalised(results)
        before = _once_memorised(results, "cd.cd")
        after = math.nan if math.isnan(up) else at(results, "cd.cd", up)
        return below(after, before), (before, after)

    return _on_both(
        found,
        "CD is lower at the grokking step than at memorisation",
        ("CD (points) at memorisation", "at the grokking step"),
        falls,
    )


def _foretells(found: Mapping[str, Comparison], column: str) -> list[Part]:
    """Before memorisation it falls sharply on addition; on images it is very small all along."""

    def falls(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        step = memorised(results)
        if math.isnan(step):
            return None, (math.nan, math.nan)
        now, top = at(results, column, step), peak(results, column, end=step)[1]
        return below(now, top / 2), (now, top)

    def small(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        top = peak(results, column)[1]
        return below(top, SMALL), (top,)

    return [
        each(
            found[ADDITION],
            f"{ADDITION}: {column} falls before memorisation: there it is below half of its highest so far",
            ("nats at memorisation", "highest so far"),
            falls,
        ),
        each(
            found[IMAGES],
            f"{IMAGES}: {column} is small throughout: below {SMALL:g} nats at every checkpoint",
            ("highest (nats)",),
            small,
        ),
    ]


def check_14(found: Mapping[str, Comparison]) -> list[Part]:
    """MID falls before the training set is known, or is small."""
    return _foretells(found, "mid.mid")


def check_15(found: Mapping[str, Comparison]) -> list[Part]:
    """ED falls before the training set is known, or is small."""
    return _foretells(found, "ed.ed")


def check_16(found: Mapping[str, Comparison]) -> list[Part]:
    """The information on labels is less timely than PMI."""

    def nearer(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up, start = generalised(results), memorised(results)
        a, b = (changed(results, column, start) for column in ("pmi.pmi", "pmi_label.pmi_label"))
        return below(log_distance(a, up), log_distance(b, up)), (a, b, up)

    return [
        each(
            found[IMAGES],
            "from memorisation on pmi.pmi changes nearer to the grokking step, in log steps, than pmi_label",
            ("PMI changes at step", "label information", "grokking step"),
            nearer,
        )
    ]
