"""Runs made up so that each figure's claim holds, or one part of it does not."""

import numpy as np

from grokscope import Comparison, Results, load_plugins
from grokscope.measure import Column
from grokscope.reproduce.checking import check
from grokscope.results import ColumnName
from grokscope.statistics.judging import Decision, decide_all, with_thresholds

HELD, NOT_HELD, UNDECIDED = Decision

FIGURES = load_plugins().figures

GRID = np.arange(0, 5001, 50)

SEEDS = 3


def level(before, after, at):
    """A course that changes once."""
    return np.where(at > GRID, float(before), float(after))


def ramp(begin, end, low=0.0, high=1.0):
    """A course that rises evenly between two steps."""
    return np.interp(GRID, [begin, end], [low, high])


def bumps(*points):
    """A course through (step, value) points, straight over log steps."""
    steps, values = zip(*points, strict=True)
    return np.interp(np.log(np.maximum(GRID, 1)), np.log(np.maximum(steps, 1)), values)


def run(test=None, *, train=None, seed=0, training=None, **columns):
    """Synthetic results: `measure__column` is the course of `measure.column`, `__` again a label."""
    named = {}
    for name, values in columns.items():
        measure, column, *label = name.split("__")
        named[f"{measure}.{column}" + (f":{label[0]}" if label else "")] = np.asarray(values, float)
    curve = {
        "step": GRID,
        "train_accuracy": level(0, 1, 100) if train is None else train,
        "test_accuracy": level(0, 1, 1000) if test is None else test,
    }
    curve |= {"train_loss": 1.0 - curve["train_accuracy"], "test_loss": 1.0 - curve["test_accuracy"]}
    curve["test_loss"] = named.pop("curve.test_loss", curve["test_loss"])
    found = Results(
        run=f"run-s{seed}",
        columns={"step": GRID.tolist(), **{name: values.tolist() for name, values in named.items()}},
        declared={name: Column(ColumnName.read(name).column, "synthetic") for name in named},
        curve=curve,
        config={
            "recipe": "synthetic",
            "task": {},
            "model": {},
            "training": {"seed": seed, **(training or {})},
        },
    )
    return with_thresholds(found)


def group(*arguments, **options):
    """The same course in every seed."""
    runs = {f"run-s{seed}": run(*arguments, seed=seed, **options) for seed in range(SEEDS)}
    return Comparison(runs, {}, {})


def on_both(**columns):
    return {name: group(**columns) for name in ("modular addition", "images")}


def against(plain, other, how, names=("modular addition", "images")):
    found = {}
    for name in names:
        found |= {name: group(level(0, 1, plain)), f"{name}, {how}": group(level(0, 1, other))}
    return found


GROKS, FAILS = level(0, 1, 1000), level(0, 0.01, 1000)

NORM_FALLS, NORM_RISES = level(10, 5, 400), level(5, 10, 400)

RISES_SLOWLY = ramp(1000, 3000)

TURNS = bumps((0, 2), (100, 70), (2500, 99), (5000, 95))

RESTLESS = level(100, 1, 500) * (1 + 0.9 * np.sin(GRID / 70))


def timely(column):
    return (
        on_both(**{column: level(0, 1, 1000), "weight_norm__l2_all": level(9, 5, 200)}),
        on_both(**{column: level(0, 1, 200), "weight_norm__l2_all": level(9, 5, 1000)}),
    )


def abelian(plain, perturbed):
    return {
        "modular addition": group(abelian__agreement__train=plain),
        "modular addition, perturbed": group(abelian__agreement__train=perturbed),
    }


def sooner(plain, **others):
    """Modular addition: plain training, and others beside it."""
    found = {"modular addition": group(level(0, 1, plain))}
    return found | {f"modular addition, {how}": group(level(0, 1, step)) for how, step in others.items()}


def foretelling(column):
    """Before memorisation at 100 it falls on addition; on images it is small all along."""
    falls, small, large = level(2, 0.5, 90), level(0.05, 0.09, 500), level(0.05, 0.5, 500)
    good = {"modular addition": group(**{column: falls}), "images": group(**{column: small})}
    bad = {"modular addition": group(**{column: falls[::-1]}), "images": group(**{column: large})}
    return good, bad


