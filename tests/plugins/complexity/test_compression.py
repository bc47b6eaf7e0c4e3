"""Compressed sizes against an exhaustive search, bzip2 itself and closed forms."""

import bz2
import math

import numpy as np
import pytest
import torch

from grokscope import objective
from grokscope.testing import example_probe, probe_of
from grokscope_complexity import measures
from grokscope_complexity.functional import coarsest, exact, factors, packed, product
from grokscope_complexity.measures import COARSEST, FINEST, OCTAVE, _Losses, _rounded, compression


def measured(probe, **parameters):
    (row,) = compression.collect(compression(probe, **parameters))
    return row.values


def loss_by_hand(probe, exponent):
    """The training loss after every tensor is rounded in place, in numpy."""
    weights = {}
    for name, weight in probe.weights.items():
        exact = weight.double().numpy()
        step = 2 ** (exponent / OCTAVE) * np.sqrt((exact**2).mean())
        weights[name] = torch.from_numpy(np.rint(exact / step) * step).float()
    logits = torch.func.functional_call(probe.model, weights, (probe.inputs("train"),))
    return objective.loss(probe.loss_name, logits.double(), probe.labels("train")).item()


@pytest.mark.parametrize(
    ("kind", "some", "parameters"),
    [
        pytest.param("mlp", 512, {"tolerance": 0.05}, id="mlp from the middle"),
        pytest.param("mlp", 10, {"tolerance": 0.05}, id="mlp from where some examples lose it"),
        pytest.param("lstm", 512, {"tolerance": 0.05}, id="lstm from the middle"),
        pytest.param("lstm", 10, {"tolerance": 0.05}, id="lstm from where some examples lose it"),
        pytest.param("mlp", 512, {"rise": 0.25}, id="mlp, a rise"),
    ],
)
def test_the_step_is_where_an_exhaustive_search_first_loses_the_loss(kind, some, parameters, monkeypatch):
    monkeypatch.setattr(measures, "SOME", some)
    probe = example_probe(kind)
    allowed = (1 + parameters.get("tolerance", 0)) * probe.loss("train") + parameters.get("rise", 0)
    kept = [loss_by_hand(probe, k) <= allowed for k in range(-8 * OCTAVE, COARSEST + 1)]
    steps = [2 ** (k / OCTAVE) for k in range(-8 * OCTAVE, COARSEST + 1)]
    found = measured(probe, **parameters)
    place = int(np.argmin(np.abs(np.array(steps) - found["rounding"])))
    assert kept[place]
    assert not kept[place + 1]
    if kind == "mlp":  # where the loss rises evenly: no coarser step keeps it, and every finer one does
        assert kept == [True] * (place + 1) + [False] * (len(kept) - place - 1)


def test_bytes_are_bzip2s_of_the_whole_numbers():
    probe = example_probe("mlp")
    found = measured(probe)
    content = b""
    for weight in probe.weights.values():
        exact = weight.double().numpy()
        whole = np.rint(exact / (found["rounding"] * np.sqrt((exact**2).mean())))
        content += whole.astype("i1" if np.abs(whole).max() < 128 else "<i2").tobytes()
    assert found["packed_bytes"] == len(bz2.compress(content, 9))
    assert found["ratio"] == found["packed_bytes"] / (4 * sum(w.numel() for w in probe.weights.values()))


def test_more_tolerance_needs_no_more_bytes_and_scale_changes_no_number():
    probe = example_probe("mlp", task="images", loss="mse")
    sizes = [measured(probe, tolerance=tolerance)["packed_bytes"] for tolerance in (0.001, 0.01, 0.1, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
    weight = probe.weights["layers.0.weight"]
    assert torch.equal(exact(weight).rounded(0.1)[0], exact(1024 * weight).rounded(0.1)[0])


def test_a_network_whose_loss_no_weight_changes_is_nearly_nothing():
    probe = example_probe("mlp", dead=True)
    with torch.no_grad():
        probe.model.layers[2].weight.zero_()
        probe.model.layers[2].bias.zero_()
    found = measured(probe)
    assert found["rounding"] == 2 ** (COARSEST / OCTAVE)
    assert found["packed_bytes"] < 100


def test_low_rank_is_found_and_its_factors_are_smaller():
    probe = example_probe("mlp", task="images", loss="mse")
    first, second, last = probe.model.layers
    with torch.no_grad():
        for layer in (first, second):
            u, singular, v = torch.linalg.svd(layer.weight, full_matrices=False)
            layer.weight.copy_(u[:, :3] * singular[:3] @ v[:3] + 1e-6 * layer.weight)
        hidden = second(first(probe.inputs("train")).relu()).relu()
        hidden = hidden.double()  # of rank three almost: least squares alone would fit rounding
        targets = torch.nn.functional.one_hot(probe.labels("train"), 5).double() - last.bias
        ridge = 0.01 * torch.eye(hidden.shape[1], dtype=torch.float64)
        last.weight.copy_(torch.linalg.solve(hidden.T @ hidden + ridge, hidden.T @ targets).T)
    probe = probe_of(probe.model, probe.task, loss="mse")
    plain, low = measured(probe, tolerance=0.02), measured(probe, tolerance=0.02, rank=True)
    assert low["packed_bytes"] < 0.8 * plain["packed_bytes"]


def test_factors_give_the_truncated_matrix():
    matrix = torch.from_numpy(np.random.RandomState(0).standard_normal((30, 20)))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    share = ((s[3] + s[4]) / 2 / s[0]).item()
    parts = factors(matrix, share)
    assert [tuple(part.shape) for part in parts] == [(30, 4), (4, 20)]
    assert torch.allclose(product(parts, matrix), u[:, :4] * s[:4] @ v[:4])
    (whole,) = factors(matrix.view(30, 4, 5), 1e-9)
    assert torch.allclose(whole, matrix.view(30, 4, 5))


def test_what_the_finest_step_cannot_keep_is_as_long_as_it_is():
    probe = example_probe("mlp")
    fine = _rounded({name: (exact(weight),) for name, weight in probe.weights.items()}, FINEST)
    assert _Losses(probe, lambda loss: loss * (1 + 1e-5)).keeps(fine)
    assert not _Losses(probe, lambda loss: loss * (1 - 1e-5)).keeps(fine)
    with torch.no_grad():
        for weight in probe.model.layers[2].parameters():
            weight.mul_(300)  # the loss is a difference of large logits: float32 has no digit to spare
    found = measured(probe, tolerance=0.0)
    content = b"".join(w.numpy().tobytes() for w in probe.weights.values())
    if math.isnan(found["rounding"]):
        assert found["packed_bytes"] == len(bz2.compress(content, 9))


def test_bisection_ends_where_enough_ends():
    for edge in range(-3, 12):
        found = coarsest(lambda k, edge=edge: k <= edge, 0, 10)
        assert found == (None if edge < 0 else min(edge, 10))


def test_packing_is_little_endian_in_the_narrowest_width():
    assert packed([torch.tensor([1, -2]), torch.tensor([128]), torch.tensor([1 << 20])]) == (
        b"\x01\xfe" + b"\x80\x00" + b"\x00\x00\x10\x00"
    )
