"""What the figures of Tan & Huang 2023 rest on: the networks trained, and the ways to read the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from grokscope import figure

ADDITION, IMAGES = "modular addition", "images"
BOTH = (ADDITION, IMAGES)
ORDERS = (0.5, 1, 2, 3)
UNPERTURBED = "unperturbed test split"

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
FLOAT64 = figure.Reading(
    "float64",
    "the loss of logits cast to float64, as Nanda et al. train, whose setting the paper takes; logits as "
    "they are; an MLP's first layer before its ReLU",
)
FLOAT32 = figure.Reading(
    "float32",
    "the loss in float32, as training is where nothing is said of it",
    recipes={"nanda": "nanda-float32"},
    settings={"loss_dtype": "float32"},
    tasks=("modadd",),
)
CENTRED = figure.Reading(
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
AFTER_RELU = figure.Reading(
    "after ReLU",
    "an MLP's first layer after its ReLU (a transformer's has none), all else as in the first reading",
    parameters={"pmi.first_layer": "post", "mid.first_layer": "post"},
    tasks=("mnist",),
)
BEFORE_RELU = figure.Reading("before ReLU", "the MLP's first layer before its ReLU")
PRECISION = (FLOAT64, FLOAT32)
FIRST_LAYER = (BEFORE_RELU, AFTER_RELU)
LOGITS = (FLOAT64, CENTRED, FLOAT32, FLOAT32_CENTRED)

ON_IMAGES = {"stand-in": BEYOND["stand-in"]}
ON_ADDITION = {"quick": BEYOND["quick"]}


def addition(
    *measures: str, recipe: str = "nanda", steps: str = "all", settings: Mapping[str, Any] | None = None
) -> figure.Group:
    """Return runs of the transformer on modular addition."""
    given = dict(settings or {})
    return figure.Group(
        figure.Trained("modadd", recipe, given, quick={**SMALLER, **given}, seeds=1), measures, steps
    )


def images(
    *measures: str, recipe: str = "mnist", steps: str = "all", parameters: Mapping[str, Any] | None = None
) -> figure.Group:
    """Return runs on MNIST, or on digits where it is not at hand."""
    return figure.Group(
        figure.Trained("mnist", recipe, seeds=1),
        measures,
        steps,
        "every:2" if steps == "all" else steps,
        parameters or {},
        stand_ins=(figure.Trained("digits", recipe.replace("mnist", "digits"), seeds=3),),
    )


def early(*measures: str) -> dict[str, figure.Group]:
    """Return plain runs of both tasks, as long as the early steps last."""
    return {ADDITION: addition(*measures, settings=EARLY), IMAGES: images(*measures)}


def plain(*measures: str, steps: str = "all") -> dict[str, figure.Group]:
    """Return plain runs of both tasks."""
    return {ADDITION: addition(*measures, steps=steps), IMAGES: images(*measures, steps=steps)}


def perturbed(*measures: str, with_images: bool = True) -> dict[str, figure.Group]:
    """Return plain and perturbed runs, side by side."""
    found = {
        ADDITION: addition(*measures),
        f"{ADDITION}, perturbed": addition(*measures, recipe="nanda-perturbed"),
    }
    if with_images:
        found |= {IMAGES: images(), f"{IMAGES}, perturbed": images(recipe="mnist-perturbed")}
    return found


def of_order(alpha: float) -> str:
    """Return the name of the runs whose information is of this order."""
    return f"alpha {alpha:g}"
