"""The settings of training: each is declared once, and is a flag, a key of recipes and a row of the docs."""

from __future__ import annotations

from typing import Annotated, Literal

from grokscope.declare import Param, read_parameters

MOST_STEPS = 99_999_999  # checkpoint files have eight digits
BESIDE = "Interventions, combined at will; `none` takes away what a recipe has"
WRITTEN = "Run"
OTHERS = "Optimisers sgd and muon"


def training_settings(
    *,
    loss: Annotated[
        Literal["cross_entropy", "mse", "stablemax_cross_entropy"],
        Param("mse is the mean over examples and outputs, on one-hot labels"),
    ] = "cross_entropy",
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd", "muon"],
        Param("muon: matrices between hidden layers, all else by adamw"),
    ] = "adamw",
    lr: Annotated[float, Param("learning rate", above=0, max=1e6)] = 1e-3,
    betas: Annotated[
        tuple[float, ...], Param("AdamW's and Adam's two betas", min=0, below=1, metavar="B1,B2")
    ] = (0.9, 0.98),
    eps: Annotated[float, Param("AdamW's and Adam's epsilon", min=0, max=1)] = 1e-8,
    weight_decay: Annotated[
        float,
        Param(
            "on all parameters: with adamw and muon times lr per step, with adam and sgd in the gradient",
            min=0,
            max=1e6,
        ),
    ] = 0.01,
    warmup_steps: Annotated[int, Param("update k has lr * min(1, (k - 1) / warmup_steps)", min=0)] = 0,
    batch_size: Annotated[int, Param("examples per step; 0 is the full batch", min=0)] = 0,
    steps: Annotated[int, Param("optimiser updates", min=1, max=MOST_STEPS)] = 10_000,
    checkpoint_every: Annotated[
        str | int, Param("N, log:N (N log-spaced) or N,M,...", panel=WRITTEN, metavar="SCHEDULE")
    ] = "100",
    log_every: Annotated[int, Param("steps between evaluations, for the curves", min=1, panel=WRITTEN)] = 100,
    seed: Annotated[int, Param("draws initialisation and batch order", min=0, max=2**63 - 1)] = 0,
    init_scale: Annotated[float, Param("multiplies every initial parameter", above=0, max=1e6)] = 1.0,
    clip_norm: Annotated[
        float, Param("largest l2 norm of all gradients together; 0 is no limit", min=0)
    ] = 0.0,
    init_scale_only: Annotated[
        Literal["weights"] | None, Param("weights: init_scale spares biases", panel=BESIDE)
    ] = None,
    init_zero: Annotated[
        Literal["last_layer"] | None, Param("last_layer: it starts at zero", panel=BESIDE)
    ] = None,
    dtype: Annotated[
        Literal["float32", "float64"], Param("type of weights; the initial ones are drawn in float32")
    ] = "float32",
    loss_dtype: Annotated[
        Literal["float32", "float64"],
        Param("type that logits are cast to before the loss, where it is wider than theirs", later=True),
    ] = "float32",
    device: Annotated[str, Param("cpu, cuda, cuda:1, ...")] = "cpu",
) -> None:
    """Declare the settings of optimisation; `declare.resolve` checks them as a measure's parameters."""


def optimizer_settings(
    *,
    momentum: Annotated[float, Param("of sgd", min=0, below=1, later=True)] = 0.9,
    nesterov: Annotated[bool, Param("sgd's momentum is Nesterov's", later=True)] = False,
    muon_lr: Annotated[
        float | None, Param("learning rate of muon's matrices; none: lr", above=0, max=1e6, later=True)
    ] = None,
    muon_momentum: Annotated[float, Param("of muon's matrices", min=0, below=1, later=True)] = 0.95,
    muon_nesterov: Annotated[bool, Param("muon's momentum is Nesterov's", later=True)] = True,
    muon_ns_steps: Annotated[
        int, Param("Newton-Schulz iterations that orthogonalise an update", min=1, max=99, later=True)
    ] = 5,
    muon_adjust_lr: Annotated[
        Literal["original", "match_rms_adamw"],
        Param(
            "an (A, B) matrix has lr times sqrt(max(1, A/B)); or 0.2 sqrt(max(A, B)), for AdamW's rates",
            later=True,
        ),
    ] = "original",
) -> None:
    """Declare what single optimisers are set by: each belongs to the one that its name or its help says."""


