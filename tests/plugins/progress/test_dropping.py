"""Dropped units against networks with their activations multiplied by hand."""

import math

import numpy as np
import pytest
import torch

from grokscope.probe import generator_for
from grokscope.testing import example_probe
from grokscope_progress.dropping import dropout_robustness
from grokscope_progress.functional import first_below_half, kept


def measured(probe, seed="a", **parameters):
    rows = dropout_robustness.collect(dropout_robustness(probe, generator_for(seed), **parameters))
    return {row.labels[0]: row for row in rows}


def masked(probe, split, factors):
    """Accuracy of the MLP with its activations multiplied on the way."""
    values = probe.encoded(split)
    for index, linear in enumerate(probe.model.layers):
        values = linear(values)
        if index < len(probe.model.layers) - 1:
            values = values.relu() * factors[index]
    return (values.argmax(dim=1) == probe.labels(split)).double().mean().item()


def test_the_curve_is_that_of_activations_multiplied_by_hand():
    probe = example_probe("mlp")
    draw = generator_for("a")
    orders = [[torch.randperm(units, generator=draw) for units in (24, 16)] for _ in range(3)]
    found = measured(probe, repeats=3)
    for split in ("train", "test"):
        curves = np.array(
            [
                [masked(probe, split, [kept(order, tenth / 10) for order in each]) for tenth in range(10)]
                for each in orders
            ]
        )
        row = found[split]
        assert row.arrays["drop_curve"].tolist() == pytest.approx(curves.mean(axis=0).tolist())
        areas = np.trapezoid(curves[:, 1:], dx=0.125, axis=1)
        assert row.values["area"] == pytest.approx(areas.mean())
        assert row.values["stderr"] == pytest.approx(areas.std(ddof=1) / 3**0.5)


def test_many_masks_agree_with_few_within_their_error():
    probe = example_probe("mlp", task="images")
    many = measured(probe, "many", repeats=30)["train"].values
    few = [measured(probe, str(seed))["train"].values for seed in range(6)]
    assert np.mean([abs(each["area"] - many["area"]) < 2.8 * each["stderr"] for each in few]) >= 0.8


def test_masks_are_nested_and_keep_the_mean():
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    before = set()
    for tenth in range(10):
        factors = kept(order, tenth / 10)
        dropped = set((factors == 0).nonzero()[:, 0].tolist())
        assert before <= dropped
        assert len(dropped) == min(round(0.7 * tenth), 6)
        assert factors.mean().item() == pytest.approx(1)
        before = dropped


def test_half_is_between_two_rates_and_may_never_come():
    assert first_below_half(torch.tensor([0.8, 0.6, 0.3, 0.1]), 0.1) == pytest.approx(0.1 + 0.1 * 2 / 3)
    assert math.isnan(first_below_half(torch.tensor([0.8, 0.6, 0.5]), 0.1))
    assert math.isnan(first_below_half(torch.zeros(3), 0.1))


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_units_of_other_networks_are_scaled_in_what_reads_them(kind):
    """With every unit at zero the logits are those of the rest, and with factors of one the network's."""
    probe = example_probe(kind)
    sizes = {name: probe.trace("train")[name].shape[1] for name in probe.model.hidden}
    with torch.no_grad():
        same = probe.model.logits_with({n: torch.ones(d) for n, d in sizes.items()}, probe.inputs("train"))
        none = probe.model.logits_with({n: torch.zeros(d) for n, d in sizes.items()}, probe.inputs("train"))
        trace = probe.trace("train")
        if kind == "lstm":
            rest = probe.model.head.bias.expand_as(none)
        else:
            mlp, post = probe.model.blocks[0].mlp, trace["blocks.0.mlp_post"]
            rest = (trace["blocks.0.resid_post"] - post @ mlp.W_out.T) @ probe.model.unembed.weight.T
    assert torch.allclose(same, trace["logits"], atol=1e-5)
    assert torch.allclose(none, rest, atol=1e-5)
