"""The formulas of the family `progress` against closed forms, brute force and exhaustive enumeration."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from grokscope_progress.functional import (
    EVERY,
    circuit_complexity,
    divergence,
    entropy_and_mass,
    mean_and_error,
    normalised_entropy,
    pruned_indices,
    sparsity,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def log_softmax(logits):
    return torch.as_tensor(logits, dtype=torch.float64).log_softmax(dim=1)


class TestSparsity:
    def test_counts_values_below_the_threshold_by_hand(self):
        activations = torch.tensor([[0.0, 0.2, 3.0], [0.0, -5.0, 0.0]])
        assert sparsity(activations, 1e-6) == 3 / 6
        assert sparsity(activations, 1.0) == 4 / 6
        assert sparsity(activations, 6.0) == 1

    def test_the_threshold_itself_does_not_count(self):
        activations = torch.tensor([[0.5, -0.5, 0.25, 1.0]])
        assert sparsity(activations, 0.5) == 1 / 4
        assert sparsity(torch.zeros(3, 2), 0.0) == 0

    def test_relu_of_a_symmetric_draw_is_half_sparse(self):
        values = torch.randn(400, 250, generator=seeded(0)).relu()
        assert abs(sparsity(values, 1e-6) - 0.5) < 4 * 0.5 / math.sqrt(values.numel())


class TestWeightEntropy:
    def test_equals_the_sum_written_out(self):
        weight = torch.randn(7, 5, generator=seeded(1))
        weight[2, 3] = 0
        values = [abs(value) for value in weight.flatten().tolist()]
        mass = sum(values)
        entropy, found_mass = entropy_and_mass(weight)
        assert entropy == pytest.approx(-sum(v * math.log(v) for v in values if v > 0), rel=1e-13)
        assert found_mass == pytest.approx(mass, rel=1e-13)
        shares = [v / mass for v in values if v > 0]
        expected = -sum(share * math.log(share) for share in shares)
        assert normalised_entropy(entropy, found_mass) == pytest.approx(expected, rel=1e-13)

    @pytest.mark.parametrize(
        ("shape", "expected"), [((200, 784), 39_262), ((200, 200), 12_102), ((10, 200), 605)]
    )
    def test_default_initialisation_times_8_gives_the_closed_form(self, shape, expected):
        """Uniform(-a, a) with a = 8 / sqrt(fan_in) gives mn (a/4 - a/2 log a) within the sampling error."""
        outputs, inputs = shape
        a, size, seeds = 8 / math.sqrt(inputs), outputs * inputs, 8
        exact = size * (a / 4 - a / 2 * math.log(a))
        assert exact == pytest.approx(expected, abs=1)
        entropies, deviation = [], 0.0
        for seed in range(seeds):
            torch.manual_seed(seed)
            weight = 8 * torch.nn.Linear(inputs, outputs).weight.detach()
            entropies.append(entropy_and_mass(weight)[0])
            deviation = torch.special.entr(weight.abs().double()).std().item()
            assert abs(entropies[-1] - exact) < 4 * deviation * math.sqrt(size)
        assert abs(sum(entropies) / seeds - exact) < 4 * deviation * math.sqrt(size / seeds)

    def test_scaling_the_weights(self):
        """H(cW) = c H(W) - c log(c) S(W), and `normalised` stays."""
        weight = torch.randn(20, 30, generator=seeded(2), dtype=torch.float64)
        entropy, mass = entropy_and_mass(weight)
        for factor in (1e-6, 0.3, -8.0, 1e4):
            scaled, scaled_mass = entropy_and_mass(factor * weight)
            c = abs(factor)
            assert scaled == pytest.approx(c * entropy - c * math.log(c) * mass, rel=1e-12)
            assert normalised_entropy(scaled, scaled_mass) == pytest.approx(
                normalised_entropy(entropy, mass), rel=1e-12
            )

    def test_normalised_is_log_n_for_equal_weights_and_0_for_one(self):
        assert normalised_entropy(*entropy_and_mass(torch.full((4, 8), -0.37))) == pytest.approx(math.log(32))
        one = torch.zeros(4, 8)
        one[1, 2] = 0.37
        assert normalised_entropy(*entropy_and_mass(one)) == pytest.approx(0, abs=1e-15)

    def test_zero_weights_have_no_distribution(self):
        entropy, mass = entropy_and_mass(torch.zeros(3, 4))
        assert (entropy, mass) == (0, 0)
        assert math.isnan(normalised_entropy(entropy, mass))

    def test_sums_in_float64(self):
        """A million float32 terms of 0.5 log 2 add up without float32's rounding."""
        entropy, mass = entropy_and_mass(torch.full((1000, 1000), 0.5))
        assert entropy == pytest.approx(5e5 * math.log(2), rel=1e-13)
        assert mass == 5e5


