"""The Fourier formulas against closed forms, and against the definition on the whole grid."""

from __future__ import annotations

import math

import pytest
import torch

from grokscope.numbers import gini
from grokscope_mechanistic.functional import (
    above_the_gap,
    class_variation,
    excluded_cross_entropies,
    excluded_logits,
    fold,
    fourier_basis,
    fourier_norms,
    frequency_power,
    key_frequencies,
    project,
    restricted_cross_entropies,
    restricted_logits,
    rows_of,
    showing_all,
)


def grid(p: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    return pairs[:, 0], pairs[:, 1], (pairs[:, 0] + pairs[:, 1]) % p


def waves(p: int, frequencies: dict[int, float], phase: float = 0.0) -> torch.Tensor:
    """Logits sum_k alpha_k cos(w_k (a + b - c) + phase), (p^2, p)."""
    a, b, _ = grid(p)
    angle = 2 * math.pi / p * ((a + b)[:, None] - torch.arange(p)).double()
    return sum(alpha * torch.cos(k * angle + phase) for k, alpha in frequencies.items())


@pytest.mark.parametrize("p", [2, 3, 6, 13, 97])
def test_basis_is_orthonormal(p: int) -> None:
    basis = fourier_basis(p)
    assert basis.shape == (p, p)
    torch.testing.assert_close(basis @ basis.T, torch.eye(p, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("p", [6, 13])
def test_rows_are_the_waves_of_their_frequency(p: int) -> None:
    x = torch.arange(p, dtype=torch.float64)
    for k in range(1, p // 2 + 1):
        wave = torch.cos(2 * math.pi * k * x / p) + 0.5 * torch.sin(2 * math.pi * k * x / p)
        inside = fourier_basis(p)[rows_of([k], p)] @ wave
        assert inside.square().sum().item() == pytest.approx(wave.square().sum().item(), rel=1e-12)


def brute_force_projection(logits: torch.Tensor, p: int, frequencies: list[int]) -> torch.Tensor:
    """The projection as the released code makes it: unit vectors on the grid, one dot product each."""
    basis = fourier_basis(p)
    part = torch.zeros_like(logits)
    for k in frequencies:
        cos, sin = basis[2 * k - 1], basis[2 * k]
        for wave in (
            torch.outer(cos, cos) - torch.outer(sin, sin),
            torch.outer(sin, cos) + torch.outer(cos, sin),
        ):
            direction = wave.flatten() / math.sqrt(2)
            part += torch.outer(direction, direction @ logits)
    return part


def test_projection_is_that_of_the_grid() -> None:
    p, chosen = 7, [1, 3]
    logits = torch.randn(p * p, p, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, _, results = grid(p)
    folded = fold(logits, results)
    expected = brute_force_projection(logits, p, chosen)
    torch.testing.assert_close(project(folded, chosen)[results], expected)
    torch.testing.assert_close(excluded_logits(logits, results, folded, chosen), logits - expected)
    torch.testing.assert_close(
        restricted_logits(results, folded, chosen), expected + logits.mean(dim=0, keepdim=True)
    )


@pytest.mark.parametrize("size", [1.0, 30.0, 200.0])
def test_losses_of_all_sets_at_once_are_those_of_the_logits(size: float) -> None:
    """Also where a term of one factor alone would be nothing in float64; beyond that there is no answer."""
    p, generator = 12, torch.Generator().manual_seed(0)
    (_, _, results), draw = grid(p), torch.randn(p * p, p, generator=generator, dtype=torch.float64)
    logits, sets = size * (draw + 2 * waves(p, {1: 1.0, 4: 0.5, 6: 0.3})), [[1, 4, 6], [1], [4], [6]]
    some = torch.randperm(p * p, generator=generator)[:50]
    folded = fold(logits, results)
    found = excluded_cross_entropies(logits[some], results[some], folded, sets)
    if size == 200:
        assert found is None
        return
    for chosen, loss in zip(sets, found, strict=True):
        kept = excluded_logits(logits[some], results[some], folded, chosen)
        plain = torch.nn.functional.cross_entropy(kept, results[some]).item()
        assert loss == pytest.approx(plain, rel=1e-11, abs=1e-14)
    restricted = restricted_logits(results[some], folded, sets[0])
    plain = torch.nn.functional.cross_entropy(restricted, results[some])
    ours = restricted_cross_entropies(folded, sets[0])[results[some]].mean()
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=0)


def test_some_pairs_show_every_token_at_every_place() -> None:
    a, b, _ = grid(7)
    pairs = torch.stack([a, b + 3], dim=1)[torch.randperm(49, generator=torch.Generator().manual_seed(0))]
    shown = pairs[showing_all(pairs)]
    assert len(shown) <= 14
    assert sorted(set(shown[:, 0].tolist())) == list(range(7))
    assert sorted(set(shown[:, 1].tolist())) == list(range(3, 10))


def test_order_of_pairs_does_not_matter() -> None:
    p = 7
    logits = torch.randn(p * p, p, generator=torch.Generator().manual_seed(1))
    _, _, results = grid(p)
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(fold(logits[order], results[order]), fold(logits, results))


@pytest.mark.parametrize("phase", [0.0, 0.7])
def test_network_of_waves_lies_in_its_frequencies(phase: float) -> None:
    p, used = 13, {2: 3.0, 5: 1.0}
    logits = waves(p, used, phase)
    _, _, results = grid(p)
    folded = fold(logits, results)
    shares = frequency_power(folded) / class_variation(logits)
    expected = torch.zeros(p // 2, dtype=torch.float64)
    expected[1], expected[4] = 0.9, 0.1
    torch.testing.assert_close(shares, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(restricted_logits(results, folded, [2, 5]), logits, atol=1e-12, rtol=0)
    left = excluded_logits(logits, results, folded, [2, 5])
    loss = torch.nn.functional.cross_entropy(left, results)
    assert loss.item() == pytest.approx(math.log(p), abs=1e-12)


def test_power_of_an_even_modulus_adds_up() -> None:
    p = 6
    logits = waves(p, {1: 1.0, 2: 1.0, 3: 1.0})
    _, _, results = grid(p)
    shares = frequency_power(fold(logits, results)) / class_variation(logits)
    torch.testing.assert_close(shares.sum().item(), 1.0)
    assert shares[2].item() == pytest.approx(2 * shares[0].item(), rel=1e-12)  # cos^2 of the highest is 1


def test_waves_of_the_difference_are_no_part_of_a_sum() -> None:
    p = 13
    a, b, results = grid(p)
    angle = 2 * math.pi * 3 / p * ((a - b)[:, None] - torch.arange(p)).double()
    folded = fold(torch.cos(angle), results)
    assert folded.abs().max().item() < 1e-12
    assert frequency_power(folded).max().item() < 1e-20


def test_variation_ignores_what_a_softmax_ignores() -> None:
    logits = waves(13, {1: 1.0})
    drift = torch.randn(169, 1, generator=torch.Generator().manual_seed(0))
    assert class_variation(logits + 100 * drift) == pytest.approx(class_variation(logits), rel=1e-4)


def test_keys_by_threshold_and_by_number() -> None:
    norms = torch.tensor([1.0, 0.24, 0.25, 0.9])
    assert key_frequencies(norms, 0.25) == [1, 3, 4]
    assert key_frequencies(norms, 0.25, count=2) == [1, 4]


def floor_of(shape: str, count: int, highest: float, draw: torch.Generator) -> torch.Tensor:
    """Norms of frequencies that nobody meant, the largest of them about `highest`."""
    if shape == "noise":  # two Gaussian coefficients each, as white noise has
        norms = torch.randn(count, 2, generator=draw).norm(dim=1)
        return highest * norms / norms.max()
    uniform = torch.rand(count, generator=draw)
    falling = torch.arange(1, count + 1) ** -1.5
    shapes = {
        "uniform": uniform,
        "decades": 10 ** (-2 * uniform),
        "flat": torch.ones(count),
        "falling": falling,
    }
    return highest * shapes[shape]


@pytest.mark.parametrize("p", [53, 113])
@pytest.mark.parametrize("shape", ["noise", "uniform", "flat", "falling"])
@pytest.mark.parametrize("highest", [0.001, 0.01, 0.04])
def test_keys_of_very_unequal_strength_stand_above_every_floor(p: int, shape: str, highest: float) -> None:
    draw = torch.Generator().manual_seed(p)
    for _ in range(40):
        count = int(torch.randint(1, 9, (), generator=draw))
        order = torch.randperm(p // 2, generator=draw)
        strengths = 0.16 ** torch.rand(count, generator=draw)
        strengths[0], strengths[-1] = (0.16, 1.0) if count > 1 else (1.0, 1.0)
        norms = torch.empty(p // 2)
        norms[order[:count]] = strengths
        norms[order[count:]] = floor_of(shape, p // 2 - count, highest, draw)
        found, gap = above_the_gap(norms)
        assert found == sorted((order[:count] + 1).tolist())
        assert gap == pytest.approx((strengths.min() / norms[order[count:]].max()).item(), rel=1e-4)


@pytest.mark.parametrize("shape", ["noise", "uniform", "decades", "flat"])
def test_norms_without_structure_have_no_gap(shape: str) -> None:
    draw = torch.Generator().manual_seed(0)
    found = [bool(above_the_gap(floor_of(shape, 56, 1.0, draw))[0]) for _ in range(200)]
    assert sum(found) <= 2


def test_keys_of_a_trained_network() -> None:
    """The norms of a `nanda` run at step 9800: six keys, then a floor that itself falls by steps of three."""
    keys = [1.0, 0.9069, 0.49, 0.3796, 0.1972, 0.144]
    rest = [0.0029, 0.0009, 0.0007, 0.0006, 0.0002, 0.0002, *(1e-4 * 0.9**k for k in range(44))]
    assert above_the_gap(torch.tensor([*keys, *rest])) == ([1, 2, 3, 4, 5, 6], pytest.approx(49.66, rel=1e-3))


def test_a_gap_leaves_enough_below_and_rounding_makes_none() -> None:
    assert above_the_gap(torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1e-3]))[0] == []
    assert above_the_gap(torch.tensor([1.0, 1.0, 1.0, 1.0, 1e-3, 1e-3]))[0] == [1, 2, 3, 4]
    assert above_the_gap(torch.tensor([1e-9, 1.0, 1e-12, 0.0, 0.0, 1e-14])) == ([2], pytest.approx(1e6))
    assert above_the_gap(torch.tensor([1.0, 0.2, 0.01, 0.01, 0.01, 0.01]))[0] == [1, 2]
    assert above_the_gap(torch.tensor([1.0])) == ([], 1.0)
    assert above_the_gap(torch.tensor([1.0, 1e-3]))[0] == []


def test_norms_of_a_single_wave() -> None:
    x = torch.arange(13, dtype=torch.float64)
    norms = fourier_norms(torch.cos(2 * math.pi * 4 * x / 13).repeat(5, 1))
    assert norms.argmax().item() == 7
    assert norms[7].item() == pytest.approx(math.sqrt(5 * 13 / 2), rel=1e-12)
    assert gini(norms) == pytest.approx(1 - 1 / 13, abs=1e-12)


def test_gini_of_equal_magnitudes_is_zero_and_scale_does_not_matter() -> None:
    assert gini(torch.full((9,), -3.0)) == pytest.approx(0)
    values = torch.rand(50, generator=torch.Generator().manual_seed(0))
    assert gini(7 * values) == pytest.approx(gini(values))
    assert math.isnan(gini(torch.zeros(4)))


def test_gini_is_half_the_mean_difference_over_the_mean() -> None:
    values = torch.rand(40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    mean_difference = (values[:, None] - values).abs().mean()
    assert gini(values) == pytest.approx((mean_difference / (2 * values.mean())).item())
