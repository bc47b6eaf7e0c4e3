"""Spectra, sparsity, alignment and counts against closed forms, invariances and brute force in float64."""

from __future__ import annotations

import math

import pytest
import torch

from grokscope.numbers import gini, gram
from grokscope_geometry import functional
from grokscope_geometry.functional import (
    as_matrix,
    cka,
    cka_of_kernels,
    collapsed,
    condition_number,
    effective_rank,
    fewest_units,
    flat,
    hoyer,
    participation_ratio,
    stable_rank,
    weight_distance,
)

RANKS = [effective_rank, stable_rank, participation_ratio]
SPECTRAL = [*RANKS, condition_number]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(n: int, seed: int = 0) -> torch.Tensor:
    return torch.linalg.qr(numbers(n, n, seed=seed)).Q


@pytest.mark.parametrize("rank", RANKS)
def test_rank_of_an_isometry_is_its_size_and_of_an_outer_product_one(rank) -> None:
    assert rank(3 * torch.eye(7)) == pytest.approx(7)
    assert rank(orthogonal(6)[:4]) == pytest.approx(4)
    assert rank(torch.outer(numbers(5), numbers(8))) == pytest.approx(1)


@pytest.mark.parametrize("formula", SPECTRAL)
def test_spectrum_does_not_see_rotations_scale_or_transposition(formula) -> None:
    matrix = numbers(6, 4)
    expected = pytest.approx(formula(matrix))
    assert formula(orthogonal(6) @ matrix @ orthogonal(4, seed=1)) == expected
    assert formula(1e-20 * matrix) == expected
    assert formula(matrix.T) == expected


def test_ranks_by_hand() -> None:
    diagonal = torch.diag(torch.tensor([3.0, 1.0]))
    assert effective_rank(diagonal) == pytest.approx(4 / 3**0.75)  # exp of the entropy of (3/4, 1/4)
    assert stable_rank(diagonal) == pytest.approx(10 / 9)
    assert participation_ratio(diagonal) == pytest.approx(100 / 82)
    assert condition_number(diagonal) == pytest.approx(3)


@pytest.mark.parametrize("formula", [*SPECTRAL, gini, hoyer])
def test_zero_matrix_has_no_value(formula) -> None:
    assert math.isnan(formula(torch.zeros(3, 2)))


def test_condition_number_of_a_singular_matrix_is_infinite() -> None:
    dead = numbers(5, 4)
    dead[:, 2] = 0
    assert condition_number(dead) == math.inf
    assert condition_number(torch.outer(numbers(5), numbers(3))) == math.inf


def test_attention_heads_are_stacked() -> None:
    heads = numbers(4, 3, 5)
    assert as_matrix(heads).shape == (12, 5)
    torch.testing.assert_close(as_matrix(heads)[3:6], heads[1])
    assert as_matrix(numbers(6, 2, 3, 3)).shape == (6, 18)


def test_sparsity_of_one_entry_and_of_equal_entries() -> None:
    one, equal = torch.zeros(4, 5), torch.full((4, 5), -2.0)
    one[2, 3] = -7
    assert hoyer(one) == pytest.approx(1)
    assert gini(one) == pytest.approx(1 - 1 / 20)
    assert hoyer(equal) == pytest.approx(0, abs=1e-12)
    assert gini(equal) == pytest.approx(0, abs=1e-12)
    assert math.isnan(hoyer(torch.ones(1, 1)))


@pytest.mark.parametrize(
    ("formula", "gaussian"), [(gini, math.sqrt(2) - 1), (hoyer, 1 - math.sqrt(2 / math.pi))]
)
def test_sparsity_of_gaussian_entries(formula, gaussian: float) -> None:
    entries = numbers(1000, 1000)
    assert formula(entries) == pytest.approx(gaussian, abs=2e-3)
    assert formula(5 * entries) == pytest.approx(formula(entries))


def test_gini_is_half_the_mean_difference_over_the_mean() -> None:
    values = numbers(6, 8)
    c = values.abs().flatten()
    assert gini(values) == pytest.approx(((c[:, None] - c).abs().mean() / (2 * c.mean())).item())


def hsic(k: torch.Tensor, kk: torch.Tensor) -> torch.Tensor:
    n = len(k)
    centring = torch.eye(n, dtype=k.dtype) - 1 / n
    return (centring @ k @ centring * (centring @ kk @ centring)).sum()