class TestDivergence:
    def test_equals_the_sum_written_out(self):
        log_p = log_softmax(torch.randn(6, 4, generator=seeded(3)))
        log_q = log_softmax(torch.randn(6, 4, generator=seeded(4)))
        for row in range(6):
            terms = [
                math.exp(p) * (p - q) for p, q in zip(log_p[row].tolist(), log_q[row].tolist(), strict=True)
            ]
            assert divergence(log_p, log_q)[row].item() == pytest.approx(sum(terms), rel=1e-12)

    def test_two_classes_give_the_closed_form(self):
        p, q = 0.3, 0.8
        log_p, log_q = log_softmax([[0, math.log(p / (1 - p))]]), log_softmax([[0, math.log(q / (1 - q))]])
        expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert divergence(log_p, log_q).item() == pytest.approx(expected, rel=1e-13)

    def test_huge_logits_stay_finite(self):
        """Certain of one class, then of the other, by a margin of 5000: KL = 5000."""
        assert divergence(log_softmax([[5000, 0]]), log_softmax([[0, 5000]])).item() == 5000

    def test_is_never_negative(self):
        logits = torch.randn(2000, 10, generator=seeded(5), dtype=torch.float64)
        nudged = logits + 1e-9 * torch.randn(2000, 10, generator=seeded(6), dtype=torch.float64)
        assert (divergence(log_softmax(logits), log_softmax(nudged)) >= 0).all()
        assert (divergence(log_softmax(logits), log_softmax(logits)) == 0).all()


class TestMasks:
    @pytest.mark.parametrize(
        ("size", "fraction", "count"), [(1000, 0.1, 100), (7, 0.5, 4), (4, 0.1, 0), (9, 1, 9)]
    )
    def test_zeroes_exactly_the_share_asked_for(self, size, fraction, count):
        indices = pruned_indices("layers.0.weight", size, 0, fraction, seed=1).tolist()
        assert len(set(indices)) == len(indices) == count
        assert all(0 <= index < size for index in indices)

    def test_every_weight_is_as_likely_as_any_other(self):
        """Over 4000 masks each of 20 weights is zeroed 800 times, within 5 standard deviations."""
        counts = torch.zeros(20)
        for repeat in range(4000):
            counts[pruned_indices("w", 20, repeat, 0.2, seed=0)] += 1
        assert (counts - 800).abs().max() < 5 * math.sqrt(4000 * 0.2 * 0.8)

    def test_differ_by_repeat_matrix_and_seed(self):
        draws = [("w", 0, 0), ("w", 1, 0), ("v", 0, 0), ("w", 0, 1)]
        masks = {tuple(pruned_indices(name, 500, repeat, 0.1, seed).tolist()) for name, repeat, seed in draws}
        assert len(masks) == 4

    def test_a_larger_fraction_zeroes_more_of_the_same(self):
        masks = [set(pruned_indices("w", 300, 2, share, seed=7).tolist()) for share in (0.05, 0.2, 0.6)]
        assert all(small < large for small, large in pairwise(masks))