def distances(plain, perturbed):
    return {
        "modular addition": group(abelian__logit_distance__train=plain),
        "modular addition, perturbed": group(abelian__logit_distance__train=perturbed),
    }


def robust(error, sharpness):
    sharp = on_both(sharpness__trace=sharpness)
    return on_both(perturbation_error__mean=error) | {
        f"{name}, sharpness": runs for name, runs in sharp.items()
    }


def orders(**other):
    same = {"pmi__pmi": ramp(0, 5000), "pe__pe": ramp(0, 5000)}
    names = ("alpha 0.5", "alpha 1", "alpha 2", "alpha 3", "unperturbed test split")
    return {name: group(**{**same, **(other if name == "alpha 2" else {})}) for name in names}


def decays(low, high):
    return {"weight decay 0.1": group(low), "weight decay 2": group(high), "alpha 8": group(high)}


def synergies(good, bad):
    """Up to `good` before they grok, down to `bad` where they do not."""
    early = bumps((0, 0.2), (50, 0.05), (500, good), (5000, 0.05))
    low = bumps((0, 1), (50, bad), (5000, bad))
    found = {name: group(GROKS, oinfo__synergy=early) for name in (*DECAYS, "alpha 8")}
    names = ("weight decay 10", "weight decay 50", "alpha 1", "alpha 50")
    return found | {name: group(FAILS, oinfo__synergy=low) for name in names}


def parts(whole, units, others, names):
    found = {}
    for name in names:
        found |= {
            name: group(whole),
            f"{name}, synergistic units": group(units),
            f"{name}, other units": group(others),
        }
    return found


def real_data(norm, entropy, complexity, sparsity=None, test=None):
    return {
        "network": group(
            test,
            weight_norm__l2_all=norm,
            weight_entropy__total=entropy,
            circuit_complexity__kl_mean=complexity,
            activation_sparsity__mean=level(0.2, 0.6, 80) if sparsity is None else sparsity,
        )
    }


def emergence(synergy, redundancy, loss, **others):
    """Courses of the phases' three columns through points over log steps."""
    return group(
        oinfo__synergy=bumps(*synergy),
        oinfo__redundancy=bumps(*redundancy),
        curve__test_loss=bumps(*loss),
        **others,
    )


# Memorised at 100; synergy and redundancy trade places, fall together, rise together, part.
FIVE = emergence(
    ((0, 0), (100, 0.02), (300, 0.3), (800, 0.1), (2000, 0.4), (5000, 0.05)),
    ((0, 0.4), (100, 0.38), (300, 0.1), (800, 0.05), (2000, 0.2), (5000, 0.3)),
    ((0, 4), (100, 9), (300, 6), (800, 9), (2000, 4), (5000, 0.2)),
    oinfo__synergy_neurons=level(100, 100, 50),
)

DIRECTLY = emergence(
    ((0, 0), (100, 0.02), (900, 0.5), (5000, 0.05)),
    ((0, 0.4), (100, 0.05), (900, 0.03), (5000, 0.1)),
    ((0, 4), (100, 9), (900, 5), (5000, 0.2)),
    oinfo__synergy_neurons=level(200, 200, 50),
)

REDUNDANCY_LAST = emergence(
    ((0, 0), (50, 0.5), (900, 0.4), (5000, 0.4)),
    ((0, 0.4), (100, 0.4), (2000, 0.4), (5000, 0.03)),
    ((0, 4), (100, 9), (900, 5), (5000, 0.2)),
)

FALLING, RISING = level(9, 4, 1500), level(4, 9, 1500)

DECAYS = ("weight decay 0.1", "weight decay 2")

