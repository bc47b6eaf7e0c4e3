"""The formulas against closed forms, brute force, reference values and invariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
import pytest
import torch

from grokscope_matrix_information import functional
from grokscope_matrix_information.functional import (
    centred,
    gram,
    gram_entropy,
    joint_entropy,
    label_entropy,
    label_joint_entropies,
    label_joint_entropy,
    matrix_entropy,
    mutual_information,
    renyi_entropy,
    unit_rows,
)
from grokscope_matrix_information.tridiagonal import von_neumann_entropies

ALPHAS = [0.1, 0.5, 1.0, 1.01, 1.5, 2.0, 3.0, 5.0]
REFERENCE_ALPHAS = ["0.5", "1", "1.01", "2", "3", "5"]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int) -> torch.Tensor:
    return torch.linalg.qr(drawn(size, size, seed=9)).Q


def blocks(sizes: list[int], width: int) -> torch.Tensor:
    """Rows that are one of len(sizes) orthogonal directions, rotated: R/n has the eigenvalues sizes/n."""
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return torch.eye(width, dtype=torch.float64)[labels] @ rotation(width)


def close(value: SupportsFloat, expected: SupportsFloat, tolerance: float = 1e-10) -> None:
    assert float(value) == pytest.approx(float(expected), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("alpha", REFERENCE_ALPHAS)
def test_reference_values(reference: dict[str, np.ndarray], case: str, alpha: str) -> None:
    a, b = (torch.from_numpy(reference[f"{case}_{name}"]) for name in "AB")
    order = float(alpha)
    # at alpha = 0.5 the package's own zeros, 1e-17 after rounding, weigh about 1e-7
    tolerance = 1e-6 if order < 1 else 1e-9
    close(matrix_entropy(a, order), reference[f"{case}_H_A_alpha{alpha}"], tolerance)
    close(matrix_entropy(b, order), reference[f"{case}_H_B_alpha{alpha}"], tolerance)
    close(joint_entropy(a, b, order), reference[f"{case}_Hjoint_alpha{alpha}"], tolerance)
    close(mutual_information(a, b, order), reference[f"{case}_MI_alpha{alpha}"], tolerance)


def test_gram_matrix_is_the_references(reference: dict[str, np.ndarray]) -> None:
    ours = gram(torch.from_numpy(reference["a_A"])).numpy()
    np.testing.assert_allclose(ours, reference["a_K1"], atol=1e-14)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("shape", [(60, 7), (60, 59), (60, 60), (60, 61), (60, 200), (2, 1)])
def test_entropy_equals_brute_force_on_either_side(
    shape: tuple[int, int], alpha: float, brute_entropy: Callable[..., float]
) -> None:
    features = drawn(*shape)
    close(matrix_entropy(features, alpha), brute_entropy(features, alpha=alpha))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("classes", [1, 3, 40])
def test_labels_are_decomposed_block_by_block(classes: int, alpha: float) -> None:
    features, labels = drawn(60, 30), torch.arange(60) * 7 % classes
    one_hot = torch.nn.functional.one_hot(labels, classes)
    close(label_entropy(labels, alpha), matrix_entropy(one_hot, alpha))
    joint = label_joint_entropy(gram(features), labels, alpha)
    close(joint, joint_entropy(features, one_hot, alpha))
    matrices, other = torch.stack([gram(features), gram(features[::2].repeat(2, 1))]), labels // 2
    both = label_joint_entropies(matrices, torch.stack([labels, other]), alpha)
    assert both.tolist() == [joint, label_joint_entropy(matrices[1], other, alpha)]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_information_equals_brute_force(alpha: float, brute_entropy: Callable[..., float]) -> None:
    a, b = drawn(50, 30), drawn(50, 4, seed=1)
    expected = (
        brute_entropy(a, alpha=alpha) + brute_entropy(b, alpha=alpha) - brute_entropy(a, b, alpha=alpha)
    )
    close(mutual_information(a, b, alpha), expected)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("width", [20, 200, 300])
def test_eigenvalues_that_are_rounding_have_no_weight(width: int, alpha: float) -> None:
    """Rank 5 out of 200: spurious eigenvalues of 1e-17 would add 1e-6 at alpha = 0.5, and 3 nats at 0.1."""
    sizes = [100, 50, 30, 15, 5]
    share = torch.tensor(sizes, dtype=torch.float64) / 200
    expected = -(share * share.log()).sum() if alpha == 1 else (share**alpha).sum().log() / (1 - alpha)
    features = blocks(sizes, width)
    close(matrix_entropy(features, alpha), expected)
    close(gram_entropy(gram(features), alpha), expected)


def test_eigenvalues_just_above_rounding_are_kept(brute_entropy: Callable[..., float]) -> None:
    """Eigenvalues that fall by a factor of ten each, down to 1e-20: what is dropped weighs below 1e-6."""
    scales = 10.0 ** -(0.5 * torch.arange(20, dtype=torch.float64))
    for features in (drawn(100, 20) * scales, (drawn(100, 20) * scales) @ drawn(20, 150, seed=2)):
        close(matrix_entropy(features, 0.5), brute_entropy(features, alpha=0.5), 1e-6)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_orthogonal_rows_have_log_n(alpha: float) -> None:
    for features in (torch.eye(30), rotation(30), torch.eye(30, 45)):
        close(matrix_entropy(features, alpha), math.log(30))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("width", [1, 5, 80])
def test_rank_one_has_none(width: int, alpha: float) -> None:
    features = drawn(40, 1) * drawn(1, width, seed=1)
    value = matrix_entropy(features, alpha).item()
    assert 0 <= value < 1e-10


@pytest.mark.parametrize("alpha", ALPHAS)
def test_information_with_the_identity_is_the_entropy(alpha: float) -> None:
    features = drawn(30, 6)
    close(mutual_information(torch.eye(30), features, alpha), matrix_entropy(features, alpha).item())


@pytest.mark.parametrize("width", [6, 90])
def test_order_two_has_a_closed_form(width: int) -> None:
    features = drawn(40, width)
    expected = 2 * math.log(40) - math.log(gram(features).square().sum())
    close(matrix_entropy(features, 2.0), expected)
    close(matrix_entropy(features, 2.0), matrix_entropy(features, 2.0 + 1e-9).item(), 1e-7)


def test_one_hot_rows_give_shannon_information() -> None:
    first = torch.randint(4, (200,), generator=torch.Generator().manual_seed(0))
    second = (first + torch.randint(2, (200,), generator=torch.Generator().manual_seed(1))) % 4
    counts = torch.bincount(4 * first + second, minlength=16).reshape(4, 4).double() / 200
    product = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True)
    expected = torch.xlogy(counts, counts / product).sum().item()
    a, b = torch.nn.functional.one_hot(first), torch.nn.functional.one_hot(second)
    close(mutual_information(a, b), expected)


def test_renyi_information_can_be_negative() -> None:
    """Not a defect: at alpha = 3, H(X) + H(Y) - H(X, Y) of this joint law of two bits is below zero."""
    joint = [50, 200, 200, 550]
    first = torch.repeat_interleave(torch.tensor([0, 0, 1, 1]), torch.tensor(joint))
    second = torch.repeat_interleave(torch.tensor([0, 1, 0, 1]), torch.tensor(joint))
    law = torch.tensor(joint).double().reshape(2, 2) / 1000
    cubes = [(p**3).sum().log() / -2 for p in (law.sum(1), law.sum(0), law)]
    expected = (cubes[0] + cubes[1] - cubes[2]).item()
    value = mutual_information(
        torch.nn.functional.one_hot(first), torch.nn.functional.one_hot(second), 3.0
    ).item()
    close(value, expected)
    assert value < 0


@pytest.mark.parametrize("alpha", ALPHAS)
def test_invariances(alpha: float) -> None:
    a, b = drawn(40, 6), drawn(40, 50, seed=1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    scale = drawn(40, 1, seed=3).exp() * 1e3
    value = mutual_information(a, b, alpha).item()
    close(mutual_information(a @ rotation(6), b @ rotation(50), alpha), value, 1e-9)
    close(mutual_information(a[order], b[order], alpha), value, 1e-9)
    close(mutual_information(a * scale, -b * scale, alpha), value, 1e-9)
    close(mutual_information(b, a, alpha), value, 1e-9)


def test_permuting_one_side_alone_is_noticed() -> None:
    a = drawn(40, 6)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert mutual_information(a, a) - mutual_information(a, a[order]) > 0.1


@pytest.mark.parametrize("alpha", ALPHAS)
def test_bounds(alpha: float) -> None:
    a, b = drawn(40, 6), drawn(40, 50, seed=1)
    lesser = min(matrix_entropy(a, alpha), matrix_entropy(b, alpha))
    assert mutual_information(a, b, alpha) <= lesser + 1e-10
    assert 0 <= matrix_entropy(a, alpha) <= math.log(6) + 1e-10
    if alpha == 1:
        assert mutual_information(a, b) >= 0


def test_entropy_falls_with_alpha() -> None:
    values = [matrix_entropy(drawn(40, 12), alpha).item() for alpha in ALPHAS]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] > 0.1


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-8, 1e-11, 1e-13])
def test_continuous_at_one(distance: float) -> None:
    """H_(1 +- e) differs from H_1 by e/2 times the variance of log p, to second order."""
    p = torch.tensor([0.6, 0.3, 0.07, 0.03], dtype=torch.float64)
    shannon = renyi_entropy(p, 1.0).item()
    variance = ((p * p.log().square()).sum() - shannon**2).item()
    for sign in (1, -1):
        expected = shannon - sign * distance / 2 * variance
        assert renyi_entropy(p, 1 + sign * distance).item() == pytest.approx(
            expected, abs=2 * distance**2 + 1e-14
        )


@pytest.mark.parametrize("alpha", [0.5, 1.5])
def test_the_two_forms_of_the_formula_meet(alpha: float) -> None:
    p = torch.tensor([0.6, 0.3, 0.07, 0.03], dtype=torch.float64)
    close(renyi_entropy(p, alpha - 1e-12), renyi_entropy(p, alpha + 1e-12).item())


def test_single_precision_features_are_computed_in_double() -> None:
    features = drawn(50, 8).float()
    assert matrix_entropy(features).dtype == torch.float64
    close(matrix_entropy(features), matrix_entropy(features.double()).item(), 1e-15)


def test_centred_rows() -> None:
    logits = drawn(10, 4).float()
    shifted = logits.double() + drawn(10, 1, seed=1)
    torch.testing.assert_close(centred(shifted), centred(logits.double()))
    assert centred(logits).sum(dim=1).abs().max() < 1e-14


@pytest.mark.parametrize(
    "features",
    [
        drawn(30, 40),
        drawn(30, 3),
        torch.ones(30, 2),
        torch.eye(30),
        blocks([1, 2, 27], 5),
        1 + 1e-3 * drawn(30, 5),
        1 + 1e-8 * drawn(30, 5),
        drawn(1, 2),
        drawn(2, 1),
    ],
    ids=["full", "low", "one", "equal", "three", "narrow", "narrower", "single", "pair"],
)
def test_entropy_without_eigenvalues_is_that_of_the_eigenvalues(features: torch.Tensor) -> None:
    """Off by 1e-11, or 1e-8 of an entropy that is itself as small as that."""
    matrix = gram(features) / len(features)
    kept = torch.linalg.eigvalsh(matrix).clamp(min=0)
    expected = torch.special.entr(kept / kept.sum()).sum()
    found = von_neumann_entropies(torch.stack([matrix, matrix]))
    ones = torch.ones(2, *matrix.shape, dtype=torch.float64)
    assert torch.equal(von_neumann_entropies(ones, torch.stack([matrix, matrix])), found)
    assert found.tolist() == pytest.approx([expected.item()] * 2, rel=1e-8, abs=2e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centred_rows_have_a_direction_where_centring_leaves_one(dtype: torch.dtype) -> None:
    """Of rows that are constant but for 1e-2 to 1e-12 of it, and of rows of zeros."""
    draw = torch.Generator().manual_seed(0)
    offsets, apart = torch.randn(400, 1, generator=draw), torch.randn(400, 9, generator=draw)
    logits = 100 * (offsets.double() + torch.logspace(-12, -2, 400)[:, None].double() * apart).to(dtype)
    logits[7] = 0
    wanted = functional.has_direction(centred(logits))
    assert 0 < wanted.sum() < len(wanted)
    assert torch.equal(functional.has_direction_centred(logits), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_constant_up_to_rounding_is_centred_to_exact_zeros(dtype: torch.dtype) -> None:
    """Its remainder is rounding and must not become a direction; a row that truly differs keeps its own."""
    logits = torch.full((3, 7), 0.1, dtype=dtype)
    logits[1, 0] = torch.nextafter(logits[1, 0], torch.tensor(1.0, dtype=dtype))
    logits[2, 0] = 0.1001
    assert (logits.double() - logits.double().mean(dim=1, keepdim=True))[1].abs().max() > 0
    assert functional.has_direction(centred(logits)).tolist() == [False, False, True]
    rows = torch.tensor([[0.0, -0.0], [0.0, 1e-40], [1.0, 0.0], [0.0, math.nan]])
    assert functional.has_direction(rows).tolist() == [False, True, True, True]
    assert functional.has_direction(rows[:, :0]).tolist() == [False] * 4


def test_a_row_of_zeros_is_refused() -> None:
    features = drawn(5, 3)
    features[2] = 0
    with pytest.raises(ValueError, match="a row of zeros"):
        unit_rows(features)


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_alpha_must_be_positive(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be > 0"):
        matrix_entropy(drawn(5, 3), alpha)
