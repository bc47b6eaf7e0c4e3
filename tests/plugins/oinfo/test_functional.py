"""Omega against its definition, exact arithmetic, closed forms and independent packages."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from grokscope_oinfo import functional
from grokscope_oinfo.functional import (
    bias,
    copula_correlation,
    correlation,
    entropies_of_unions,
    entropy_bias,
    log_minors,
    normal_scores,
    o_information,
    o_information_of_entropies,
    o_information_of_subsets,
    o_information_of_unions,
    union_sizes,
)


def a_correlation(d, seed=0, n=40):
    draw = np.random.RandomState(seed)
    mixed = draw.standard_normal((n, d)) @ (np.eye(d) + 0.6 * draw.standard_normal((d, d)))
    return correlation(torch.from_numpy(mixed))


def bits(mask, d):
    return [j for j in range(d) if mask >> j & 1]


def entropy(covariance, chosen):
    """Gaussian differential entropy in nats, whole, with no term left out."""
    block = covariance[np.ix_(chosen, chosen)]
    return 0.5 * (len(chosen) * math.log(2 * math.pi * math.e) + np.linalg.slogdet(block)[1])


def omega_by_definition(covariance, chosen):
    m = len(chosen)
    whole = entropy(covariance, chosen)
    without = [entropy(covariance, [i for i in chosen if i != j]) for j in chosen]
    return (m - 2) * whole + sum(entropy(covariance, [j]) - w for j, w in zip(chosen, without, strict=True))


def exact_determinant(rows):
    rows, result = [list(row) for row in rows], Fraction(1)
    for i in range(len(rows)):
        result *= rows[i][i]
        for below in rows[i + 1 :]:
            factor = below[i] / rows[i][i]
            below[:] = [b - factor * a for a, b in zip(rows[i], below, strict=True)]
    return result


def exact_omega(matrix, chosen):
    """Omega from determinants in rational arithmetic: no rounding before the logarithm."""
    exact = [[Fraction(x) for x in row] for row in matrix.tolist()]

    def half_log_det(kept):
        return math.log(exact_determinant([[exact[i][j] for j in kept] for i in kept])) / 2

    without = sum(half_log_det([i for i in chosen if i != j]) for j in chosen)
    return (len(chosen) - 2) * half_log_det(chosen) - without


@pytest.mark.parametrize(("ties", "method"), [("average", "average"), ("argsort", "ordinal")])
def test_normal_scores_are_scipys_ranks_through_ndtri(relu_units, ties, method):
    values = relu_units(n=301, units=7)
    assert (values == 0).any()
    ranks = scipy.stats.rankdata(values.numpy(), method, axis=0)
    expected = scipy.special.ndtri(ranks / (len(values) + 1))
    torch.testing.assert_close(normal_scores(values, ties), torch.from_numpy(expected), rtol=0, atol=1e-13)


@pytest.mark.parametrize("ties", ["average", "argsort"])
def test_scores_tell_numbers_apart_that_differ_in_their_last_bits(ties):
    draw = np.random.RandomState(0)
    near = 1 + np.finfo(float).eps * draw.randint(0, 300, (500, 4))
    values = torch.from_numpy(near * [1, -1, 1e300, 1e-310])
    method = {"average": "average", "argsort": "ordinal"}[ties]
    ranks = scipy.stats.rankdata(values.numpy(), method=method, axis=0)
    assert np.allclose(normal_scores(values, ties), scipy.special.ndtri(ranks / 501), rtol=0, atol=1e-13)


def test_scores_of_one_example_and_of_a_constant_column_are_zero():
    assert normal_scores(torch.tensor([[3.0, -1.0]])).tolist() == [[0.0, 0.0]]
    assert normal_scores(torch.full((5, 1), 2.0)).abs().max() < 1e-15


def test_scores_see_only_the_order(relu_units):
    values = relu_units(units=3)
    torch.testing.assert_close(normal_scores(values), normal_scores(values**3 * 10), rtol=0, atol=0)


@pytest.mark.parametrize("data", ["oinfo_cont_600x6", "oinfo_relu_600x6"])
@pytest.mark.parametrize(
    ("ties", "corrected", "package"),
    [
        ("average", False, "thoi_avgrank_nobias"),
        ("argsort", False, "gcmi_ordinal_nobias"),
        ("argsort", False, "thoi_ordinal_nobias"),
        ("argsort", True, "gcmi_ordinal_bias"),
        ("argsort", True, "thoi_ordinal_bias"),
    ],
)
def test_omega_is_what_independent_packages_find(reference, data, ties, corrected, package):
    stored = reference(data)
    omega = o_information_of_subsets(copula_correlation(stored["X"], ties))[stored["mask"]]
    if corrected:
        omega = omega - bias(stored["size"], len(stored["X"]))
    torch.testing.assert_close(omega, stored[package], rtol=0, atol=1e-12)


def test_the_ways_to_break_ties_differ_where_there_are_ties(reference):
    def difference(name):
        values = reference(name)["X"]
        pair = [o_information_of_subsets(copula_correlation(values, ties)) for ties in ("average", "argsort")]
        return (pair[0] - pair[1])[3:].abs().nan_to_num().max().item()

    assert difference("oinfo_cont_600x6") == 0
    assert difference("oinfo_relu_600x6") > 0.05


def independent_relu_units(n=4000, zeros=0.84, units=3):
    """Independent units with this share of exact zeros, as a sparse hidden layer has them."""
    values = np.random.RandomState(3).standard_normal((n, units))
    return torch.from_numpy(np.maximum(values - scipy.special.ndtri(zeros), 0.0))


def test_average_ranks_leave_independent_sparse_units_independent():
    matrix = copula_correlation(independent_relu_units())
    assert matrix.fill_diagonal_(0).abs().max() < 0.05
    assert abs(o_information(copula_correlation(independent_relu_units()))) < 1e-3


def test_argsort_makes_independent_sparse_units_correlate_at_0_44():
    matrix = copula_correlation(independent_relu_units(), "argsort")
    for pair in itertools.combinations(range(3), 2):
        assert matrix[pair] == pytest.approx(0.44, abs=0.03)
    assert abs(o_information(matrix)) > 0.01


def test_correlation_is_numpys(relu_units):
    values = relu_units(units=6)
    torch.testing.assert_close(correlation(values), torch.from_numpy(np.corrcoef(values.numpy().T)))
    assert (correlation(values).diagonal() == 1).all()


def test_a_constant_column_correlates_with_nothing_and_has_no_omega(relu_units):
    values = relu_units(units=4)
    values[:, 1] = 0.7
    for ties in ("average", "argsort"):
        matrix = copula_correlation(values, ties)
        assert (matrix[1] == 0).all()
        assert (matrix[:, 1] == 0).all()
        undefined = o_information_of_subsets(matrix).isnan()
        for mask in range(16):
            assert undefined[mask] == (1 in bits(mask, 4) or len(bits(mask, 4)) < 2)


@pytest.mark.parametrize("d", [2, 3, 5, 7])
def test_omega_is_its_entropy_definition(d):
    matrix = a_correlation(d)
    scales = np.arange(1.0, d + 1)  # Omega does not see the scale of a variable, entropies do
    expected = omega_by_definition(matrix.numpy() * np.outer(scales, scales), list(range(d)))
    assert o_information(matrix).item() == pytest.approx(expected, abs=1e-12)


def test_omega_of_three_equally_correlated_variables_has_a_closed_form():
    for r in (-0.4, 0.0, 0.3, 0.9):
        matrix = torch.full((3, 3), r, dtype=torch.float64).fill_diagonal_(1.0)
        expected = 0.5 * math.log((1 - r) ** 2 * (1 + 2 * r)) - 1.5 * math.log(1 - r**2)
        assert o_information(matrix).item() == pytest.approx(expected, abs=1e-14)


def test_the_sign_tells_copies_of_a_cause_from_parts_of_a_sum():
    draw = np.random.RandomState(1).standard_normal((2000, 4))
    copies = draw[:, :1] + 0.5 * draw[:, 1:]
    parts = np.column_stack([draw[:, 0], draw[:, 1], draw[:, 0] + draw[:, 1] + 0.1 * draw[:, 2]])
    assert o_information(copula_correlation(torch.from_numpy(copies))) > 0.1
    assert o_information(copula_correlation(torch.from_numpy(parts))) < -0.5


def test_two_variables_and_independent_additions_have_none():
    pair = torch.tensor([[1.0, 0.8], [0.8, 1.0]], dtype=torch.float64)
    assert o_information(pair).item() == pytest.approx(0, abs=1e-15)
    matrix = a_correlation(4)
    joined = torch.block_diag(matrix, torch.ones(1, 1, dtype=torch.float64))
    assert o_information(joined).item() == pytest.approx(o_information(matrix).item(), abs=1e-13)


def test_a_near_duplicate_raises_redundancy_and_an_exact_one_has_no_value(relu_units):
    values = relu_units(n=1000, units=4)
    noise = torch.from_numpy(np.random.RandomState(5).standard_normal((1000, 1)))
    near = torch.cat([values, values[:, :1] + 0.1 * noise], dim=1)
    alone, with_copy = o_information(copula_correlation(values)), o_information(copula_correlation(near))
    assert with_copy > alone + 0.05
    exact = torch.cat([values, 2 * values[:, :1]], dim=1)
    assert o_information(copula_correlation(exact)).isnan()
    omega = o_information_of_subsets(copula_correlation(exact))
    for mask in range(3, 32):
        holds_both = {0, 4} <= set(bits(mask, 5))
        assert omega[mask].isnan() == (holds_both or len(bits(mask, 5)) < 2), mask


def test_a_sum_of_others_is_singular_whatever_the_order():
    draw = torch.from_numpy(np.random.RandomState(2).standard_normal((50, 4)))
    matrix = correlation(torch.cat([draw, draw[:, :3].sum(dim=1, keepdim=True)], dim=1))
    for order in list(itertools.permutations(range(5)))[::7]:
        shuffled = matrix[list(order)][:, list(order)]
        assert o_information(shuffled).isnan()
        assert o_information_of_subsets(shuffled)[-1].isnan()
        assert o_information_of_unions(shuffled, torch.tensor([0, 0, 1, 1, 1]))[-1].isnan()


def with_near_copy(matrix, unexplained):
    """Add a variable of which the first one explains all but this share of the variance."""
    r = math.sqrt(1 - unexplained)
    copy = r * matrix[:1]
    return torch.cat([torch.cat([matrix, copy]), torch.cat([copy.T, matrix.new_ones(1, 1)])], dim=1)


@pytest.mark.parametrize("unexplained", [5e-10, 1e-12])
def test_below_a_billionth_of_variance_unexplained_a_multiplet_is_singular(unexplained):
    matrix = with_near_copy(a_correlation(4, seed=7), unexplained)
    assert o_information(matrix).isnan()
    assert o_information_of_subsets(matrix)[-1].isnan()
    assert o_information_of_unions(matrix, torch.tensor([0, 1, 1, 0, 1]))[-1].isnan()


@pytest.mark.parametrize("unexplained", [2e-9, 1e-6])
def test_just_above_singular_omega_is_still_right_to_a_millionth(unexplained):
    matrix = with_near_copy(a_correlation(4, seed=7), unexplained)
    expected = exact_omega(matrix, [0, 1, 2, 3, 4])
    assert o_information(matrix).item() == pytest.approx(expected, abs=1e-6)
    assert o_information_of_subsets(matrix)[-1].item() == pytest.approx(expected, abs=1e-6)
    unions = o_information_of_unions(matrix, torch.tensor([0, 1, 1, 0, 1]))
    assert unions[-1].item() == pytest.approx(expected, abs=1e-6)


def test_log_minors_are_all_log_determinants():
    matrix = a_correlation(7).numpy()
    found = log_minors(torch.from_numpy(matrix))
    for mask in range(128):
        chosen = bits(mask, 7)
        expected = np.linalg.slogdet(matrix[np.ix_(chosen, chosen)])[1] if chosen else 0.0
        assert found[mask].item() == pytest.approx(expected, abs=1e-13)


def test_every_subset_is_enumerated_from_the_definition():
    matrix = a_correlation(6)
    found = o_information_of_subsets(matrix)
    for mask in range(64):
        chosen = bits(mask, 6)
        if len(chosen) < 2:
            assert found[mask].isnan()
        elif len(chosen) == 2:
            assert found[mask] == 0
        else:
            assert found[mask].item() == pytest.approx(omega_by_definition(matrix.numpy(), chosen), abs=1e-12)


UNEQUAL = torch.tensor([2, 0, 1, 1, 2, 2, 3, 2, 1])


def test_every_union_is_enumerated_over_its_single_units():
    matrix = a_correlation(9)
    found = o_information_of_unions(matrix, UNEQUAL)
    assert found.shape == (16,)
    for mask in range(1, 16):
        chosen = [unit for unit in range(9) if int(UNEQUAL[unit]) in bits(mask, 4)]
        if len(chosen) < 2:
            assert found[mask].isnan()
        else:
            expected = omega_by_definition(matrix.numpy(), chosen)
            assert found[mask].item() == pytest.approx(expected, abs=1e-11)


def test_small_batches_change_no_union(monkeypatch):
    matrix = a_correlation(9)
    whole = o_information_of_unions(matrix, UNEQUAL)
    monkeypatch.setattr(functional, "BATCH_VALUES", 1)
    torch.testing.assert_close(
        o_information_of_unions(matrix, UNEQUAL), whole, rtol=0, atol=1e-13, equal_nan=True
    )


def test_unions_of_single_variables_are_subsets():
    matrix = a_correlation(6)
    torch.testing.assert_close(
        o_information_of_unions(matrix, torch.arange(6)),
        o_information_of_subsets(matrix),
        rtol=0,
        atol=1e-13,
        equal_nan=True,
    )


def test_unions_that_hold_a_singular_group_are_nan_and_the_others_are_not(relu_units):
    values = relu_units(units=6)
    values[:, 3] = values[:, 0]  # groups 0 and 1 hold one unit each of a pair of duplicates
    found = o_information_of_unions(copula_correlation(values), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert [mask for mask in range(1, 8) if found[mask].isnan()] == [0b011, 0b111]


def test_more_variables_than_examples_have_no_omega(relu_units):
    matrix = copula_correlation(relu_units(n=12, units=15))
    found = o_information_of_unions(matrix, torch.arange(15) // 5)
    assert found[0b111].isnan()
    assert found[0b001].isfinite()
    assert o_information(matrix).isnan()


def test_batches_of_matrices_are_single_matrices():
    matrices = torch.stack([a_correlation(4, seed) for seed in range(3)])
    matrices[1, 0, 1] = matrices[1, 1, 0] = 1.0
    together = o_information(matrices)
    assert together.isnan().tolist() == [False, True, False]
    assert together[2] == pytest.approx(o_information(matrices[2]).item(), abs=1e-15)


def test_bias_is_none_for_pairs_and_missing_without_examples():
    assert bias(torch.tensor([2]), 100).item() == pytest.approx(0, abs=1e-14)
    assert bias(torch.tensor([3, 10, 11]), 10).isnan().tolist() == [False, True, True]


def test_bias_is_what_independent_variables_show_on_average():
    draw = np.random.RandomState(0)
    size, n = 6, 30
    samples = draw.standard_normal((2000, n, size))
    samples -= samples.mean(axis=1, keepdims=True)
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    found = o_information(torch.from_numpy(samples.swapaxes(1, 2) @ samples))
    stderr = found.std() / math.sqrt(len(found))
    expected = bias(torch.tensor([size]), n).item()
    assert abs(expected) > 10 * stderr
    assert found.mean().item() == pytest.approx(expected, abs=4 * stderr.item())


def test_union_sizes_add_up():
    assert union_sizes(torch.tensor([5, 1, 2])).tolist() == [0, 5, 1, 6, 2, 7, 3, 8]


def test_order_of_examples_and_variables_does_not_matter(relu_units):
    values = relu_units(n=300, units=5)
    draw = torch.Generator().manual_seed(0)
    examples, variables = torch.randperm(300, generator=draw), torch.randperm(5, generator=draw)
    omega = o_information(copula_correlation(values))
    assert o_information(copula_correlation(values[examples])).item() == pytest.approx(
        omega.item(), abs=1e-12
    )
    assert o_information(copula_correlation(values[:, variables])).item() == pytest.approx(
        omega.item(), abs=1e-12
    )


def test_groups_as_variables_are_enumerated_from_the_definition():
    matrix, labels = a_correlation(7), torch.tensor([0, 2, 1, 1, 0, 2, 0])
    omega = o_information_of_entropies(entropies_of_unions(matrix, labels))

    def entropy(groups):
        chosen = [unit for unit in range(7) if int(labels[unit]) in groups]
        return np.linalg.slogdet(matrix[chosen][:, chosen].numpy())[1] / 2 if chosen else 0.0

    everything = {0, 1, 2}
    by_hand = entropy(everything) + sum(entropy({g}) - entropy(everything - {g}) for g in everything)
    assert omega[0b111].item() == pytest.approx(by_hand, abs=1e-12)
    assert omega[[0b011, 0b101, 0b110]].tolist() == [0, 0, 0]
    assert omega[[0b000, 0b001, 0b010, 0b100]].isnan().all()


def test_groups_of_one_variable_are_subsets():
    matrix = a_correlation(5)
    found = o_information_of_entropies(entropies_of_unions(matrix, torch.arange(5)))
    torch.testing.assert_close(found, o_information_of_subsets(matrix), equal_nan=True)


def test_what_happens_inside_a_group_is_no_business_of_others():
    """Turning a group's variables about among themselves moves no Omega."""
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(50, 6, generator=draw, dtype=torch.float64) @ torch.randn(
        6, 6, generator=draw, dtype=torch.float64
    )
    turned = values.clone()
    turned[:, 2:4] = values[:, 2:4] @ torch.tensor([[1.0, 2.0], [-0.5, 3.0]], dtype=torch.float64)
    plain, other = (
        o_information_of_entropies(entropies_of_unions(correlation(v), labels)) for v in (values, turned)
    )
    assert other[-1].item() == pytest.approx(plain[-1].item(), abs=1e-10)


