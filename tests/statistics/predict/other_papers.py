"""Of each claim of a paper beyond the three: courses that satisfy it and courses that contradict it."""

import numpy as np

STEPS = np.arange(0, 1001, 10)  # memorised at 50, grokked at 400
LOG = np.log10(1 + STEPS)
SUDDEN = np.where(STEPS >= 400, 1.0, 0.1)
LATE = np.where(STEPS >= 300, 1.0, 0.1)
EARLY = np.where(STEPS >= 40, 1.0, 0.1)
RISES, FALLS = 1 + STEPS / 1000, 9 - STEPS / 200
EXPLODES = 5 + 900 * (STEPS >= 300)
NORM, MARGIN, DEGREE = "weight_norm.l2_all", "margin.median", "margin.degree"
RESTRICTED, GINI = "fourier.restricted_loss", "fourier.gini_embedding"
KERNEL, COLLAPSE = "ntk_distance.distance", "softmax_collapse.train_zero_loss"
BYTES, DEFECT = "compression.packed_bytes", "commutator_defect.defect"
UNREGULARISED = {"loss": "cross_entropy", "weight_decay": 0.0}

# name: columns that satisfy it, columns that contradict it, how the runs are trained
EACH_RUN = {
    "excluded_loss_rises": ({"fourier.excluded_loss": RISES}, {"fourier.excluded_loss": FALLS}, {}),
    "restricted_loss_falls_first": (
        {RESTRICTED: np.exp(-STEPS / 100)},
        {RESTRICTED: np.exp(-4 * SUDDEN * (STEPS > 400))},
        {},
    ),
    "gini_rises_in_cleanup": ({GINI: SUDDEN}, {GINI: RISES - SUDDEN}, {}),
    "norm_falls_in_cleanup": ({NORM: 9 - SUDDEN}, {NORM: FALLS + SUDDEN}, {}),
    "test_loss_falls_with_norm": ({NORM: 9 - SUDDEN}, {NORM: 9 + LOG}, {}),
    "kernel_moves_after_memorising": ({KERNEL: LATE}, {KERNEL: EARLY + STEPS / 9000}, {}),
    "test_loss_falls_as_kernel_moves": ({KERNEL: LATE}, {KERNEL: 1 - LATE / 2 + EARLY}, {}),
    "margins_grow_by_scale": (
        {MARGIN: RISES**2, NORM: RISES, DEGREE: np.full(len(STEPS), 2.0)},
        {MARGIN: RISES**2, NORM: FALLS, DEGREE: np.full(len(STEPS), 2.0)},
        UNREGULARISED,
    ),
    "complexity_rises_and_falls": ({BYTES: 90 + 9 * LATE * (STEPS < 400)}, {BYTES: 90 + LOG}, {}),
    "defect_grows_first": ({DEFECT: EXPLODES}, {DEFECT: 5 + 900 * (STEPS >= 500)}, {}),
}
# Options of runs that satisfy and contradict it, how they are trained.
OF_OPTIONS = {
    "collapse_stops_generalising": (
        {"grok": None, "columns": {COLLAPSE: LATE}},
        {"grok": 400, "columns": {COLLAPSE: LATE}},
        UNREGULARISED,
    ),
}
BETWEEN = {
    "complexity_fall_tells": ({BYTES: 90 - LATE}, {BYTES: 90 + LATE}, {}, {"grok": None}),
    "defect_growth_tells": ({DEFECT: EXPLODES}, {DEFECT: 5 + LATE}, {}, {"grok": None}),
}
MORE, LESS = {"weight_decay": 2.0}, {"weight_decay": 0.5}
AT_4, AT_5 = ({"grok": step, "columns": {NORM: 9 - 5 * (step <= STEPS)}} for step in (100, 500))
# Of runs of one seed: how the first and the second are trained, options of both that satisfy it, and that
# contradict it.
SIDE_BY_SIDE = {
    "later_as_decay_is_less": (MORE, LESS, ({"grok": 100}, {"grok": 400}), ({"grok": 400}, {"grok": 100})),
    "one_norm_at_grokking": (
        MORE,
        LESS,
        (AT_4, AT_5),
        (AT_4, {"grok": 500, "columns": {NORM: 9 - STEPS / 1000}}),
    ),
    "orthogonal_gradient_groks_sooner": (
        {**UNREGULARISED, "orthogonal_gradient": "tensor"},
        UNREGULARISED,
        ({"grok": 400}, {"grok": None}),
        ({"grok": None}, {"grok": 400}),
    ),
    "defect_larger_with_decay": (
        MORE,
        {"weight_decay": 0.0},
        ({"columns": {DEFECT: EXPLODES}}, {"columns": {DEFECT: LOG}}),
        ({"columns": {DEFECT: LOG}}, {"columns": {DEFECT: EXPLODES}}),
    ),
}
NAMES = {*EACH_RUN, *OF_OPTIONS, *BETWEEN, *SIDE_BY_SIDE}
