"""Margins by hand, and whether a network is homogeneous: seen in what it computes."""

import math

import pytest
import torch
from torch import nn

from grokscope.models.plain import Plain
from grokscope.testing import example_probe, example_task, probe_of
from grokscope_robustness.functional import homogeneity, margins
from grokscope_robustness.margins import margin


def measured(probe, **parameters):
    (row,) = margin.collect(margin(probe, **parameters))
    return row.values


def plain(*layers):
    torch.manual_seed(0)
    task = example_task("own")
    return probe_of(Plain(nn.Sequential(*layers), task.inputs, task.labels), task)


def test_margins_by_loop():
    logits, labels = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 6
    wanted = [
        row[label] - max(value for place, value in enumerate(row) if place != label)
        for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True)
    ]
    assert margins(logits, labels).tolist() == wanted


def test_percentiles_are_of_the_training_split_and_share_right_answers_are_positive():
    probe = example_probe("mlp", task="images")
    found, values = measured(probe), margins(probe.logits("train"), probe.labels("train")).sort().values
    place = 0.1 * (len(values) - 1)
    low = int(place)
    assert found["minimum"] == values[0]
    assert found["p10"] == pytest.approx(
        (values[low] + (place - low) * (values[low + 1] - values[low])).item()
    )
    assert found["median"] == pytest.approx(values.quantile(0.5).item())
    assert (values > 0).double().mean().item() == probe.accuracy("train")
    assert measured(probe, split="test")["minimum"] != found["minimum"]
    assert math.isnan(found["normalised"])  # its layers have biases
    assert "not homogeneous" in found["note"]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_scaling_all_weights_changes_no_normalised_margin(depth, bias):
    """Chains of ReLU, with a bias in the first layer or none."""
    hidden = [part for _ in range(depth - 1) for part in (nn.Linear(9, 9, bias=False), nn.ReLU())]
    probe = plain(nn.Flatten(), nn.Linear(20, 9, bias=bias), nn.ReLU(), *hidden, nn.Linear(9, 5, bias=False))
    found = measured(probe)
    norm = torch.cat([w.flatten() for w in probe.weights.values()]).double().norm().item()
    assert found["degree"] == depth + 1
    assert found["normalised"] == pytest.approx(found["minimum"] / norm ** (depth + 1), rel=1e-12)
    with torch.no_grad():
        for weight in probe.model.parameters():
            weight.mul_(3)
    scaled = measured(probe_of(probe.model, probe.task))
    assert scaled["minimum"] == pytest.approx(3 ** (depth + 1) * found["minimum"], rel=1e-5)
    assert scaled["normalised"] == pytest.approx(found["normalised"], rel=1e-5)


def test_weights_that_are_all_zero_have_a_degree_and_no_norm():
    hidden = nn.Linear(20, 9, bias=False), nn.ReLU(), nn.Linear(9, 9, bias=False), nn.ReLU()
    probe = plain(nn.Flatten(), *hidden, nn.Linear(9, 5, bias=False))
    with torch.no_grad():
        for weight in probe.model.parameters():
            weight.zero_()
    found = measured(probe_of(probe.model, probe.task))
    assert (found["degree"], found["minimum"]) == (3, 0)
    assert math.isnan(found["normalised"])
    assert found["note"] == "all weights are zero: there is no norm to divide by"


def test_a_convolution_without_biases_is_homogeneous_too():
    conv = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    assert measured(plain(*conv, nn.Linear(16, 5, bias=False)))["degree"] == 2


@pytest.mark.parametrize("between", [nn.Tanh(), nn.GELU(), nn.LayerNorm(9)])
def test_other_networks_are_not(between):
    layers = (
        nn.Flatten(),
        nn.Linear(20, 9, bias=False),
        between,
        nn.Linear(9, 5, bias=isinstance(between, nn.LayerNorm)),
    )
    assert math.isnan(measured(plain(*layers))["normalised"])


def test_a_bias_that_is_zero_at_this_step_makes_no_network_homogeneous():
    probe = plain(nn.Flatten(), nn.Linear(20, 9), nn.ReLU(), nn.Linear(9, 5))
    with torch.no_grad():
        for name, weight in probe.model.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
    assert math.isnan(measured(probe_of(probe.model, probe.task))["degree"])


def test_logits_that_do_not_change_or_vanish_have_no_degree():
    ones = torch.ones(2, 3)
    assert homogeneity(ones, ones) is None
    assert homogeneity(0 * ones, 0 * ones) is None
    assert homogeneity(ones, torch.tensor([[2.0, 2.0, 2.1], [2.0, 2.0, 2.0]])) is None
