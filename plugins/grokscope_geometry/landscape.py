"""The geometry family's measures of the loss and its kernel: collapse, degeneracy, lazy or rich training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe


@measure(
    columns=[
        Column("train", "share of training examples whose exp-sum is 1", min=0, max=1, knows=[]),
        Column("test", "share of test examples whose exp-sum is 1", min=0, max=1, knows=["test"]),
        Column(
            "train_zero_loss",
            "share of training examples whose loss is exactly 0",
            min=0,
            max=1,
            knows=["labels"],
        ),
        Column("test_zero_loss", "share of test examples whose loss is exactly 0", min=0, max=1),
    ],
    source="Prieto et al. 2025, definition 3, equations 2 and 3",
    knows=["labels", "test"],
)
def softmax_collapse(probe: Probe) -> dict[str, Any]:
    """On how many examples float32 rounds the whole softmax to its largest class, so that learning stops.

    `train`, `test`: share of examples where the float32 sum over classes of `exp(z - max z)` is exactly 1,
    every other term being absorbed. `..._zero_loss`: share where moreover the largest class is the right one,
    which is the paper's equation 2; loss and gradient of the right logit are then exactly zero.

    Shapes and units:
        z (n, K) logits of each split; shares of examples.

    How it is computed:
        In float32, as the network's own softmax is. Only under cross-entropy. A single logit z stands for the
        classes (0, z): collapse is abs(z) > 16.64 = 24 log 2.

    Cost:
        One forward pass over each split, shared with other measures.

    Traps:
        Terms are lost below about 2^-24, at a distance of 16.64 in logits; whether the sum of K terms just
        there still counts depends on the order of summation, and so on the machine.

    Source:
        Prieto et al. 2025, "Grokking at the edge of numerical stability", definition 3.
    """
    from grokscope import objective
    from grokscope_geometry.functional import collapsed

    if probe.loss_name != "cross_entropy":
        raise NotApplicable(f"softmax_collapse is about the softmax; this run's loss is {probe.loss_name}")
    shares: dict[str, Any] = {}
    for split in ("train", "test"):
        probe.require_finite("softmax_collapse: a logit", "logits", split)
        gone = collapsed(objective.class_logits(probe.logits(split)))
        right = probe.predictions(split) == probe.labels(split)
        shares |= {split: gone.double().mean(), f"{split}_zero_loss": (gone & right).double().mean()}
    return shares


@measure(
    columns=[
        Column("llc", "local learning coefficient", missing="when every chain diverged"),
        Column("stderr", "standard error over chains", min=0, missing="when fewer than two chains settled"),
        Column("start_loss", "loss on the whole training split at the checkpoint", min=0),
        Column("negative_chains", "settled chains below zero", min=0, tally=True),
        Column("diverged_chains", "chains left out because their loss ran away", min=0, tally=True),
        Column("remark", "what must be said of the chains, or nothing", text=True),
    ],
    arrays={"losses": "loss along each chain after burn-in, (chains, draws)"},
    expensive=True,
    source="Lau et al. 2023, definition 2 and algorithm 1",
    knows=["labels"],
)
def llc(
    probe: Probe,
    rng: torch.Generator,
    *,
    epsilon: Annotated[float, Param("step size", above=0)] = 3e-3,
    gamma: Annotated[float, Param("strength of the pull back to the checkpoint", min=0)] = 5.0,
    nbeta: Annotated[float, Param("n times the inverse temperature", above=0)] = 2.0,
    draws: Annotated[int, Param("steps that count, per chain", min=8)] = 500,
    burn_in: Annotated[int, Param("steps before them", min=0)] = 100,
    chains: Annotated[int, Param("independent chains", min=1)] = 4,
    batch_size: Annotated[int | None, Param("training examples per step; none for all", min=1)] = 512,
) -> dict[str, Any]:
    """How degenerate the loss is around the checkpoint: the local learning coefficient, by Langevin sampling.

    `n beta (E[L(w)] - L(w*))`, the expectation over `exp(-n beta L(w) - gamma/2 |w - w*|^2)`, w* the
    checkpoint and L the run's own mean loss on the training split.

    Around a minimum with curvatures h_i it is `1/2 sum_i n beta h_i / (n beta h_i + gamma)`: d/2 for a
    regular model of d parameters, and less for a singular one, only where `n beta h` is far above gamma. At
    the defaults the pull counts as much as the loss: of d = 50 parameters, curvature 10/3 gives 14.3 and
    curvature 1 gives 7.1, not 25.

    Shapes and units:
        w is the vector of all parameters. The coefficient has no unit; losses are in nats for cross-entropy.

    How it is computed:
        Each chain starts at w* and makes `burn_in` + `draws` steps `w <- w - epsilon/2 (n beta grad
        L_batch(w) + gamma (w - w*)) + N(0, epsilon)`, batches drawn without replacement, a new one each step.
        `llc` is the mean over chains, `stderr` their standard deviation over the square root of their number.

        What is said in `remark` and counted: chains whose loss is not finite or still grows by a factor of
        two from the third quarter of the draws to the last (left out), and chains with a negative coefficient
        (kept): the checkpoint is then not at a minimum of the loss, as with weight decay it never quite is.
        Chains wander off rather than settle when epsilon (n beta h + gamma) > 4 for the sharpest curvature h:
        lower epsilon.

    Cost:
        chains x (burn_in + draws) gradients on a batch: 7 s for `clauw`.

    Traps:
        At n beta = 2 the sampler sees the loss at a temperature far above 1 / log n; compare checkpoints, not
        the number with a theory. Step size, gamma, n beta and the number of draws all move it; `stderr` holds
        only the difference between chains, not the bias of a chain too short.

    Source:
        Lau et al. 2023, "The local learning coefficient: a singularity-aware complexity measure", definition
        2 and algorithm 1. The default epsilon, gamma and n beta are those in use for grokking on modular
        addition.
    """
    import torch

    from grokscope_geometry.sgld import learning_coefficient, sgld_losses

    numbers.require_finite("llc: a weight", *probe.weights.values())
    batch_loss = _batch_loss(probe, rng, batch_size)
    start = torch.cat([weight.detach().flatten() for weight in probe.weights.values()])
    losses = torch.stack(
        [
            sgld_losses(
                batch_loss,
                start,
                epsilon=epsilon,
                gamma=gamma,
                nbeta=nbeta,
                draws=draws,
                burn_in=burn_in,
                generator=rng,
            )
            for _ in range(chains)
        ]
    )
    found = learning_coefficient(losses, probe.loss("train"), nbeta)
    return {
        "llc": found.llc,
        "stderr": found.stderr,
        "start_loss": probe.loss("train"),
        "negative_chains": found.negative,
        "diverged_chains": found.diverged,
        "remark": found.remark,
        "losses": losses,
    }


@measure(
    columns=[
        Column(
            "distance",
            "1 - alignment of the kernel with the baseline's",
            direction="up",
            min=0,
            max=2,
            missing="when a kernel is zero",
        ),
        Column(
            "centred_distance",
            "the same of the kernels of centred gradients",
            direction="up",
            min=0,
            max=2,
            missing="when a centred kernel is zero",
        ),
        Column("relative_change", "|K - K0| / |K0|", min=0, missing="when the baseline's kernel is zero"),
        Column("samples", "training examples in the kernel", min=1),
    ],
    version=2,
    expensive=True,
    source="Kumar et al. 2023, section 2; Fort et al. 2020, equation 4",
    knows=[],
)
def ntk_distance(
    probe: Probe,
    baseline: Probe,
    *,
    samples: Annotated[int, Param("training examples in the kernel at most", min=2, max=200)] = 200,
) -> dict[str, Any]:
    """How far the neural tangent kernel has turned away from the baseline's: from lazy to rich training.

    `K_ij = sum_c <grad_w f_c(x_i), grad_w f_c(x_j)>`, the empirical kernel traced over the logits c.
    `distance` = 1 - <K, K0> / (|K| |K0|), Frobenius: 0 as long as the network trains lazily, unchanged by the
    kernel's scale; `relative_change` = |K - K0| / |K0| sees the scale too.

    Shapes and units:
        K (n, n) over at most `samples` training examples; distances have no unit.

    How it is computed:
        The examples are evenly spaced in the order of the split. In closed form for chains of Linear and ReLU
        that are proven to be such; elsewhere one gradient per example and logit. All outputs are traced, not
        their sum: under cross-entropy the sum of the logits is what a softmax does not see. The baseline is
        the first checkpoint unless `--baseline` says else.

    Cost:
        In closed form 0.2 s at 200 samples of `clauw`; elsewhere about 40 s at 200 samples of `nanda`, and
        samples x parameters x 4 bytes of memory: lower `samples`.

    Traps:
        The entries of K are mostly positive, so that kernels without anything else in common are aligned: on
        `clauw` the distance stays below 0.04 while `relative_change` is 64. `centred_distance`, 0.09 there,
        takes the gradients' mean over examples out first (1 - the centred alignment of Kornblith et al.
        2019).

    Source:
        Kumar et al. 2023, "Grokking as the transition from lazy to rich training dynamics"; the distance is
        equation 4 of Fort et al. 2020, "Deep learning versus kernel learning".
    """
    from grokscope_geometry.ntk import centred_kernel, kernel_distance

    now, start = _ntk(probe, samples), _ntk(baseline, samples)
    numbers.require_finite("ntk_distance: the kernel", now, start)
    norm = start.norm()
    return {
        "distance": kernel_distance(now, start),
        "centred_distance": kernel_distance(centred_kernel(now), centred_kernel(start)),
        "relative_change": (now - start).norm() / norm if norm > 0 else float("nan"),
        "samples": len(now),
    }


def _batch_loss(
    probe: Probe, rng: torch.Generator, batch_size: int | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    examples = len(probe.inputs("train"))
    shapes = {name: weight.shape for name, weight in probe.weights.items()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss(w: torch.Tensor) -> torch.Tensor:
        pieces = zip(shapes.items(), w.split(sizes), strict=True)
        weights = {name: piece.view(shape) for (name, shape), piece in pieces}
        chosen = None
        if batch_size is not None and batch_size < examples:
            chosen = torch.randperm(examples, generator=rng)[:batch_size].to(w.device)
        return probe.loss_at(weights, "train", chosen)

    return loss


def _ntk(probe: Probe, samples: int) -> torch.Tensor:
    return probe.shared(("geometry", "ntk", samples), lambda: _empirical_kernel(probe, samples))


def _empirical_kernel(probe: Probe, samples: int) -> torch.Tensor:
    import torch

    from grokscope_geometry.ntk import jacobian_ntk, mlp_ntk

    inputs, (example, place) = probe.inputs("train"), probe.places("train")
    chosen = torch.linspace(0, len(example) - 1, min(samples, len(example))).long()
    inputs, place = inputs[example[chosen].to(inputs.device)], place[chosen].to(inputs.device)
    chain = probe.relu_chain()
    if chain is not None and chain.whole:
        return mlp_ntk(chain.layers, probe.model.encode(inputs).detach().flatten(1))
    fused = any(isinstance(part, torch.nn.RNNBase) for part in probe.model.modules())
    try:
        return jacobian_ntk(probe.logits_at, probe.weights, inputs, place, vectorised=not fused)
    except RuntimeError:  # another operation that vmap does not have
        return jacobian_ntk(probe.logits_at, probe.weights, inputs, place, vectorised=False)
