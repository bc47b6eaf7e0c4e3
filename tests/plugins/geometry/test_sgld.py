"""The Langevin sampler against exact expectations: regular, singular, and what it says of bad chains."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from grokscope_geometry.landscape import llc
from grokscope_geometry.sgld import (
    Estimate,
    diverges,
    expected_coefficient,
    learning_coefficient,
    sgld_losses,
)


def estimate(
    loss: Callable[[torch.Tensor], torch.Tensor],
    start: torch.Tensor,
    *,
    chains: int = 8,
    draws: int = 800,
    burn_in: int = 200,
    nbeta: float,
    gamma: float,
    epsilon: float,
    seed: int = 0,
) -> Estimate:
    generator = torch.Generator().manual_seed(seed)
    options = {"nbeta": nbeta, "gamma": gamma, "epsilon": epsilon, "draws": draws, "burn_in": burn_in}
    losses = torch.stack([sgld_losses(loss, start, generator=generator, **options) for _ in range(chains)])
    return learning_coefficient(losses, loss(start).item(), nbeta)


def quadratic(curvatures: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda w: (curvatures * w**2).sum() / 2


def stationary_mean(h: torch.Tensor, nbeta: float, gamma: float, epsilon: float) -> float:
    """nbeta E[L] of the chain itself, a first-order autoregression, for L = sum h w^2 / 2."""
    pull = nbeta * h + gamma
    return (nbeta * h / (pull * (1 - epsilon * pull / 4))).sum().item() / 2


def test_quadratic_has_the_chains_exact_stationary_mean() -> None:
    h = torch.linspace(0.5, 2, 20, dtype=torch.float64)
    nbeta, gamma, epsilon = 10.0, 5.0, 0.05
    exact = stationary_mean(h, nbeta, gamma, epsilon)
    start = torch.zeros(20, dtype=torch.float64)
    found = estimate(quadratic(h), start, nbeta=nbeta, gamma=gamma, epsilon=epsilon)
    assert found.stderr < 0.05 * exact
    assert abs(found.llc - exact) < 4 * found.stderr
    assert (found.negative, found.diverged, found.remark) == (0, 0, "")


def test_regular_model_has_half_its_number_of_parameters() -> None:
    """Linear regression: lambda = d / 2, which the weak pull and the small step nearly reach."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 10, generator=generator, dtype=torch.float64)
    truth = torch.randn(10, generator=generator, dtype=torch.float64)
    y = x @ truth + 0.1 * torch.randn(400, generator=generator, dtype=torch.float64)
    fitted = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]

    def loss(w: torch.Tensor) -> torch.Tensor:
        return (x @ w - y).square().mean() / 2

    nbeta, gamma, epsilon = 100.0, 0.01, 2e-3
    exact = stationary_mean(torch.linalg.eigvalsh(x.T @ x / len(x)), nbeta, gamma, epsilon)
    assert exact == pytest.approx(5, rel=0.1)
    found = estimate(loss, fitted, nbeta=nbeta, gamma=gamma, epsilon=epsilon, draws=1500)
    assert found.stderr < 0.05 * exact
    assert abs(found.llc - exact) < 4 * found.stderr


def test_the_numbers_on_the_page_are_those_at_the_defaults() -> None:
    """d = 50, and every default of `llc` but the number of chains: not d/2 = 25."""
    page = " ".join(llc.help.split())
    assert "curvature 10/3 gives 14.3 and curvature 1 gives 7.1, not 25" in page
    defaults = {name: parameter.default for name, parameter in llc.parameters.items() if name != "batch_size"}
    weak, strong = (
        expected_coefficient(torch.full((50,), h), defaults["nbeta"], defaults["gamma"])
        for h in (1.0, 10 / 3)
    )
    assert (round(weak, 1), round(strong, 1)) == (7.1, 14.3)
    found = estimate(quadratic(torch.full((50,), 10 / 3)), torch.zeros(50), **{**defaults, "chains": 8})
    assert found.stderr < 0.06 * strong
    assert abs(found.llc - strong) < 4 * found.stderr


def test_a_strong_pull_of_the_data_gives_half_the_parameters() -> None:
    h = torch.tensor([0.5, 1.0, 2.0, 0.0])
    assert expected_coefficient(h, 1e9, 5.0) == pytest.approx(1.5)
    assert expected_coefficient(h, 2.0, 0.0 + 1e-12) == pytest.approx(1.5)


