"""The landscape family's measures of the loss as a function of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from grokscope import Column, NotApplicable, Param, measure, numbers

if TYPE_CHECKING:
    import torch

    from grokscope import Probe

FLAT = "when a gradient is zero"


@measure(
    columns=[
        Column("defect", "median over pairs of batches of the defect", direction="peak", min=0, missing=FLAT),
        Column("stderr", "standard error of the median", min=0, missing=f"{FLAT}, or there is one pair"),
        Column("p90", "90th percentile over the pairs", min=0, missing=FLAT),
        Column("batch_examples", "examples in each batch", min=1),
    ],
    expensive=True,
    source="Xu 2026, arXiv 2602.16746",
    knows=["labels"],
)
def commutator_defect(
    probe: Probe,
    rng: torch.Generator,
    *,
    pairs: Annotated[int, Param("pairs of batches", min=1)] = 9,
    batch_size: Annotated[int, Param("examples in a batch, half the split at most", min=1)] = 512,
    eta: Annotated[float, Param("size of the gradient steps", above=0)] = 1e-3,
) -> dict[str, float]:
    """How much the order of two gradient steps matters: how the loss's curvature differs between batches.

    |theta_AB - theta_BA| / (|eta g_A| |eta g_B|): theta_AB is where a plain gradient step on batch A and then
    one on batch B lead, g the gradients at the checkpoint; the median over pairs of batches. For small eta it
    is |H_A g_B - H_B g_A| / (|g_A| |g_B|), H the Hessians on the batches.

    Shapes and units:
        theta is the vector of all parameters, the loss the run's own without weight decay. Loss per squared
        weight, like a curvature.

    How it is computed:
        In float64, from the changes of the gradients. Batches of the training split are drawn without
        replacement, anew for each of a pair, the same at every checkpoint; of a small split each is half.
        `stderr` is the error of a median of normal values.

    Cost:
        Four gradients of a batch per pair in float64: 0.2 s for `clauw`, hence `expensive`.

    Traps:
        It rises in runs on random labels too, as its author says. It is not invariant under rescaling the
        layers against each other, and divides by gradients that vanish as the training loss does: late in a
        run it may grow for that alone. Dropout and BatchNorm are in evaluation.

    Source:
        Xu 2026, "Low-dimensional and transversely curved optimization dynamics in grokking" (2602.16746): a
        median of 9 pairs of 512 examples at eta = 1e-3; it rises 600 to 1600 steps before test accuracy.

    Raises:
        MeasureError: a weight or a gradient that is not finite.
        NotApplicable: there are fewer than two training examples.
    """
    import torch

    from grokscope_landscape import functional

    exact = probe.doubled()
    numbers.require_finite("commutator_defect: a weight", *exact.weights.values())
    examples = len(exact.inputs("train"))
    size = min(batch_size, examples // 2)
    if size < 1:
        raise NotApplicable(f"it needs two training examples at least, and there are {examples}")
    theta = _flat(exact)
    defects = []
    for _ in range(pairs):
        first, second = (torch.randperm(examples, generator=rng)[:size].to(theta.device) for _ in range(2))
        gradients = _gradient(exact, first), _gradient(exact, second)
        defects.append(functional.commutator_defect(theta, gradients[0], gradients[1], eta))
    median, error = functional.median_and_error(defects)
    known = torch.tensor([defect for defect in defects if math.isfinite(defect)], dtype=torch.float64)
    p90 = known.quantile(0.9).item() if len(known) else math.nan
    return {"defect": median, "stderr": error, "p90": p90, "batch_examples": size}


@measure(
    columns=[
        Column("largest", "largest eigenvalue seen"),
        Column("smallest", "smallest eigenvalue seen"),
        Column("residual", "how far either is from an eigenvalue at most", min=0),
        Column("mean", "mean eigenvalue: the trace over the number of parameters"),
        Column(
            "stderr", "standard error of `mean` over start vectors", min=0, missing="with one start vector"
        ),
    ],
    arrays={
        "density_at": "where the density is given, (points,)",
        "density": "density of the eigenvalues at `density_at`, (points,), integrating to 1",
        "ritz_values": "Ritz values of each start vector, (starts, steps)",
        "ritz_mass": "what share of the eigenvalues each stands for, (starts, steps)",
    },
    expensive=True,
    source="Ghorbani, Krishnan & Xiao 2019, algorithm 2; Yao et al. 2020",
    knows=["labels"],
)
def hessian_spectrum(
    probe: Probe,
    rng: torch.Generator,
    *,
    steps: Annotated[int, Param("Lanczos steps, each a Hessian product", min=2)] = 30,
    starts: Annotated[int, Param("random start vectors", min=1)] = 3,
    points: Annotated[int, Param("points of the density's grid", min=2)] = 200,
) -> dict[str, Any]:
    """How the training loss curves in all directions: its Hessian's extreme eigenvalues and their density.

    H = the second derivatives of the run's loss on the training split by all parameters. `density` is p(x) =
    mean over start vectors of sum_j mass_j N(x; node_j, s^2), stochastic Lanczos quadrature.

    Shapes and units:
        H (d, d), d the number of parameters; loss per squared weight. The mass of a start vector sums to 1.

    How it is computed:
        Lanczos' iteration with full reorthogonalisation on exact Hessian products, in float64, from Gaussian
        start vectors that are the same at every checkpoint. `largest` and `smallest` are the outermost Ritz
        values of all of them: never beyond the true ones, and within `residual` of some eigenvalue. The grid
        spans all nodes and three widths more; the width s is a hundredth of their range. Written here,
        so that curvlinops need not be installed: the tests hold its extremes against curvlinops'.

    Cost:
        steps x starts Hessian products, each about four gradients in float64, and steps x d doubles: 6 s for
        `clauw`, hence `expensive`.

    Traps:
        A small eigenvalue that is hardly apart from the others takes many steps: read `residual`, raise
        `steps`. Under cross-entropy everything falls to 0 as the loss does. Most eigenvalues are near 0, in a
        peak as wide as s: its height says nothing.

    Source:
        Ghorbani, Krishnan & Xiao 2019, "An investigation into neural net optimization via Hessian eigenvalue
        density", algorithm 2; Yao et al. 2020, "PyHessian".

    Raises:
        MeasureError: a weight that is not finite.
    """
    import torch

    from grokscope_landscape import functional

    exact = probe.doubled()
    numbers.require_finite("hessian_spectrum: a weight", *exact.weights.values())
    product, size = _hessian_product(exact)
    drawn = torch.randn(starts, size, generator=rng, dtype=torch.float64)
    seen = [functional.lanczos(product, start, steps) for start in drawn.to(_flat(exact).device)]
    numbers.require_finite("hessian_spectrum: the curvature", *(each.nodes for each in seen))
    low = min(seen, key=lambda each: each.nodes[0].item())
    high = max(seen, key=lambda each: each.nodes[-1].item())
    smallest, largest = low.nodes[0].item(), high.nodes[-1].item()
    means = torch.stack([each.mass @ each.nodes for each in seen])
    width = max(largest - smallest, functional.LEAST_RANGE) / 100
    grid = torch.linspace(smallest - 3 * width, largest + 3 * width, points, dtype=torch.float64)
    density = torch.stack([functional.smoothed(each.nodes, each.mass, grid, width) for each in seen])
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "largest": largest,
        "smallest": smallest,
        "residual": max(low.bounds[0].item(), high.bounds[-1].item()),
        "mean": means.mean().item(),
        "stderr": means.std().item() / math.sqrt(starts) if starts > 1 else math.nan,
        "density_at": grid,
        "density": density.mean(dim=0),
        "ritz_values": pad([each.nodes for each in seen], batch_first=True),
        "ritz_mass": pad([each.mass for each in seen], batch_first=True),
    }


def _flat(probe: Probe) -> torch.Tensor:
    import torch

    return torch.cat([weight.flatten() for weight in probe.weights.values()])


def _named(probe: Probe, theta: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return a vector of all parameters as parameters by name."""
    pieces = theta.split([weight.numel() for weight in probe.weights.values()])
    pairs = zip(probe.weights.items(), pieces, strict=True)
    return {name: piece.view(weight.shape) for (name, weight), piece in pairs}


def _gradient(probe: Probe, batch: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the gradient of the loss on a batch, as a function of all parameters."""
    import torch

    def gradient(theta: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            loss = probe.loss_at(_named(probe, leaf), "train", batch)
            (found,) = torch.autograd.grad(loss, leaf)
        numbers.require_finite("commutator_defect: a gradient", found)
        return found

    return gradient


def _hessian_product(probe: Probe) -> tuple[Callable[[torch.Tensor], torch.Tensor], int]:
    """Return the map from a vector to the Hessian's product with it, and the number of parameters."""
    import torch

    with torch.enable_grad():
        leaf = _flat(probe).detach().requires_grad_()
        loss = probe.loss_at(_named(probe, leaf), "train", quick=False)
        (slope,) = torch.autograd.grad(loss, leaf, create_graph=True)

    def product(vector: torch.Tensor) -> torch.Tensor:
        if not slope.requires_grad:  # the loss is linear in the weights
            return torch.zeros_like(vector)
        (found,) = torch.autograd.grad(slope, leaf, vector, retain_graph=True, materialize_grads=True)
        return found

    return product, len(leaf)
