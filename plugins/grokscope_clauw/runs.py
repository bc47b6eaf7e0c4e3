"""What the figures of Clauw et al. 2024 rest on: the networks trained, and the ways to read the paper."""

from __future__ import annotations

from typing import Any

from grokscope import figure
from grokscope_clauw.claims import SYNERGY

# Denser before step 1000, where the small phases at weight decay 0.1 lie; 4000 steps are the authors'.
DENSE = ",".join(map(str, [*range(0, 1000, 10), *range(1000, 4001, 20)]))
DECAYS: dict[str, dict[str, Any]] = {
    "weight decay 0.1": {
        "weight_decay": 0.1,
        "steps": 4000,
        "checkpoint_every": DENSE,
        "log_every": 10,
    },
    "weight decay 2": {},
    "weight decay 10": {"weight_decay": 10, "steps": 2000, "checkpoint_every": 20, "log_every": 10},
    "weight decay 50": {"weight_decay": 50, "steps": 2000, "checkpoint_every": 20, "log_every": 10},
}
ALPHAS = (1, 8, 50)
# As in the released code, whose multiplets leave out the one of all clusters.
RELEASED = {"oinfo.variables": "units", "oinfo.ties": "average", "oinfo.max_size": 9}

UNITS = figure.Reading(
    "units",
    "single units as variables and no biases, as released, with average ranks where the released code breaks "
    "ties by order",
)
ARGSORT = figure.Reading(
    "argsort",
    "ranks by argsort, as in the released code, where ties count as agreement",
    parameters={"oinfo.ties": "argsort"},
)
MEAN = figure.Reading(
    "mean",
    "the mean of a cluster's units as its one variable, as the text can be read",
    parameters={"oinfo.variables": "mean"},
)
BIAS = figure.Reading(
    "bias",
    "a hidden bias, as in the paper's formula",
    recipes={"clauw": "clauw-bias"},
    settings={"hidden_bias": True},
)
TEXT = figure.Reading(
    "mean-bias",
    "cluster means and a hidden bias: the text and the formula to the letter",
    recipes=BIAS.recipes,
    settings=BIAS.settings,
    parameters=MEAN.parameters,
)
# Laid over networks of weight decay it changes nothing: none is set to zero there.
LAST_LAYER = figure.Reading(
    "last-layer",
    "the last layer starts as drawn and not at zero, as in the released configuration of alpha",
    settings={"init_zero": "none"},
)
MEASURED = (UNITS, ARGSORT, MEAN, BIAS, TEXT)


def decay_of(name: str, *measures: str) -> figure.Group:
    """Return the runs of one weight decay."""
    trained = figure.Trained("modadd", "clauw", DECAYS[name], seeds=5)
    every = "all" if name == "weight decay 0.1" else "every:2"
    return figure.Group(trained, measures, every, parameters=RELEASED if measures else {})


def alpha_of(alpha: int, *measures: str) -> figure.Group:
    """Return the runs of one scale of the initialisation."""
    settings = {"init_scale": alpha, "checkpoint_every": 10}
    trained = figure.Trained("modadd", "clauw-alpha8", settings, seeds=5)
    every = "all" if alpha == 8 else "every:2"
    return figure.Group(trained, measures, every, parameters=RELEASED if measures else {})


def parts_of(of: str) -> dict[str, figure.Group]:
    """The synergistic sub-network of a group's runs, and the other units."""
    return {
        f"{of}, synergistic units": figure.Group(figure.Subnetwork(of, SYNERGY, parameters=RELEASED)),
        f"{of}, other units": figure.Group(figure.Subnetwork(of, SYNERGY, inverse=True, parameters=RELEASED)),
    }