def test_cka_is_the_alignment_of_the_kernels() -> None:
    x, y = numbers(30, 6) + 3, numbers(30, 9, seed=1)
    k, kk = x @ x.T, y @ y.T
    expected = hsic(k, kk) / (hsic(k, k) * hsic(kk, kk)).sqrt()
    assert cka(x, y) == pytest.approx(expected.item(), rel=1e-10)
    assert cka_of_kernels(gram(x), gram(y)) == pytest.approx(cka(x, y), rel=1e-10)
    assert math.isnan(cka_of_kernels(gram(torch.ones(30, 40)), gram(y)))


def test_cka_does_not_see_rotation_scale_shift_and_order() -> None:
    x, y = numbers(40, 6), numbers(40, 5, seed=1)
    assert cka(x, -3 * x @ orthogonal(6) + numbers(6, seed=2)) == pytest.approx(1, abs=1e-12)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert cka(x[order] + 100, 2 * y[order]) == pytest.approx(cka(x, y), rel=1e-10)


def test_cka_of_uncorrelated_and_of_constant_features() -> None:
    q = torch.linalg.qr(torch.cat([torch.ones(20, 1, dtype=torch.float64), numbers(20, 4)], dim=1)).Q
    assert cka(q[:, 1:3], q[:, 3:]) == pytest.approx(0, abs=1e-12)
    assert math.isnan(cka(torch.ones(20, 3), q))


def test_distance_of_weights() -> None:
    w, w0 = numbers(3, 4), numbers(3, 4, seed=1)
    assert weight_distance(w, w) == pytest.approx({"l2": 0, "relative": 0, "cosine": 1})
    assert weight_distance(-2 * w, w) == pytest.approx(
        {"l2": 3 * w.norm().item(), "relative": 3, "cosine": -1}
    )
    found = weight_distance(w, w0)
    expected = math.sqrt(
        w.norm() ** 2 + w0.norm() ** 2 - 2 * found["cosine"] * w.norm() * w0.norm()
    )  # law of cosines
    assert found["l2"] == pytest.approx(expected)


def test_distance_from_and_to_zero() -> None:
    found = weight_distance(torch.ones(4), torch.zeros(4))
    assert found["l2"] == 2
    assert math.isnan(found["relative"])
    assert math.isnan(found["cosine"])
    assert weight_distance(torch.zeros(4), torch.ones(4))["relative"] == 1


def test_flat_keeps_every_parameter() -> None:
    weights = {"a": numbers(2, 3).float(), "b": numbers(4).float()}
    vector = flat(weights)
    assert vector.dtype == torch.float64
    assert vector.norm().item() == pytest.approx(
        math.sqrt(sum(w.double().square().sum() for w in weights.values()))
    )


def test_collapse_begins_where_float32_absorbs() -> None:
    logits = torch.tensor([[0.0, 15.0], [0.0, 18.0], [-18.0, 0.0], [1000.0, 0.0], [5.0, 5.0]])
    assert collapsed(logits).tolist() == [False, True, True, True, False]


def test_collapse_means_a_loss_of_exactly_zero() -> None:
    logits = 12 * numbers(500, 10).float()
    labels = logits.argmax(dim=1)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    gone = collapsed(logits)
    assert 0 < gone.sum() < 500
    assert (loss[gone] == 0).all()
    assert (loss[~gone] > 0).all()


def test_collapse_is_judged_in_float32() -> None:
    logits = torch.tensor([[0.0, 20.0]], dtype=torch.float64)
    assert collapsed(logits).item()
    assert (logits - logits.max()).exp().sum().item() > 1


def every_count(whole, a, v, order, labels, onward) -> list[int]:
    """How many are right with the first k units, one k after the other: mask all others, and see."""
    counts = []
    for k in range(1, len(order) + 1):
        kept = torch.zeros(len(order), dtype=a.dtype)
        kept[order[:k]] = 1
        values = onward(whole - (a * (1 - kept)) @ v.T)
        counts.append(int((values.argmax(dim=1) == labels).sum()))
    return counts


