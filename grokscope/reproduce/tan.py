"""The sixteen figures of Tan & Huang 2023: weight norm, robustness, commutativity and matrix information."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from grokscope.reproduce.courses import (
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
from grokscope.reproduce.figure import Figure, Group, Panel, Paper, Part, Trained
from grokscope.statistics.correlation import spearman

if TYPE_CHECKING:
    from grokscope.analysis import Comparison, Results

PAPER = Paper("tan", "Tan & Huang 2023", "2311.06597")
ADDITION, IMAGES = "modular addition", "images"
BOTH = (ADDITION, IMAGES)
L2, L1 = "weight_norm.l2_all", "weight_norm.l1_all"
AGREEMENT, DISTANCE = "abelian.agreement:train", "abelian.logit_distance:train"
UNREAD = "the caption and the panels are reconstructed from the text"
UNPLACED = "neither its caption nor its number was at hand: the text's claim, in the order of the text"

# Half of the pairs modulo 53: a minute or three instead of half an hour, and it groks.
SMALLER = {"p": 53, "train_fraction": 0.5, "steps": 3000, "checkpoint_every": 50}


def _addition(*measures: str, recipe: str = "nanda", steps: str = "all") -> Group:
    return Group(Trained("modadd", recipe, quick=SMALLER, seeds=1), measures, steps)


def _images(
    *measures: str, recipe: str = "mnist", steps: str = "all", parameters: Mapping[str, Any] | None = None
) -> Group:
    return Group(
        Trained("mnist", recipe, seeds=1),
        measures,
        steps,
        "every:2" if steps == "all" else steps,
        parameters or {},
        stand_in=Trained("digits", recipe.replace("mnist", "digits"), seeds=3),
    )


def _plain(*measures: str, steps: str = "all") -> dict[str, Group]:
    return {ADDITION: _addition(*measures, steps=steps), IMAGES: _images(*measures, steps=steps)}


def _beside_accuracy(*columns: str) -> tuple[Panel, ...]:
    """Accuracies on the left, columns on the right, one panel for each data set."""
    return tuple(Panel((name,), right=columns, title=name) for name in BOTH)


def _on_both(
    found: Mapping[str, Comparison],
    rule: str,
    names: tuple[str, ...],
    judge: Callable[[Results], tuple[bool | None, tuple[float, ...]]],
) -> list[Part]:
    return [each(found[name], f"{name}: {rule}", names, judge) for name in BOTH]


def _falls_with_the_rise(column: str, results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether a column ends lower than at memorisation, and changed before the run grokked."""
    up = generalised(results)
    before, after, when = (
        at(results, column, memorised(results)),
        last(results, column),
        changed(results, column),
    )
    return both(below(after, before), below(when, up)), (before, after, when, up)


def check_norm(found: Mapping[str, Comparison], column: str) -> list[Part]:
    """The norm falls, and before the run groks."""
    return _on_both(
        found,
        "the norm ends below its value at memorisation, and changes before the grokking step",
        ("norm at memorisation", "at the end", "changes at step", "grokking step"),
        lambda results: _falls_with_the_rise(column, results),
    )


def check_1(found: Mapping[str, Comparison]) -> list[Part]:
    """Figure 1: the l2 norm."""
    return check_norm(found, L2)


def check_15(found: Mapping[str, Comparison]) -> list[Part]:
    """Figure 15: the l1 norm."""
    return check_norm(found, L1)


