"""The sixteen figures of Tan & Huang 2023: weight norm, robustness, commutativity and matrix information."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from grokscope.reproduce import tan_checks as checks
from grokscope.reproduce.figure import Figure, Group, Panel, Paper, Reading, Trained
from grokscope.reproduce.tan_checks import (
    ADDITION,
    AGREEMENT,
    BOTH,
    DISTANCE,
    IMAGES,
    L1,
    L2,
    ORDERS,
    UNPERTURBED,
    of_order,
)

PAPER = Paper("tan", "Tan & Huang 2023", "2311.06597")
UNREAD = "the panels are reconstructed from the caption and the text"
NUMBERED = (
    "numbered as in the paper: 11 is the l1 norm, 12 PC, 13 CD, 14 MID, 15 ED; until November 2026 tan-11 "
    "was PC, tan-12 CD, tan-13 MID, tan-14 ED and tan-15 the l1 norm"
)

# Half of the pairs modulo 53: a minute or three instead of half an hour, and it groks.
SMALLER = {"p": 53, "train_fraction": 0.5, "steps": 3000, "checkpoint_every": 50}
# What happens before memorisation, which comes by step 300: the first steps of `nanda`, looked at finely.
EARLY = {"steps": 300, "checkpoint_every": 10, "log_every": 5}
# The paper speaks of p = 113 and of MNIST: what stands in for these is shown, and decides nothing.
BEYOND = {
    "quick": "--quick trains p = 53 in place of the paper's p = 113",
    "stand-in": "digits are not the paper's MNIST",
}
# The paper says nothing of these; the first is what the code does whose setting it takes.
FLOAT64 = Reading(
    "float64",
    "the loss of logits cast to float64, as Nanda et al. train, whose setting the paper takes; logits as "
    "they are; an MLP's first layer before its ReLU",
)
FLOAT32 = Reading(
    "float32",
    "the loss in float32, as training is where nothing is said of it",
    recipes={"nanda": "nanda-float32"},
    settings={"loss_dtype": "float32"},
    tasks=("modadd",),
)
CENTRED = Reading(
    "centred",
    "as float64, each example's mean logit taken out, which the cross-entropy does not see",
    columns={f"{name}.{name}": f"{name}.{name}_centred" for name in ("pmi", "pe", "mid", "ed")},
    tasks=("modadd",),
)
FLOAT32_CENTRED = replace(
    FLOAT32,
    name="float32 centred",
    takes="as float32, each example's mean logit taken out",
    columns=CENTRED.columns,
)
AFTER_RELU = Reading(
    "after ReLU",
    "an MLP's first layer after its ReLU (a transformer's has none), all else as in the first reading",
    parameters={"pmi.first_layer": "post", "mid.first_layer": "post"},
    tasks=("mnist",),
)
BEFORE_RELU = Reading("before ReLU", "the MLP's first layer before its ReLU")
PRECISION = (FLOAT64, FLOAT32)
FIRST_LAYER = (BEFORE_RELU, AFTER_RELU)
LOGITS = (FLOAT64, CENTRED, FLOAT32, FLOAT32_CENTRED)

ON_IMAGES = {"stand-in": BEYOND["stand-in"]}
ON_ADDITION = {"quick": BEYOND["quick"]}


def _addition(
    *measures: str, recipe: str = "nanda", steps: str = "all", settings: Mapping[str, Any] | None = None
) -> Group:
    given = dict(settings or {})
    return Group(Trained("modadd", recipe, given, quick={**SMALLER, **given}, seeds=1), measures, steps)


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


def _early(*measures: str) -> dict[str, Group]:
    return {ADDITION: _addition(*measures, settings=EARLY), IMAGES: _images(*measures)}


def _plain(*measures: str, steps: str = "all") -> dict[str, Group]:
    return {ADDITION: _addition(*measures, steps=steps), IMAGES: _images(*measures, steps=steps)}


def _beside_accuracy(*columns: str) -> tuple[Panel, ...]:
    """Accuracies on the left, columns on the right, one panel for each data set."""
    return tuple(Panel((name,), right=columns, title=name) for name in BOTH)


def _perturbed(*measures: str, images: bool = True) -> dict[str, Group]:
    found = {
        ADDITION: _addition(*measures),
        f"{ADDITION}, perturbed": _addition(*measures, recipe="nanda-perturbed"),
    }
    if images:
        found |= {IMAGES: _images(), f"{IMAGES}, perturbed": _images(recipe="mnist-perturbed")}
    return found


INFORMATION = ("pmi", "pe")
CLEAN = {"split": "test", "sigma": 0}
SIGN = (
    "{} may foretell grokking: before train accuracy is 100 % it has a phase of consistent decrease on "
    "modular addition, and on MNIST it is very small throughout."
)

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
        checks.check_1,
        beyond=BEYOND,
        readings=PRECISION,
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
        checks.check_2,
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=PRECISION,
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
        checks.check_3,
        beyond=ON_ADDITION,
        readings=PRECISION,
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
        checks.check_4,
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=PRECISION,
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
        checks.check_5,
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    Figure(
        PAPER,
        6,
        "Training that is made to be commutative",
        "A term in the loss that draws f(a, b) and f(b, a) together, a logits level MSE loss with "
        "coefficient 100, speeds generalisation up, and more than perturbed inputs do.",
        "section 5",
        {
            ADDITION: _addition("abelian"),
            f"{ADDITION}, abelian": _addition("abelian", recipe="nanda-abelian"),
            f"{ADDITION}, perturbed": _addition("abelian", recipe="nanda-perturbed"),
        },
        (Panel((ADDITION, f"{ADDITION}, abelian", f"{ADDITION}, perturbed")),),
        checks.check_6,
        reconstructed=UNREAD,
        beyond=ON_ADDITION,
        readings=PRECISION,
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
        checks.check_7,
        reconstructed=UNREAD,
        beyond=ON_ADDITION,
        readings=PRECISION,
    ),
    Figure(
        PAPER,
        8,
        "Perturbed mutual information (PMI) on the training set",
        "PMI changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        _plain("pmi", "weight_norm"),
        _beside_accuracy("pmi.pmi"),
        checks.check_8,
        reconstructed=UNREAD,
        beyond=BEYOND,
        readings=(*LOGITS, AFTER_RELU),
    ),
    Figure(
        PAPER,
        9,
        "Perturbed entropy (PE) on the training set",
        "PE changes sharply at the time of grokking, which makes it a better indicator than the l2 norm.",
        "section 6",
        _plain("pe", "weight_norm"),
        _beside_accuracy("pe.pe"),
        checks.check_9,
        beyond=BEYOND,
        readings=LOGITS,
    ),
    Figure(
        PAPER,
        10,
        "PMI and PE of several orders alpha, and on the unperturbed test set",
        "The tendencies are not significantly affected by the order of the entropy, nor by the data set: "
        "they stay on MNIST's unperturbed test set.",
        "section 7",
        {
            **{
                of_order(alpha): _images(
                    *INFORMATION, parameters={f"{name}.alpha": alpha for name in INFORMATION}
                )
                for alpha in ORDERS
            },
            UNPERTURBED: _images(
                *INFORMATION,
                parameters={f"{name}.{key}": value for name in INFORMATION for key, value in CLEAN.items()},
            ),
        },
        tuple(Panel((*map(of_order, ORDERS), UNPERTURBED), (column,)) for column in ("pmi.pmi", "pe.pe")),
        checks.check_10,
        reconstructed=UNREAD,
        beyond=ON_IMAGES,
        readings=FIRST_LAYER,
    ),
    Figure(
        PAPER,
        11,
        "Accuracy and l1 weight norm",
        "What is shown of the l2 norm holds of the l1 norm, which bounds it: its decay is sufficient too.",
        "appendix A.1, Corollary A.2",
        _plain("weight_norm"),
        _beside_accuracy(L1),
        checks.check_11,
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    Figure(
        PAPER,
        12,
        "Perturb confidence (PC) on the training set",
        "The tendency of PC changes sharply when test accuracy undergoes its quick increase: on MNIST to a "
        "quick increase, on modular addition into a decrease from the initial increasing tendency.",
        "appendix B.1",
        _plain("pc"),
        _beside_accuracy("pc.pc"),
        checks.check_12,
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    Figure(
        PAPER,
        13,
        "Confidence difference (CD)",
        "What noise takes from the confidence falls between train accuracy 100 % and grokking.",
        "appendix B.2.1",
        _plain("cd"),
        _beside_accuracy("cd.cd"),
        checks.check_13,
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=PRECISION,
    ),
    Figure(
        PAPER,
        14,
        "Mutual information difference (MID)",
        SIGN.format("MID"),
        "appendix B.2.2",
        _early("mid"),
        _beside_accuracy("mid.mid"),
        checks.check_14,
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=(*LOGITS, AFTER_RELU),
    ),
    Figure(
        PAPER,
        15,
        "Entropy difference (ED)",
        SIGN.format("ED"),
        "appendix B.2.2",
        _early("ed"),
        _beside_accuracy("ed.ed"),
        checks.check_15,
        reconstructed=NUMBERED,
        beyond=BEYOND,
        readings=LOGITS,
    ),
    Figure(
        PAPER,
        16,
        "Information of noised logits on the labels (PMI')",
        "What the noised logits tell of the labels is connected with grokking in a less timely way than PMI.",
        "appendix C",
        {IMAGES: _images("pmi", "pmi_label")},
        (Panel((IMAGES,), right=("pmi.pmi", "pmi_label.pmi_label"), normalise=True),),
        checks.check_16,
        reconstructed=UNREAD,
        beyond=ON_IMAGES,
        readings=FIRST_LAYER,
    ),
)