@pytest.mark.parametrize("deep", [False, True], ids=["linear from here", "through another ReLU"])
@pytest.mark.parametrize("seed", range(4))
def test_fewest_units_is_the_first_of_all_that_are_enough(seed, deep, monkeypatch) -> None:
    """Also where accuracy falls again with more units, and whether few or most must be right."""
    monkeypatch.setattr(functional, "EXAMPLES", 16)
    a, v, without = numbers(60, 24, seed=seed).relu(), numbers(5, 24, seed=seed + 9), numbers(60, 5, seed=2)
    head = numbers(5, 5, seed=seed + 20)
    way = (lambda values: values.relu() @ head) if deep else None
    whole, order = without + a @ v.T, torch.randperm(24, generator=torch.Generator().manual_seed(seed))
    labels = (way(whole) if way else whole).argmax(dim=1)
    labels[::7] = 0  # not all are right in the end
    for right in (labels, numbers(60, 5, seed=seed + 30).argmax(dim=1)):  # well fitted, and by chance
        counts = every_count(whole, a, v, order, right, way or (lambda values: values))
        assert counts != sorted(counts)
        for least in (1, 15, 30, 40, max(counts), counts[-1]):
            expected = next((k for k, count in enumerate(counts, start=1) if count >= least), 24)
            assert fewest_units(whole, a, v, order, right, least, way) == expected


def test_fewest_units_asks_few_of_all_numbers_where_it_is_linear(monkeypatch) -> None:
    asked: list[int] = []
    ask = functional._Part.ask
    monkeypatch.setattr(functional._Part, "ask", lambda self, kept: asked.append(kept) or ask(self, kept))
    a, v = numbers(400, 120).relu(), numbers(9, 120, seed=1)
    labels = (a @ v.T).argmax(dim=1)
    fewest_units(a @ v.T, a, v, torch.arange(120), labels, 400)
    assert len(set(asked)) < 30


def test_a_weight_is_decomposed_once_and_anew_when_it_has_changed(monkeypatch) -> None:
    weight, asked, svd = numbers(2, 3, 4), [], torch.linalg.svdvals
    monkeypatch.setattr(torch.linalg, "svdvals", lambda matrix: asked.append(matrix.shape) or svd(matrix))
    before = [formula(weight) for formula in (effective_rank, stable_rank, participation_ratio)]
    assert asked == [(6, 4)]
    weight[0] = 0.0
    after = [formula(weight) for formula in (effective_rank, stable_rank, participation_ratio)]
    assert len(asked) == 2
    assert all(one != other for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("how", ["data", "fused", "numpy"])
def test_a_spectrum_is_of_the_numbers_that_are_there_now(how) -> None:
    """None of these changes counts for torch as one of the tensor."""
    weight = torch.nn.Parameter(numbers(2, 5, 4)[0].clone())
    array = weight.detach().numpy()
    before, version = functional.stable_rank(weight), weight._version
    if how == "data":
        weight.data[0] *= 100
    elif how == "numpy":
        array[0] *= 100
    else:
        weight.grad = torch.ones_like(weight)
        torch.optim.AdamW([weight], lr=1.0, fused=True).step()
    assert weight._version == version
    now = functional.stable_rank(weight)
    assert now != before
    assert now == pytest.approx(functional.stable_rank(weight.detach().clone()), rel=1e-12)


def test_fewest_units_is_all_when_nothing_less_is_enough() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    assert fewest_units(numbers(3, 2), numbers(3, 5), numbers(2, 5), torch.arange(5), labels, 4) == 5
    nan = torch.full((3, 5), math.nan, dtype=torch.float64)
    assert fewest_units(numbers(3, 2), nan, numbers(2, 5), torch.arange(5), labels, 1) == 5


def test_fewest_units_counts_nothing_right_where_a_logit_overflows() -> None:
    """With one unit the first example's label is ahead by an infinity."""
    a, v = torch.tensor([[0.0, 3e38], [0.0, 0.0]]), torch.tensor([[0.0, -1.0], [0.0, 0.0]])
    whole, labels = torch.tensor([[1e38, 0.0], [1.0, 0.0]]), torch.tensor([0, 0])
    assert fewest_units(whole, a, v, torch.arange(2), labels, 2) == 2
    assert fewest_units(whole / 1e3, a / 1e3, v, torch.arange(2), labels, 2) == 1


def test_fewest_units_leaves_its_inputs_alone() -> None:
    whole, before = numbers(3, 2), numbers(3, 2)
    labels = torch.zeros(3, dtype=torch.int64)
    fewest_units(whole, numbers(3, 5), numbers(2, 5), torch.arange(5), labels, 3)
    torch.testing.assert_close(whole, before, atol=0, rtol=0)
