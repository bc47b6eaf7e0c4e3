"""The formulas against hand-made numbers and brute force."""

import math

import pytest
import torch

from grokscope_robustness import functional


def test_norms_accumulate_in_float64():
    ones = torch.full((3000, 3000), 0.1)
    exact = 0.1 + (torch.tensor(0.1).double().item() - 0.1)
    assert functional.l2_norm([ones]) == pytest.approx(3000 * exact, rel=1e-12)
    assert functional.l1_norm([ones]) == pytest.approx(9e6 * exact, rel=1e-12)
    assert functional.l2_norm([]) == functional.l1_norm([]) == 0


def test_confidence_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    assert functional.perturbed_confidence(logits, "cross_entropy") == pytest.approx(100 * (0.75 + 0.8) / 2)
    single = torch.tensor([[math.log(3.0)], [-math.log(4.0)]])
    assert functional.perturbed_confidence(single, "cross_entropy") == pytest.approx(77.5)
    negative = torch.tensor([[-1.0, -3.0]])
    assert functional.perturbed_confidence(negative, "mse") == pytest.approx(25)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_equal_logits_have_the_confidence_of_a_guess(loss):
    for value in (0.0, -2.0, 1e-300):
        logits = torch.full((3, 4), value, dtype=torch.float64)
        assert functional.perturbed_confidence(logits, loss) == pytest.approx(25)


def test_softmax_confidence_ignores_a_constant_of_each_example():
    logits = torch.randn(20, 5, dtype=torch.float64)
    shifted = logits + torch.randn(20, 1, dtype=torch.float64)
    want = functional.perturbed_confidence(logits, "cross_entropy")
    assert functional.perturbed_confidence(shifted, "cross_entropy") == pytest.approx(want, rel=1e-12)


def test_neighbourhood_is_at_most_one_and_keeps_lipschitz_outside_the_root():
    assert functional.neighbourhood(10, 0.0, 0.5) == 1
    assert functional.neighbourhood(10, 0.0, 0.01) == 1
    assert functional.neighbourhood(9, 4.0, 2.0) == pytest.approx(1 / (2 * (6 + 2)))
    assert functional.neighbourhood(9, functional.gradient_bound(1.0, 1.0, 0.0), 0.5) == 0


def test_curve_is_the_normal_probability_within_the_radius():
    """At step 7000 the radius is 1 / (1 + 1925 - 500 log10 7000); P counts a fine grid of the density."""
    radius = 1 / (1 + 1925 - 500 * math.log10(7000))
    grid = torch.linspace(-radius, radius, 200_001, dtype=torch.float64)
    density = torch.exp(-grid.square() / (2 * 0.01)) / math.sqrt(2 * math.pi * 0.01)
    assert functional.predicted_curve(7000) == pytest.approx(torch.trapezoid(density, grid).item(), rel=1e-8)


def test_curve_never_falls():
    curve = [functional.predicted_curve(step) for step in range(0, 20_000, 50)]
    assert curve == sorted(curve)
    assert curve[0] == 0
    assert curve[-1] == pytest.approx(1)


@pytest.fixture
def points():
    train, test = torch.rand(70, 5), torch.rand(40, 5)
    return train, torch.randint(0, 3, (70,)), test, torch.randint(0, 4, (40,))


def brute_nearest(train, train_labels, test, test_labels):
    distances = (test.double()[:, None] - train.double()[None]).square().sum(2).sqrt()
    return distances.where(test_labels[:, None] == train_labels[None], math.inf).amin(1)


def test_nearest_is_that_of_all_pairs(points):
    got = functional.nearest_same_label(*points)
    torch.testing.assert_close(got, brute_nearest(*points), rtol=1e-12, atol=0)
    assert got[points[3] == 3].isinf().all()
    assert (points[3] == 3).any()


def test_chunks_change_no_distance(points, monkeypatch):
    want = functional.nearest_same_label(*points)
    monkeypatch.setattr(functional, "PAIR_VALUES", 12)
    monkeypatch.setattr(functional, "ROW_VALUES", 5 * 4)
    torch.testing.assert_close(functional.nearest_same_label(*points), want, rtol=1e-12, atol=0)


def test_chunks_hold_no_more_than_they_may(points, monkeypatch):
    seen = []
    inner = functional._nearest_in_chunk

    def watched(rows, others):
        seen.append((len(rows) * len(others), max(rows.numel(), others.numel())))
        return inner(rows, others)

    monkeypatch.setattr(functional, "_nearest_in_chunk", watched)
    monkeypatch.setattr(functional, "PAIR_VALUES", 12)
    monkeypatch.setattr(functional, "ROW_VALUES", 5 * 4)
    functional.nearest_same_label(*points)
    assert max(pairs for pairs, _ in seen) <= 12
    assert max(values for _, values in seen) <= 20


def test_a_duplicate_is_at_distance_zero():
    train = 1000 + torch.rand(50, 30)
    labels = torch.zeros(50, dtype=torch.int64)
    assert (functional.nearest_same_label(train, labels, train[:20], labels[:20]) == 0).all()


def test_a_small_distance_keeps_its_digits():
    train, label = 1000 * torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    near = train + torch.tensor([[1e-6, 0, 0, 0]])
    distance = functional.nearest_same_label(train, label, near, label).item()
    assert distance == pytest.approx((near - train).norm().item(), rel=1e-12)


def test_smallest_norm_is_over_all_chunks(monkeypatch):
    monkeypatch.setattr(functional, "ROW_VALUES", 6)
    inputs = torch.rand(11, 3) + 1
    inputs[9] = torch.tensor([0.5, 0, 0])
    assert functional.smallest_squared_norm(inputs) == 0.25