def check_2(found: Mapping[str, Comparison]) -> list[Part]:
    """Perturbation error falls once the training set is known; sharpness falls all along."""

    def error(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        column = "perturbation_error.mean"
        before, after = at(results, column, memorised(results)), last(results, column)
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
    """Training with the abelian term generalises earlier."""
    return _faster(found, "abelian", (ADDITION,))


def check_5(found: Mapping[str, Comparison]) -> list[Part]:
    """Plain training is not commutative before it groks; perturbed training is once it has memorised."""

    def late(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        half = (
            at(results, AGREEMENT, reached(results, 0.5))
            if not math.isnan(reached(results, 0.5))
            else math.nan
        )
        known = at(results, AGREEMENT, memorised(results)) if not math.isnan(memorised(results)) else math.nan
        return both(below(known, 0.9), below(half, 0.9)), (100 * known, 100 * half)

    def early(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        step = memorised(results)
        # Measured at the next checkpoint: the one before may lie well before memorisation.
        after = [known for known in results.steps if known >= step]
        known = at(results, AGREEMENT, after[0]) if after else math.nan
        return below(0.9, known), (step, 100 * known)

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


def _closer(first: str, second: str, results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether `first` changes nearer, over log steps, to the grokking step than `second`."""
    up, a, b = generalised(results), changed(results, first), changed(results, second)
    return below(log_distance(a, up), log_distance(b, up)), (a, b, up)


def _timely(found: Mapping[str, Comparison], column: str) -> list[Part]:
    return _on_both(
        found,
        f"{column} changes nearer to the grokking step, over log steps, than the l2 norm",
        (f"{column} changes at step", "the norm", "grokking step"),
        lambda results: _closer(column, L2, results),
    )


def check_8(found: Mapping[str, Comparison]) -> list[Part]:
    """PMI changes at the time of grokking."""
    return _timely(found, "pmi.pmi")


def check_9(found: Mapping[str, Comparison]) -> list[Part]:
    """PE changes at the time of grokking."""
    return _timely(found, "pe.pe")


ORDERS = (0.5, 1, 2, 3)


def _of_order(alpha: float) -> str:
    return f"alpha {alpha:g}"


def check_10(found: Mapping[str, Comparison]) -> list[Part]:
    """The trend of PMI and PE does not rest on the order, nor on the split."""
    base = found[_of_order(1)]
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


def check_11(found: Mapping[str, Comparison]) -> list[Part]:
    """Confidence on noised inputs goes with test accuracy."""

    def together(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        rho = spearman(*share_of_course(results, memorised(results), "pc.pc", "test_accuracy"))
        return below(0.5, rho), (rho,)

    rule = "from memorisation on, PC and test accuracy rise together: Spearman's rho above 0.5"
    return _on_both(found, rule, ("rho",), together)


def check_12(found: Mapping[str, Comparison]) -> list[Part]:
    """What noise does to confidence falls between memorisation and grokking."""

    def falls(results: Results) -> tuple[bool | None, tuple[float, ...]]:
        up = generalised(results)
        before = at(results, "cd.cd", memorised(results))
        after = math.nan if math.isnan(up) else at(results, "cd.cd", up)
        return below(after, before), (before, after)

    return _on_both(
        found,
        "CD is lower at the grokking step than at memorisation",
        ("CD (points) at memorisation", "at the grokking step"),
        falls,
    )


def _small_or_falling(column: str, results: Results) -> tuple[bool | None, tuple[float, ...]]:
    """Whether a column is at most 0.1 nats at memorisation, or half of its highest until then."""
    step = memorised(results)
    if math.isnan(step):
        return None, (math.nan, math.nan)
    now, top = at(results, column, step), peak(results, column, end=step)[1]
    return None if math.isnan(now) else now <= 0.1 or now <= top / 2, (now, top)


def _foretells(found: Mapping[str, Comparison], column: str) -> list[Part]:
    return _on_both(
        found,
        f"{column} is at most 0.1 nats at memorisation, or at most half of its highest until then",
        ("nats at memorisation", "highest until then"),
        lambda results: _small_or_falling(column, results),
    )


def check_13(found: Mapping[str, Comparison]) -> list[Part]:
    """MID is small or has fallen before the training set is known."""
    return _foretells(found, "mid.mid")


def check_14(found: Mapping[str, Comparison]) -> list[Part]:
    """ED is small or has fallen before the training set is known."""
    return _foretells(found, "ed.ed")


def check_16(found: Mapping[str, Comparison]) -> list[Part]:
    """The information on labels is less timely than PMI."""
    return [
        each(
            found[IMAGES],
            "pmi.pmi changes nearer to the grokking step, over log steps, than pmi_label does",
            ("PMI changes at step", "label information", "grokking step"),
            lambda results: _closer("pmi.pmi", "pmi_label.pmi_label", results),
        )
    ]


def _perturbed(*measures: str, images: bool = True) -> dict[str, Group]:
    found = {
        ADDITION: _addition(*measures),
        f"{ADDITION}, perturbed": _addition(*measures, recipe="nanda-perturbed"),
    }
    if images:
        found |= {IMAGES: _images(), f"{IMAGES}, perturbed": _images(recipe="mnist-perturbed")}
    return found


INFORMATION = ("pmi", "pe")
SIGN = "They may foretell grokking when small, or sharply falling, before train accuracy is 100 %: "

FIGURES = (
    Figure(
        PAPER,
        1,
        "Accuracy and weight norm on MNIST and modular addition",
        "When test accuracy rises the l2 weight norm drops; its decrease usually comes before the grokking, "
        "so that it is a sufficient sign of it and not a simultaneous one.",
        "section 1",
        _plain("weight_norm"),
        _beside_accuracy(L2),
        check_1,
    ),
    Figure(
        PAPER,
        2,
        "Perturbation error and sharpness",
        "The perturbation error decays after train accuracy is 100 %, and sharpness decreases all through "
        "training, as Lemma 4.1 has it.",
        "section 4",
        {
            **_plain("perturbation_error"),
            # Estimated for the transformer, at some seconds a checkpoint.
            **{f"{name}, sharpness": group for name, group in _plain("sharpness", steps="every:5").items()},
        },
        tuple(
            Panel((f"{name}{which}",), right=(column,), title=name, log_y=True)
            for which, column in (("", "perturbation_error.mean"), (", sharpness", "sharpness.trace"))
            for name in BOTH
        ),
        check_2,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        3,
        "The predicted accuracy matches the real test accuracy",
        "With the constants a = 1925, b = 500 and mu = 1/100 the accuracy that Corollary 4.3 predicts from "
        "the steps matches the real test accuracy on modular addition.",
        "section 4",
        {ADDITION: _addition("predicted_accuracy")},
        (Panel((ADDITION,), ("test_accuracy", "predicted_accuracy.corollary")),),
        check_3,
        beyond={"quick": "the constants were fitted to p = 113, and --quick trains p = 53"},
    ),
    Figure(
        PAPER,
        4,
        "Training with perturbed inputs",
        "Gaussian noise on the input, less of it as train accuracy rises, speeds up generalisation on MNIST "
        "and on modular addition.",
        "section 4",
        _perturbed(),
        tuple(
            Panel((name, f"{name}, perturbed"), ("train_accuracy", "test_accuracy"), title=name)
            for name in BOTH
        ),
        check_4,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        5,
        "The abelian test: does the network answer b + a as a + b?",
        "Plain training does not learn the commutative law before it groks; perturbed training has learned "
        "it on the training set right after train accuracy is 100 %.",
        "section 5",
        _perturbed("abelian", images=False),
        (
            Panel((ADDITION,), ("train_accuracy", "test_accuracy", AGREEMENT), title="plain"),
            Panel(
                (f"{ADDITION}, perturbed",),
                ("train_accuracy", "test_accuracy", AGREEMENT),
                title="perturbed",
            ),
        ),
        check_5,
    ),
    Figure(
        PAPER,
        6,
        "Training that is made to be commutative",
        "A term in the loss that draws f(a, b) and f(b, a) together, with weight 100, speeds generalisation "
        "up.",
        "section 5",
        {
            ADDITION: _addition("abelian"),
            f"{ADDITION}, abelian": _addition("abelian", recipe="nanda-abelian"),
        },
        (Panel((ADDITION, f"{ADDITION}, abelian")),),
        check_6,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        7,
        "Distance of the logits of a + b and b + a",
        "After grokking the distance is steadily near 0 under plain training, and behaves chaotically under "
        "perturbed training: the networks differ in how they represent the task.",
        "section 5",
        _perturbed("abelian", images=False),
        (
            Panel((ADDITION,), right=(DISTANCE,), title="plain"),
            Panel((f"{ADDITION}, perturbed",), right=(DISTANCE,), title="perturbed"),
        ),
        check_7,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        8,
        "Perturbed mutual information (PMI) on the training set",
        "PMI changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        _plain("pmi", "weight_norm"),
        _beside_accuracy("pmi.pmi"),
        check_8,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        9,
        "Perturbed entropy (PE) on the training set",
        "PE changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        _plain("pe", "weight_norm"),
        _beside_accuracy("pe.pe"),
        check_9,
    ),
    Figure(
        PAPER,
        10,
        "PMI and PE of several orders alpha, and on the test set",
        "The trend does not depend on the order of the entropy, nor on which split is measured.",
        "section 6",
        {
            **{
                _of_order(alpha): _images(
                    *INFORMATION, parameters={f"{name}.alpha": alpha for name in INFORMATION}
                )
                for alpha in ORDERS
            },
            "test split": _images(*INFORMATION, parameters={f"{name}.split": "test" for name in INFORMATION}),
        },
        tuple(Panel((*map(_of_order, ORDERS), "test split"), (column,)) for column in ("pmi.pmi", "pe.pe")),
        check_10,
        reconstructed=UNREAD,
    ),
    Figure(
        PAPER,
        11,
        "Perturbed confidence (PC)",
        "The confidence on noised training inputs goes with the grokking on the test set.",
        "appendix B.2",
        _plain("pc"),
        _beside_accuracy("pc.pc"),
        check_11,
        reconstructed=UNPLACED,
    ),
    Figure(
        PAPER,
        12,
        "Confidence deviation (CD)",
        "What noise takes from the confidence falls between memorisation and grokking.",
        "appendix B.2",
        _plain("cd"),
        _beside_accuracy("cd.cd"),
        check_12,
        reconstructed=UNPLACED,
    ),
    Figure(
        PAPER,
        13,
        "Mutual information difference (MID)",
        SIGN + "MID.",
        "appendix B.2.2",
        _plain("mid"),
        _beside_accuracy("mid.mid"),
        check_13,
        reconstructed=UNPLACED,
    ),
    Figure(
        PAPER,
        14,
        "Entropy difference (ED)",
        SIGN + "ED.",
        "appendix B.2.2",
        _plain("ed"),
        _beside_accuracy("ed.ed"),
        check_14,
        reconstructed=UNPLACED,
    ),
    Figure(
        PAPER,
        15,
        "Accuracy and l1 weight norm",
        "What is shown of the l2 norm holds of the l1 norm, which bounds it: its decay is sufficient too.",
        "Corollary 3.4",
        _plain("weight_norm"),
        _beside_accuracy(L1),
        check_15,
        reconstructed=UNPLACED,
    ),
    Figure(
        PAPER,
        16,
        "Information of noised logits on the labels",
        "What the noised logits tell of the labels is connected with grokking in a less timely way than PMI.",
        "appendix C",
        {IMAGES: _images("pmi", "pmi_label")},
        (Panel((IMAGES,), right=("pmi.pmi", "pmi_label.pmi_label"), normalise=True),),
        check_16,
        reconstructed=UNREAD,
    ),
)