def test_a_group_that_holds_a_copy_has_no_value(relu_units):
    values = relu_units(units=5)
    values[:, 4] = 2 * values[:, 3]
    omega = o_information_of_entropies(
        entropies_of_unions(correlation(values), torch.tensor([0, 1, 2, 3, 3]))
    )
    assert [mask for mask in range(16) if mask.bit_count() > 1 and omega[mask].isnan()] == [
        mask for mask in range(16) if mask.bit_count() > 1 and mask & 0b1000
    ]


def test_the_bias_of_groups_of_one_is_that_of_variables():
    sizes = union_sizes(torch.ones(4, dtype=torch.int64))
    found = o_information_of_entropies(entropy_bias(4, 50)[sizes])
    torch.testing.assert_close(found[3:], bias(sizes, 50).where(sizes > 1, torch.nan)[3:], equal_nan=True)


@pytest.mark.parametrize("equal", [0, 30, 3000], ids=["none", "some", "too many"])
def test_rectified_values_score_as_any_others(equal, monkeypatch):
    """Only what is above zero is sorted: the same bits, whatever ties there are."""
    values = torch.randn(700, 35, generator=torch.Generator().manual_seed(0)).relu()
    values[:, 1], values[:, 2], values[0, 3] = 0, values[:, 2] + 1, -0.0
    values.view(-1)[:equal] = values.view(-1)[:equal].mul(8).round()
    quick = normal_scores(values)
    monkeypatch.setattr(functional, "_score_rectified", lambda *args: False)
    assert torch.equal(quick, normal_scores(values))
