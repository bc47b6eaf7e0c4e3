"""Waves in embeddings against closed forms and a plain Fourier transform, on networks of any kind."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from grokscope.errors import NotApplicable
from grokscope.models import MODELS
from grokscope.models.plain import Plain
from grokscope.tasks.modular import modular_task
from grokscope.testing import example_probe, probe_of
from grokscope_mechanistic.embedding import embedding_ipr
from grokscope_mechanistic.functional import inverse_participation


def addition(operation="add", p=13):
    return modular_task(p=p, operation=operation, train_fraction=0.4, split_seed=0)


def measured(probe):
    (row,) = embedding_ipr.collect(embedding_ipr(probe))
    return row.values


def by_fft(table):
    """Power by numpy's own transform: both halves of the spectrum, the constant left out."""
    power = np.abs(np.fft.rfft(np.asarray(table, np.float64), axis=0)[1:]) ** 2
    if len(table) % 2 == 0:
        power[-1] /= 2  # every other frequency is there twice, as k and p - k
    shares = power / power.sum(axis=0)
    return (shares**2).sum(axis=0)


@pytest.mark.parametrize("p", [5, 12, 13])
def test_ratios_are_those_of_numpys_transform(p):
    table = torch.randn(p, 7, generator=torch.Generator().manual_seed(p), dtype=torch.float64)
    assert inverse_participation(table).tolist() == pytest.approx(by_fft(table).tolist(), rel=1e-12)


def test_a_wave_of_any_phase_is_one_and_equal_power_one_over_the_frequencies():
    p = 11
    x = torch.arange(p, dtype=torch.float64)[:, None]
    phases = torch.linspace(0, 6, 5, dtype=torch.float64)
    assert inverse_participation(4 * (2 * math.pi * 3 / p * x + phases).cos() + 2) == pytest.approx(1)
    spike = torch.eye(p, dtype=torch.float64)[:, :3]
    assert inverse_participation(spike) == pytest.approx(2 / (p - 1))
    two = (2 * math.pi * x / p).cos() + (4 * math.pi * x / p).sin()
    assert inverse_participation(two) == pytest.approx(0.5)


def test_scale_shift_and_constant_units_change_nothing():
    table = torch.randn(13, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = inverse_participation(table)
    more = torch.cat([-5 * table.roll(3, dims=0) + 9, torch.full((13, 2), 7.0)], dim=1)
    assert inverse_participation(more).tolist() == pytest.approx(plain.tolist(), rel=1e-10)


def test_white_noise_has_twice_the_equal_share():
    noise = torch.randn(97, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ratios = inverse_participation(noise)
    error = ratios.std() / len(ratios) ** 0.5
    assert ratios.mean().item() == pytest.approx(2 / 49, abs=4 * error.item())


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_it_is_of_the_first_weight_or_the_embedding(kind):
    probe = example_probe(kind, task="modadd23")
    if kind == "mlp":
        tables = probe.weights["layers.0.weight"].T.double().split(23)
    else:
        tables = [probe.weights["embed.weight"][:23].double()]
    wanted = np.concatenate([by_fft(table) for table in tables])
    found = measured(probe)
    assert found["ipr"] == pytest.approx(wanted.mean(), rel=1e-5)
    assert found["units"] == (48 if kind == "mlp" else 32)


def test_networks_of_ones_own_and_lstms_have_one_too():
    task = addition()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(13, 6), nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 13))
    probe = probe_of(Plain(network, task.inputs, task.labels), replace(task, kind="own"))
    assert measured(probe)["ipr"] == pytest.approx(by_fft(network[0].weight.detach()).mean(), rel=1e-5)
    lstm = probe_of(MODELS["lstm"].build(task, d_embedding=8, d_state=12), task)
    table = lstm.weights["embedding.weight"][:13]
    assert measured(lstm)["ipr"] == pytest.approx(by_fft(table).mean(), rel=1e-5)


def test_dead_units_have_no_wave():
    task = addition()
    network = MODELS["mlp"].build(task, hidden=(5,))
    with torch.no_grad():
        network.layers[0].weight[:2] = 0
    assert measured(probe_of(network, task))["units"] == 6
    with torch.no_grad():
        network.layers[0].weight.zero_()
    found = measured(probe_of(network, task))
    assert math.isnan(found["ipr"])
    assert found["units"] == 0


def test_sums_alone_are_made_of_waves():
    for operation, why in (("multiply", "other operations"), ("divide", "all pairs")):
        task = addition(operation)
        with pytest.raises(NotApplicable, match=why):
            measured(probe_of(MODELS["mlp"].build(task, hidden=(5,)), task))
    task = addition("subtract")
    assert measured(probe_of(MODELS["mlp"].build(task, hidden=(5,)), task))["units"] == 10
