"""Readouts, collapse and ranks against scikit-learn, brute force and closed forms."""

import math

import numpy as np
import pytest
import torch

from grokscope_representations import functional
from grokscope_representations.functional import (
    LinearReadout,
    class_means,
    equal_angles,
    equal_norms,
    feature_rank,
    is_nearest_mean,
    moments,
    nearest_mean,
    ridge_readout,
    self_duality,
    within_over_between,
)


def nc1(values, labels, classes):
    return within_over_between(values, labels, class_means(values, labels, classes))


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape))


def labels_of(n, classes, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randint(0, classes, n))


def simplex(k, d, seed=0):
    """k corners of a regular simplex in d dimensions, turned at random."""
    corners = torch.eye(k, dtype=torch.float64) - 1 / k
    turned, _ = torch.linalg.qr(drawn(d, k, seed=seed))
    return corners @ turned.T


@pytest.mark.parametrize(("n", "d", "classes"), [(200, 12, 5), (60, 90, 3), (300, 4, 2)])
@pytest.mark.parametrize("penalty", [1e-3, 0.5])
def test_a_readout_predicts_as_scikit_learns_ridge_classifier(n, d, classes, penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    values, labels = drawn(n, d).relu(), labels_of(n, classes)
    fresh = drawn(500, d, seed=1).relu()
    standard = (values - values.mean(0)) / values.std(0, correction=0)
    rival = linear_model.RidgeClassifier(alpha=penalty * n).fit(standard.numpy(), labels.numpy())
    ours = ridge_readout(values, labels, classes, penalty)
    fresh_standard = (fresh - values.mean(0)) / values.std(0, correction=0)
    assert ours.predictions(fresh).tolist() == rival.predict(fresh_standard.numpy()).tolist()
    if classes > 2:  # its targets are -1 and 1, ours 0 and 1: coefficients are twice ours
        np.testing.assert_allclose(2 * ours.weight.T.numpy(), rival.coef_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("values_at_once", [1 << 22, 100])
def test_with_more_units_than_examples_the_readout_is_that_of_the_moments(values_at_once, monkeypatch):
    monkeypatch.setattr(functional, "VALUES", values_at_once)
    values, labels = drawn(30, 70).relu(), 2 * labels_of(30, 3)  # two of five classes have no example
    values[:, 5] = 0.1
    dual, primal = ridge_readout(values, labels, 5), ridge_readout(values, labels, 5, known=moments(values))
    for ours, wanted in zip(dual, primal, strict=True):
        np.testing.assert_allclose(ours.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
    assert dual.weight[5].abs().max() == 0


def test_a_readout_is_the_minimum_of_its_objective():
    values, labels, penalty = drawn(40, 6), labels_of(40, 3), 0.2
    readout = ridge_readout(values, labels, 3, penalty)
    x = (values - readout.centre) / readout.scale
    y = torch.nn.functional.one_hot(labels, 3).double()
    weight = readout.weight.clone().requires_grad_()
    loss = (y - y.mean(0) - x @ weight).square().sum() + penalty * 40 * weight.square().sum()
    (gradient,) = torch.autograd.grad(loss, weight)
    assert gradient.abs().max() < 1e-10


def test_constant_columns_and_scale_change_no_prediction():
    values, labels = drawn(80, 5), labels_of(80, 4)
    fresh = drawn(30, 5, seed=2)
    plain = ridge_readout(values, labels, 4).predictions(fresh)
    wide = torch.cat([values * 1e3 + 7, torch.full((80, 2), 3.0)], dim=1)
    wide_fresh = torch.cat([fresh * 1e3 + 7, torch.full((30, 2), 9.0)], dim=1)
    assert torch.equal(ridge_readout(wide, labels, 4).predictions(wide_fresh), plain)


def nc1_by_hand(values, labels):
    """Plain numpy, class by class, with numpy's own pseudo-inverse."""
    values, labels = values.numpy(), labels.numpy()
    classes = sorted(set(labels))
    mu = values.mean(0)
    within = np.zeros((values.shape[1],) * 2)
    between = np.zeros_like(within)
    for c in classes:
        of = values[labels == c]
        within += (of - of.mean(0)).T @ (of - of.mean(0)) / len(values)
        between += np.outer(of.mean(0) - mu, of.mean(0) - mu) / len(classes)
    return np.trace(within @ np.linalg.pinv(between, rcond=1e-12, hermitian=True)) / len(classes)


@pytest.mark.parametrize(("n", "d", "classes"), [(120, 8, 4), (50, 30, 6), (90, 3, 7)])
def test_nc1_is_the_definition_by_brute_force(n, d, classes):
    values = drawn(n, d)
    labels = torch.arange(n) % classes
    assert nc1(values, labels, classes) == pytest.approx(nc1_by_hand(values, labels), rel=1e-8)


def test_nc1_is_unchanged_by_scale_and_rotation_and_zero_at_the_means():
    values, labels = drawn(60, 5), labels_of(60, 3)
    rotation, _ = torch.linalg.qr(drawn(5, 5, seed=3))
    plain = nc1(values, labels, 3)
    assert nc1(7 * values @ rotation, labels, 3) == pytest.approx(plain, rel=1e-10)
    assert nc1(drawn(3, 5)[labels], labels, 3) == pytest.approx(0, abs=1e-20)


def test_nc1_has_no_value_without_two_different_means():
    assert math.isnan(nc1(drawn(9, 4), torch.zeros(9, dtype=torch.int64), 3))
    assert math.isnan(nc1(torch.ones(9, 4), torch.arange(9) % 3, 3))


def test_a_simplex_is_collapsed():
    means = 3 * simplex(5, 12)
    assert equal_norms(means) == pytest.approx(0, abs=1e-12)
    assert equal_angles(means) == pytest.approx(0, abs=1e-12)
    assert self_duality(0.1 * means, means) == pytest.approx(0, abs=1e-24)
    assert self_duality(-means, means) == pytest.approx(4)


def test_angles_and_norms_by_loop():
    means = drawn(4, 6)
    norms = [float(mean.norm()) for mean in means]
    cosines = [
        float(means[i] @ means[j]) / (norms[i] * norms[j]) for i in range(4) for j in range(4) if i != j
    ]
    assert equal_angles(means) == pytest.approx(np.mean([abs(c + 1 / 3) for c in cosines]))
    assert equal_norms(means) == pytest.approx(np.std(norms) / np.mean(norms))


def test_means_are_of_the_classes_that_are_there_and_the_nearest_is_found_by_search():
    values, labels = drawn(30, 4), torch.tensor([0, 2, 5] * 10)
    means, there, counts = class_means(values, labels, 7)
    assert there.tolist() == [0, 2, 5]
    assert counts.tolist() == [10, 10, 10]
    for row, c in enumerate(there.tolist()):
        assert torch.allclose(means[row], values[labels == c].mean(0))
    searched = [min(range(3), key=lambda row: float((value - means[row]).norm())) for value in values]
    assert nearest_mean(values, means).tolist() == searched


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e38])
def test_whether_a_score_is_the_highest_is_told_in_float32_as_in_float64(scale):
    """Also of scores that are equal, or differ by less than float32 knows, or are more than it can hold."""
    values = torch.cat([drawn(3000, 6), torch.zeros(5, 6)]).float()
    means = drawn(4, 6)[[0, 1, 1, 2, 3]]  # two are alike
    means[4] = means[0] * (1 + 1e-12)
    nearest, asked = nearest_mean(values, scale * means), torch.arange(len(values)) % 5
    for places in (nearest, asked):
        assert torch.equal(is_nearest_mean(values, scale * means, places), nearest == places)
    readout = LinearReadout(means[0], torch.ones(6).double(), scale * means.T, means[:, 0])
    assert torch.equal(readout.predicts(values, asked), readout.predictions(values) == asked)


@pytest.mark.parametrize(("n", "d"), [(50, 8), (8, 50)])
def test_feature_rank_is_numpys(n, d):
    values = drawn(n, d) * torch.logspace(0, -6, d, dtype=torch.float64)
    singular = np.linalg.svd((values - values.mean(0)).numpy(), compute_uv=False)
    shares = singular[singular > 0] / singular.sum()
    rank, effective = feature_rank(values)
    assert rank == int((singular > 1e-3 * singular.max()).sum())
    assert effective == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_feature_rank_of_an_offset_alone_is_none():
    assert feature_rank(torch.full((9, 3), 5.0)) == (0, pytest.approx(math.nan, nan_ok=True))