# For every figure: courses that bear its claim out, and courses that do not.
COURSES = {
    "tan-1": (on_both(weight_norm__l2_all=NORM_FALLS), on_both(weight_norm__l2_all=NORM_RISES)),
    "tan-2": (robust(level(5, 1, 500), ramp(0, 5000, 9, 1)), robust(level(1, 5, 500), ramp(0, 5000, 1, 9))),
    "tan-3": (
        {"modular addition": group(predicted_accuracy__corollary=level(0, 1, 1200))},
        {"modular addition": group(predicted_accuracy__corollary=level(0, 1, 4500))},
    ),
    "tan-4": (against(1000, 500, "perturbed"), against(1000, 3000, "perturbed")),
    "tan-5": (
        abelian(level(0.1, 1, 1200), level(0.1, 1, 80)),
        abelian(level(0.1, 1, 80), level(0.1, 1, 1200)),
    ),
    "tan-6": (
        sooner(1000, abelian=500, perturbed=700),
        sooner(1000, abelian=800, perturbed=700),
    ),
    "tan-7": (distances(level(100, 1, 500), RESTLESS), distances(RESTLESS[::-1], level(100, 1, 500))),
    "tan-8": timely("pmi__pmi"),
    "tan-9": timely("pe__pe"),
    "tan-10": (orders(), orders(pmi__pmi=ramp(0, 5000, 1, 0))),
    "tan-11": (on_both(weight_norm__l1_all=NORM_FALLS), on_both(weight_norm__l1_all=NORM_RISES)),
    "tan-12": (
        {
            "images": group(pc__pc=level(50, 90, 1000)),
            "modular addition": group(RISES_SLOWLY, pc__pc=TURNS),
        },
        {
            "images": group(pc__pc=level(90, 50, 1000)),
            "modular addition": group(RISES_SLOWLY, pc__pc=ramp(100, 5000, 2, 99)),
        },
    ),
    "tan-13": (on_both(cd__cd=level(9, 2, 500)), on_both(cd__cd=level(2, 9, 500))),
    "tan-14": foretelling("mid__mid"),
    "tan-15": foretelling("ed__ed"),
    "tan-16": (
        {"images": group(pmi__pmi=level(0, 1, 1000), pmi_label__pmi_label=level(0, 1, 200))},
        {"images": group(pmi__pmi=level(0, 1, 200), pmi_label__pmi_label=level(0, 1, 1000))},
    ),
    "clauw-1": (
        decays(ramp(1000, 4000), ramp(300, 600)),
        decays(ramp(300, 600), ramp(1000, 4000)),
    ),
    "clauw-2": ({"weight decay 0.1": FIVE}, {"weight decay 0.1": DIRECTLY}),
    "clauw-3": (
        {"weight decay 2": DIRECTLY, "weight decay 0.1": FIVE},
        {"weight decay 2": FIVE, "weight decay 0.1": DIRECTLY},
    ),
    "clauw-4": ({"alpha 8": DIRECTLY}, {"alpha 8": REDUNDANCY_LAST}),
    "clauw-5": (synergies(0.3, 0.1), synergies(0.1, 0.3)),
    "clauw-6": (
        parts(level(0, 1, 1000), level(0, 0.99, 500), FAILS, DECAYS),
        parts(level(0, 1, 1000), FAILS, level(0, 0.99, 500), DECAYS),
    ),
    "clauw-7": (
        parts(level(0, 1, 1000), level(0, 1, 1100), FAILS, ("alpha 8",)),
        parts(level(0, 1, 1000), level(0, 1, 3000), FAILS, ("alpha 8",)),
    ),
    "clauw-8": (
        {
            **{name: group(GROKS) for name in DECAYS},
            "weight decay 10": group(FAILS),
            "weight decay 50": group(FAILS),
        },
        {
            **{name: group(FAILS) for name in DECAYS},
            "weight decay 10": group(GROKS),
            "weight decay 50": group(FAILS),
        },
    ),
    "clauw-9": (
        {"alpha 1": group(FAILS), "alpha 8": group(GROKS), "alpha 50": group(FAILS)},
        {"alpha 1": group(FAILS), "alpha 8": group(FAILS), "alpha 50": group(FAILS)},
    ),
    "golechha-1": (real_data(NORM_FALLS, FALLING, FALLING), real_data(NORM_RISES, FALLING, FALLING)),
    "golechha-2": (real_data(NORM_RISES, FALLING, FALLING), real_data(NORM_FALLS, FALLING, FALLING)),
    "golechha-3": (
        {"network": group(ramp(50, 300), train=ramp(50, 300))},
        {"network": group(ramp(2000, 3000), train=ramp(50, 300))},
    ),
    "golechha-4": (real_data(NORM_FALLS, FALLING, FALLING), real_data(NORM_FALLS, RISING, RISING)),
}


def verdict(name, found):
    return decide_all(part.verdict for part in check(FIGURES[name], found))