class Linear:
    """Logits of a two-layer linear network whose weights can be replaced, keeping what it was asked for."""

    def __init__(self, seed: int, scale: float = 1.0) -> None:
        self.weights = {
            "v": scale * torch.randn(4, 3, generator=seeded(seed)),
            "w": scale * torch.randn(3, 5, generator=seeded(seed + 1)),
        }
        self.inputs = torch.randn(6, 4, generator=seeded(9))
        self.asked: list[dict[str, torch.Tensor]] = []

    def __call__(self, replaced):
        self.asked.append(dict(replaced))
        weights = {**self.weights, **replaced}
        return self.inputs @ weights["v"] @ weights["w"]

    def complexity(self, *, fraction=0.25, repeats=5, per_matrix=True, seed=0):
        return circuit_complexity(
            self, self.weights, fraction=fraction, repeats=repeats, per_matrix=per_matrix, rng=seeded(seed)
        )

    def zeros(self):
        return [{name: (weight == 0).tolist() for name, weight in asked.items()} for asked in self.asked]


class TestCircuitComplexity:
    def test_zeroing_everything_compares_with_the_uniform_answer(self):
        """All weights zero: KL(p || uniform) = log K - H(p), whatever the mask."""
        network = Linear(0)
        p = network({}).double().softmax(dim=1)
        expected = (math.log(5) - torch.special.entr(p).sum(dim=1)).sum().item()
        sums = network.complexity(fraction=1.0, repeats=2)
        assert set(sums) == {EVERY, "v", "w"}
        for values in sums.values():
            assert values == pytest.approx([expected, expected], rel=1e-6)

    def test_converges_to_the_exact_expectation_within_its_own_error(self):
        """One weight of 12 zeroed: the expectation is the mean over the 12 ways, enumerated."""
        network = Linear(2)
        log_p, exact = log_softmax(network({})), []
        for index in range(12):
            pruned = network.weights["v"].clone()
            pruned.view(-1)[index] = 0
            exact.append(divergence(log_p, log_softmax(network({"v": pruned}))).sum().item())
        mean, error = mean_and_error(network.complexity(fraction=1 / 12, repeats=600)["v"])
        assert error < 0.1 * mean
        assert abs(mean - sum(exact) / 12) < 4 * error

    def test_masks_do_not_depend_on_the_weights(self):
        first, second = Linear(0), Linear(4, scale=3.0)
        first.complexity()
        second.complexity()
        assert first.zeros() == second.zeros()

    def test_a_matrix_alone_gets_its_mask_of_the_joint_pruning(self):
        network = Linear(0)
        network.complexity(repeats=1)
        _, every, v, w = network.zeros()
        assert every == {**v, **w}
        assert sum(map(sum, every["v"])) == 3

    def test_neither_order_nor_number_of_matrices_changes_a_mask(self):
        network, reordered, alone = Linear(0), Linear(0), Linear(0)
        reordered.weights = dict(reversed(reordered.weights.items()))
        only_v = {"v": alone.weights["v"]}
        options = {"fraction": 0.25, "repeats": 5, "per_matrix": True}
        assert network.complexity() == reordered.complexity()
        assert circuit_complexity(alone, only_v, **options, rng=seeded(0))["v"] == network.complexity()["v"]

    def test_without_per_matrix_the_joint_numbers_stay(self):
        assert Linear(0).complexity(per_matrix=False) == {EVERY: Linear(0).complexity()[EVERY]}

    def test_leaves_the_weights_alone(self):
        network, untouched = Linear(0), Linear(0)
        network.complexity()
        assert all(torch.equal(network.weights[name], untouched.weights[name]) for name in "vw")


def test_mean_and_error_by_hand():
    mean, error = mean_and_error([2.0, 4.0, 9.0])
    assert mean == 5
    assert error == pytest.approx(math.sqrt(((9 + 1 + 16) / 2) / 3))
    assert mean_and_error([4.0])[0] == 4
    assert math.isnan(mean_and_error([4.0])[1])