def exact_by_quadrature(nbeta: float, gamma: float) -> float:
    """nbeta E[L] of L = (w1 w2)^2 / 2 under exp(-nbeta L - gamma / 2 |w|^2)."""
    grid = torch.linspace(-6 / math.sqrt(gamma), 6 / math.sqrt(gamma), 4001, dtype=torch.float64)
    loss = (grid[:, None] * grid) ** 2 / 2
    weight = torch.exp(-nbeta * loss - gamma / 2 * (grid[:, None] ** 2 + grid**2))
    return nbeta * ((loss * weight).sum() / weight.sum()).item()


def test_singular_model_has_less() -> None:
    """L = (w1 w2)^2 / 2: lambda = 1/2 with multiplicity 2, and not d/2 = 1; 80 copies at once."""
    copies, nbeta, gamma = 80, 10.0, 1.0
    exact = copies * exact_by_quadrature(nbeta, gamma)
    assert exact < copies / 2

    def loss(w: torch.Tensor) -> torch.Tensor:
        return (w[:copies] * w[copies:]).square().sum() / 2

    start = torch.zeros(2 * copies, dtype=torch.float64)
    found = estimate(loss, start, nbeta=nbeta, gamma=gamma, epsilon=3e-3, burn_in=1200, draws=400)
    assert found.stderr < 0.05 * exact
    assert abs(found.llc - exact) < 4 * found.stderr


def test_same_generator_same_chain() -> None:
    options = {"nbeta": 2.0, "gamma": 5.0, "epsilon": 3e-3, "draws": 20, "burn_in": 3}
    h, start = torch.ones(4), torch.zeros(4)
    first = sgld_losses(quadratic(h), start, generator=torch.Generator().manual_seed(7), **options)
    again = sgld_losses(quadratic(h), start, generator=torch.Generator().manual_seed(7), **options)
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert not start.any()


def test_first_loss_is_that_of_the_start() -> None:
    options = {"nbeta": 2.0, "gamma": 5.0, "epsilon": 3e-3, "generator": torch.Generator()}
    losses = sgld_losses(quadratic(torch.ones(3)), torch.ones(3), draws=4, burn_in=0, **options)
    assert losses[0].item() == 1.5


def test_chain_that_explodes_is_left_out_and_said() -> None:
    options = {"nbeta": 2.0, "gamma": 5.0, "draws": 400, "burn_in": 0, "generator": torch.Generator()}
    h, start = torch.full((3,), 1000.0), torch.zeros(3)
    wild = sgld_losses(quadratic(h), start, epsilon=0.1, **options)
    calm = sgld_losses(quadratic(h), start, epsilon=1e-4, **options)
    assert wild.isinf().any()
    found = learning_coefficient(torch.stack([calm, wild, calm]), 0.0, 2.0)
    assert found.diverged == 1
    assert found.llc == pytest.approx(2 * calm.mean().item())
    assert found.remark == "1 of 3 chains diverged and are left out"


def test_nothing_is_left_when_all_diverge() -> None:
    found = learning_coefficient(torch.full((2, 40), math.inf), 0.0, 2.0)
    assert math.isnan(found.llc)
    assert math.isnan(found.stderr)
    assert found.diverged == 2


def test_growth_is_divergence_and_noise_is_not() -> None:
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert diverges(torch.exp(torch.arange(400, dtype=torch.float64) / 40))
    assert not diverges(noise)
    assert not diverges(1 + 0.3 * noise)
    assert not diverges(1 - torch.exp(-torch.arange(400, dtype=torch.float64) / 100))


def test_chain_away_from_a_minimum_is_negative_and_said() -> None:
    h, start = torch.ones(5, dtype=torch.float64), torch.full((5,), 3.0, dtype=torch.float64)
    found = estimate(quadratic(h), start, nbeta=50.0, gamma=0.1, epsilon=0.01, chains=2)
    assert found.llc < 0
    assert found.negative == 2
    assert "2 of 2 chains are negative" in found.remark


def test_error_of_the_mean_is_over_chains() -> None:
    losses = torch.tensor([[1.0] * 8, [2.0] * 8, [3.0] * 8])
    found = learning_coefficient(losses, 0.5, 4.0)
    assert found.chains.tolist() == [2, 6, 10]
    assert found.llc == 6
    assert found.stderr == pytest.approx(4 / math.sqrt(3))
    assert math.isnan(learning_coefficient(losses[:1], 0.5, 4.0).stderr)