def intervention_settings(
    *,
    perturb: Annotated[
        tuple[float, ...] | None,
        Param(
            "lambda1,lambda2: noise of sigma max(lambda1 (1 - train accuracy), lambda2) on inputs",
            min=0,
            metavar="L1,L2",
        ),
    ] = None,
    abelian: Annotated[
        float | None,
        Param("adds this times the mean squared distance of f(a, b) and f(b, a)", above=0),
    ] = None,
    abelian_reduction: Annotated[
        Literal["mean", "sum"],
        Param(
            "squares of that distance over logits; where abelian is given anew it is the mean",
            later=True,
        ),
    ] = "sum",
    anti_norm: Annotated[
        float | None,
        Param("subtracts this times the sum of squared weights from the loss", above=0),
    ] = None,
    dropout: Annotated[float | None, Param("share of hidden activations dropped", above=0, below=1)] = None,
    constrain_norm: Annotated[
        Literal["all", "weights", "drawn"] | None,
        Param(
            "keeps the l2 norm: of all parameters, of weights, or what weights had before init_zero",
            flag="all",
        ),
    ] = None,
    subnetwork: Annotated[
        str | None,
        Param(
            "RUN@STEP[:inverse]: only the units of RUN's most synergistic multiplet there",
            metavar="RUN@STEP[:inverse]",
        ),
    ] = None,
    masked_units: Annotated[
        tuple[int, ...] | None,
        Param("hidden units held at zero; what subnetwork stands for", min=0),
    ] = None,
    masked_layer: Annotated[str | None, Param("hidden layer of masked_units; none: the first")] = None,
    synergistic_dropout: Annotated[
        str | None,
        Param(
            "RUN@STEP[:inverse]: drops units of RUN's most synergistic multiplet there, or of the others",
            later=True,
            metavar="RUN@STEP[:inverse]",
        ),
    ] = None,
    synergistic_dropout_share: Annotated[
        float, Param("of these units dropped, of each example anew", above=0, below=1, later=True)
    ] = 0.5,
    dropped_units: Annotated[
        tuple[int, ...] | None,
        Param("hidden units dropped so; what synergistic_dropout stands for", min=0, later=True),
    ] = None,
    dropped_layer: Annotated[
        str | None, Param("hidden layer of dropped_units; none: the first", later=True)
    ] = None,
    grokfast_ema: Annotated[
        tuple[float, ...] | None,
        Param("alpha,lambda: adds lambda times the gradient's running mean", min=0, metavar="A,L"),
    ] = None,
    grokfast_ma: Annotated[
        tuple[float, ...] | None,
        Param(
            "window,lambda: adds lambda times the mean of the last window gradients",
            min=0,
            metavar="W,L",
        ),
    ] = None,
    orthogonal_gradient: Annotated[
        Literal["tensor", "network"] | None,
        Param(
            "takes the part along the weights out of the gradient: of each tensor, or of all as one",
        ),
    ] = None,
) -> None:
    """Declare what `training.interventions` may do beside: each is off at its default."""


TRAINING = {
    **read_parameters(training_settings, "training", "Training"),
    **read_parameters(optimizer_settings, "training", OTHERS),
    **read_parameters(intervention_settings, "training", BESIDE),
}
OF_OPTIMIZER = {
    name: "muon" if name.startswith("muon_") else "sgd"
    for name in read_parameters(optimizer_settings, "training")
}
AT_A_STEP = [
    name
    for name, parameter in read_parameters(intervention_settings, "training").items()
    if parameter.default is None  # what is off; the others are of these
]
