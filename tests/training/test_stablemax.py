"""StableMax is its formula where the softmax still has a gradient, and beyond."""

import math

import pytest
import torch

from grokscope import objective


def test_stablemax_by_hand_and_at_its_seam():
    z = torch.tensor([[3.0, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    loss = objective.loss("stablemax_cross_entropy", z, torch.tensor([2]))
    assert loss.item() == pytest.approx(-math.log(0.5 / 5.5))
    (gradient,) = torch.autograd.grad(loss, z)
    # d/dz_j of log sum s - log s_2: s_j' / sum s, and for the label minus s'/s; s' = 1, 1, 1/(1-z)^2 = 1/4.
    assert gradient[0].tolist() == pytest.approx([1 / 5.5, 1 / 5.5, 0.25 / 5.5 - 0.5])


def test_stablemax_of_large_logits_has_loss_and_gradient_where_the_softmax_has_none():
    z = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    labels = torch.tensor([0])
    assert objective.loss("cross_entropy", z, labels).item() == 0
    loss = objective.loss("stablemax_cross_entropy", z, labels)
    assert loss.item() == pytest.approx(math.log1p((1 + 1 / 201) / 201), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, z)
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


def test_stablemax_of_a_single_logit_is_that_of_the_classes_zero_and_z():
    z = torch.tensor([[2.0], [-3.0]], dtype=torch.float64)
    loss = objective.loss("stablemax_cross_entropy", z, torch.tensor([1, 1]))
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(0.25 / 1.25)) / 2)


def test_an_unknown_loss_is_refused():
    with pytest.raises(Exception, match="unknown loss 'hinge'"):
        objective.loss("hinge", torch.zeros(1, 2), torch.tensor([0]))
