"""The local learning coefficient: how the loss rises around a point, by Langevin sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

BatchLoss = Callable[[torch.Tensor], torch.Tensor]


def sgld_losses(
    loss: BatchLoss,
    start: torch.Tensor,
    *,
    epsilon: float,
    gamma: float,
    nbeta: float,
    draws: int,
    burn_in: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return the losses along one chain, (draws,) float64, those of the `burn_in` steps left out.

    Lau et al. 2023, algorithm 1: from `w = w* = start`, `w <- w - epsilon/2 (n beta grad L_m(w) + gamma (w -
    w*)) + N(0, epsilon)`; each loss is of the weights before the step, on the batch that the step uses, hence
    an unbiased estimate. The chain ends early, the rest being infinite, once a loss is not finite.

    On a quadratic `1/2 sum h w^2` the stationary mean of `n beta L` is
    `1/2 sum n beta h / (k (1 - epsilon k / 4))`, k = n beta h + gamma: the test compares.

    Args:
        loss: the mean loss of a vector of weights (d,) on a batch that it draws itself.
        start: (d,) the point w*.
    """
    w = start.clone().requires_grad_()
    losses: list[float] = []
    noise = torch.empty(w.shape, dtype=w.dtype)
    for step in range(burn_in + draws):
        value = loss(w)
        number = value.item()
        if not math.isfinite(number):
            break
        if step >= burn_in:
            losses.append(number)
        (gradient,) = torch.autograd.grad(value, w)
        with torch.no_grad():
            torch.randn(w.shape, generator=generator, out=noise)
            pull = torch.sub(w, start).mul_(gamma).add_(gradient, alpha=nbeta)
            w.add_(pull, alpha=-epsilon / 2).add_(noise.to(w.device), alpha=math.sqrt(epsilon))
    rest = [math.inf] * (draws - len(losses))
    return torch.tensor([*losses, *rest], dtype=torch.float64)


def expected_coefficient(curvatures: torch.Tensor, nbeta: float, gamma: float) -> float:
    """Return `1/2 sum_i n beta h_i / (n beta h_i + gamma)`.

    It is what sampling finds around a minimum with the curvatures h, as the step goes to 0. d/2 for h far
    above gamma / n beta, 0 for h = 0.

    >>> round(expected_coefficient(torch.full((50,), 10 / 3), nbeta=2.0, gamma=5.0), 1)
    14.3
    >>> round(expected_coefficient(torch.ones(50), nbeta=2.0, gamma=5.0), 1)
    7.1
    >>> round(expected_coefficient(torch.ones(50), nbeta=2e4, gamma=5.0), 1)
    25.0
    """
    pulled = nbeta * curvatures.double()
    return (pulled / (pulled + gamma)).sum().item() / 2


@dataclass(frozen=True)
class Estimate:
    """What several chains say together.

    Attributes:
        llc: mean over the chains that settled; NaN when none did.
        stderr: standard deviation between those chains / sqrt(their number); NaN for fewer than two.
        chains: (chains,) each chain's own coefficient; infinite where a loss was not finite.
        negative: settled chains whose coefficient is below zero.
        diverged: chains left out.
    """

    llc: float
    stderr: float
    chains: torch.Tensor
    negative: int
    diverged: int

    @property
    def remark(self) -> str:
        """What must be said of the chains; empty when nothing must."""
        said = []
        if self.diverged:
            said.append(f"{self.diverged} of {len(self.chains)} chains diverged and are left out")
        if self.negative:
            said.append(f"{self.negative} of {len(self.chains)} chains are negative: not at a minimum")
        return "; ".join(said)


def learning_coefficient(losses: torch.Tensor, start_loss: float, nbeta: float) -> Estimate:
    """Return `n beta (mean loss of the chain - loss at w*)` over chains, (chains, draws).

    Lau et al. 2023, definition 2 (and equation 8 of Watanabe's WBIC for the expectation). As n beta grows and
    gamma does not, it goes to d/2 for a regular model of d parameters, to less for a singular one;
    `expected_coefficient` is what to expect at a given n beta and gamma.
    """
    excess = losses.double() - start_loss
    chains = nbeta * excess.mean(dim=1)
    diverged = torch.tensor([diverges(chain) for chain in excess])
    settled = chains[~diverged]
    many = len(settled) > 1
    return Estimate(
        llc=settled.mean().item() if len(settled) else math.nan,
        stderr=settled.std().item() / math.sqrt(len(settled)) if many else math.nan,
        chains=chains,
        negative=int((settled < 0).sum()),
        diverged=int(diverged.sum()),
    )


def diverges(excess: torch.Tensor) -> bool:
    """Return whether a chain's excess loss (draws,) is not finite, or still grows by more than its own noise.

    It grows when the mean of the last quarter is above twice that of the quarter before, and the difference
    is above five standard errors (as if draws were independent: a chain that has settled stays far below a
    factor of two, however correlated).
    """
    if not excess.isfinite().all():
        return True
    quarter = len(excess) // 4
    if quarter < 2:
        return False
    before, last = excess[-2 * quarter : -quarter], excess[-quarter:]
    noise = math.sqrt((before.var().item() + last.var().item()) / quarter)
    rise = (last.mean() - before.mean()).item()
    return rise > 5 * noise and last.mean().item() > 2 * before.mean().item()
