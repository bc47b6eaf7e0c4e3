"""Of each figure of a paper beyond the three: runs that bear its claim out, and runs that do not."""

import numpy as np
from synthetic import FAILS, GRID, bumps, group, level, ramp

ADDITION = "modular addition"


def phases(excluded, restricted, gini, norm):
    """Memorised at 100; test accuracy rises from 1000 to 3000."""
    columns = {
        "fourier__excluded_loss": excluded,
        "fourier__restricted_loss": restricted,
        "fourier__gini_embedding": gini,
        "weight_norm__l2_all": norm,
    }
    return {ADDITION: group(ramp(1000, 3000), **columns)}


def decays(more, less):
    """The steps at which runs with more and with less decay grok, and have come to one norm."""
    of = {"weight decay 2": (more, 2.0), "weight decay 0.1": (less, 0.5)}
    return {
        name: group(level(0, 1, at), training={"weight_decay": decay}, weight_norm__l2_all=level(9, 3, at))
        for name, (at, decay) in of.items()
    }


def laziness(lazy, rich, kernel):
    return {
        "alpha 4": group(level(0, 1, lazy), ntk_distance__distance=kernel),
        "alpha 1": group(level(0, 1, rich)),
    }


def gradients(orthogonal, plain):
    """Without regularisation."""
    of = {"orthogonal gradient": (orthogonal, "tensor"), "AdamW": (plain, None)}
    return {
        name: group(test, training={"loss": "cross_entropy", "orthogonal_gradient": which})
        for name, (test, which) in of.items()
    }


def complexity(*points):
    return {ADDITION: group(compression__packed_bytes=bumps(*points))}


def defect(onset):
    return {ADDITION: group(commutator_defect__defect=level(5, 900, onset))}


COURSES = {
    "nanda-7": (
        phases(
            ramp(0, 5000, 1, 9),
            np.exp(-GRID / 500),
            bumps((0, 0.1), (1000, 0.15), (3000, 0.8), (5000, 0.8)),
            bumps((0, 60), (1000, 58), (3000, 30), (5000, 29)),
        ),
        phases(
            ramp(0, 5000, 9, 1),
            level(1, 1e-6, 2000),
            ramp(0, 1000, 0.1, 0.8),
            ramp(0, 1000, 60, 30),
        ),
    ),
    "omnigrok-2": (decays(1000, 4000), decays(4000, 1000)),
    "kumar-3": (laziness(4000, 500, level(0, 1, 3000)), laziness(500, 4000, level(1, 0, 90))),
    "prieto-6": (gradients(level(0, 1, 300), FAILS), gradients(FAILS, level(0, 1, 1000))),
    "demoss-2": (
        complexity((0, 40), (100, 90), (900, 90), (2000, 50), (5000, 50)),
        complexity((0, 40), (100, 90), (900, 90), (2000, 120), (5000, 120)),
    ),
    "xu-6": (defect(600), defect(2000)),
}
