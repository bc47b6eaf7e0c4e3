"""The geometry measures on small real networks: the contract, and what the adapters decide."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from grokscope.errors import MeasureError, NotApplicable
from grokscope.models import MODELS
from grokscope.probe import Probe, generator_for
from grokscope.testing import example_pair, example_probe, example_task, probe_of
from grokscope_geometry import grokscope_measures
from grokscope_geometry.landscape import llc, ntk_distance
from grokscope_geometry.regions import local_complexity

MEASURES = list(grokscope_measures())
BY_NAME = {measure.name: measure for measure in MEASURES}


def measured(name: str, probe: Probe, baseline: Probe | None = None, **parameters: Any) -> dict[Any, dict]:
    measure = BY_NAME[name]
    given = {
        "probe": probe,
        "weights": probe.weights,
        "baseline": baseline,
        "rng": generator_for("tests", name),
    }
    outcome = measure(*(given[word] for word in measure.inputs), **parameters)
    return {row.labels[0] if row.labels else None: dict(row.values) for row in measure.collect(outcome)}


def test_what_is_registered() -> None:
    assert {measure.name for measure in MEASURES if measure.expensive} == {"llc", "ntk_distance"}
    assert all(measure.baseline == "first" for measure in MEASURES)


@pytest.mark.parametrize(
    "name", ["effective_rank", "stable_rank", "participation_ratio", "condition_number", "gini", "hoyer"]
)
@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_one_row_per_matrix(name: str, kind: str) -> None:
    probe = example_probe(kind)
    rows = measured(name, probe)
    assert list(rows) == [key for key, weight in probe.weights.items() if weight.ndim >= 2]


def test_heads_of_a_transformer_are_one_map() -> None:
    probe = example_probe("transformer")
    weight = probe.weights["blocks.0.attn.W_Q"].double()
    squares = torch.linalg.svdvals(weight.reshape(-1, weight.shape[-1])) ** 2
    expected = (squares.sum() / squares.max()).item()
    assert measured("stable_rank", probe)["blocks.0.attn.W_Q"]["stable_rank"] == pytest.approx(expected)


def test_cka_with_itself_and_with_the_baseline() -> None:
    probe, baseline = example_pair("mlp")
    assert measured("cka", probe, probe)["layers.1_post"]["cka"] == pytest.approx(1)
    # only the last layer differs from step 0
    assert measured("cka", probe, baseline)["layers.0_post"]["cka"] == pytest.approx(1)
    other = example_probe("mlp", seed=1)
    assert measured("cka", probe, other, split="all")["layers.0_post"]["cka"] < 0.999


def test_permuted_units_leave_the_layer_alike() -> None:
    probe = example_probe("mlp")
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    network = MODELS["mlp"].build(probe.task, hidden=(24, 16))
    network.load_state_dict(probe.model.state_dict())
    with torch.no_grad():
        for weight in (network.layers[0].weight, network.layers[0].bias):
            weight.copy_(weight[order].clone())
        network.layers[1].weight.copy_(network.layers[1].weight[:, order].clone())
    twin = probe_of(network, probe.task)
    assert measured("cka", twin, probe)["layers.0_post"]["cka"] == pytest.approx(1)
    for name in ("effective_rank", "gini", "effective_sparsity"):
        found, expected = measured(name, twin), measured(name, probe)
        for layer, values in expected.items():
            assert found[layer] == pytest.approx(values)


def test_weight_distance_of_all_is_that_of_its_parts() -> None:
    rows = measured("weight_distance", *example_pair("mlp"))
    whole = rows.pop(None)
    assert set(rows) == set(example_probe("mlp").weights)
    assert whole["l2"] == pytest.approx(math.sqrt(sum(row["l2"] ** 2 for row in rows.values())))
    assert rows["layers.0.weight"] == pytest.approx({"l2": 0, "relative": 0, "cosine": 1})
    assert rows["layers.2.weight"]["l2"] > 0


def test_local_complexity_adds_up_and_grows_with_the_radius() -> None:
    probe = example_probe("mlp", task="images")
    rows = measured("local_complexity", probe, directions=8, radius=0.1)
    for split in ("train", "test"):
        total = rows["layers.0_post"][split] + rows["layers.1_post"][split]
        assert rows[None][split] == pytest.approx(total)
    wide = measured("local_complexity", probe, directions=8, radius=1.0)
    assert wide[None]["train"] > rows[None]["train"] > 0


def test_local_complexity_says_no() -> None:
    with pytest.raises(NotApplicable, match=r"this one \(transformer\) is not"):
        measured("local_complexity", example_probe("transformer"))
    with pytest.raises(MeasureError, match="must be finite"):
        measured("local_complexity", scaled_readout(math.inf))
    assert local_complexity.parameters["directions"].default == 25


def scaled_readout(factor: float, loss: str = "cross_entropy") -> Probe:
    probe = example_probe("mlp", loss=loss)
    with torch.no_grad():
        for weight in probe.model.layers[-1].parameters():
            weight.mul_(factor)
    return probe_of(probe.model, probe.task, loss=loss)


def test_softmax_collapses_as_logits_grow() -> None:
    assert measured("softmax_collapse", scaled_readout(1e-3))[None]["train"] == 0
    gone = measured("softmax_collapse", scaled_readout(1e6))[None]
    assert gone["train"] == gone["test"] == 1
    probe = scaled_readout(1e6)
    assert gone["train_zero_loss"] == pytest.approx(probe.accuracy("train"))
    assert gone["test_zero_loss"] == pytest.approx(probe.accuracy("test"))
    with pytest.raises(NotApplicable, match="mse"):
        measured("softmax_collapse", scaled_readout(1, loss="mse"))


def masked_accuracy(probe: Probe, layer: int, kept: torch.Tensor) -> float:
    """Accuracy on train with the other units of one hidden layer held at zero, by running the network so."""
    values = probe.encoded("train")
    for index, linear in enumerate(probe.model.layers):
        values = linear(values)
        if index < len(probe.model.layers) - 1:
            values = values.relu()
        if index == layer:
            values = values * kept
    return (values.argmax(dim=1) == probe.labels("train")).double().mean().item()


@pytest.mark.parametrize("layer", [0, 1])
def test_effective_sparsity_is_the_first_mask_that_is_enough(layer: int) -> None:
    probe = example_probe("mlp")
    norms = probe.weights[f"layers.{layer}.weight"].norm(dim=1)
    order = norms.argsort(descending=True)
    for k in range(1, len(order) + 1):
        kept = torch.zeros(len(order))
        kept[order[:k]] = 1
        if masked_accuracy(probe, layer, kept) >= probe.accuracy("train"):
            break
    rows = measured("effective_sparsity", probe)
    assert rows[f"layers.{layer}_post"] == {"neurons": k, "share": k / len(order)}


def test_effective_sparsity_finds_the_units_that_do_the_work() -> None:
    """Of 12 units 3 carry large incoming weights and the whole answer; the others reach nothing."""
    task = replace(example_task("images"))
    network = MODELS["mlp"].build(task, hidden=(12,))
    with torch.no_grad():
        network.layers[0].weight[3:].mul_(1e-3)
        network.layers[0].weight[:3].mul_(10)
        network.layers[1].weight[:, 3:].zero_()
    probe = probe_of(network, task)
    assert measured("effective_sparsity", probe)["layers.0_post"]["neurons"] <= 3


def test_effective_sparsity_of_transformers_and_lstms() -> None:
    rows = measured("effective_sparsity", example_probe("transformer"))
    assert list(rows) == ["blocks.0.mlp_post"]
    assert 1 <= rows["blocks.0.mlp_post"]["neurons"] <= 32
    with pytest.raises(NotApplicable, match="lstm"):
        measured("effective_sparsity", example_probe("lstm"))


def test_llc_keeps_its_chains_beside_the_row() -> None:
    probe = example_probe("mlp")
    (row,) = llc.collect(llc(probe, generator_for("a"), draws=10, burn_in=2, chains=3, batch_size=16))
    losses = row.arrays["losses"]
    assert losses.shape == (3, 10)
    expected = 2 * (losses.mean() - probe.loss("train"))
    assert row.values["llc"] == pytest.approx(expected)
    assert row.values["start_loss"] == pytest.approx(probe.loss("train"))


def test_llc_says_what_is_wrong_with_its_chains() -> None:
    values = measured("llc", example_probe("mlp"), epsilon=10.0, draws=40, burn_in=0, chains=2)[None]
    assert values["diverged_chains"] == 2
    assert math.isnan(values["llc"])
    assert values["remark"] == "2 of 2 chains diverged and are left out"


def test_llc_of_the_full_batch_starts_at_the_loss() -> None:
    probe = example_probe("transformer", loss="mse")
    (row,) = llc.collect(llc(probe, generator_for("a"), draws=8, burn_in=0, chains=2, batch_size=None))
    assert row.arrays["losses"][:, 0] == pytest.approx(probe.loss("train"), rel=1e-5)


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_ntk_of_the_baseline_itself_is_at_distance_zero(kind: str) -> None:
    probe, baseline = example_pair(kind)
    same = measured("ntk_distance", probe, probe, samples=10)[None]
    assert same["distance"] == pytest.approx(0, abs=1e-12)
    assert same["relative_change"] == 0
    assert same["samples"] == 10
    assert measured("ntk_distance", probe, baseline, samples=10)[None]["distance"] > 1e-6


def test_ntk_takes_all_examples_when_there_are_few() -> None:
    probe = example_probe("mlp")
    assert measured("ntk_distance", probe, probe)[None]["samples"] == len(probe.task.train)
    assert ntk_distance.parameters["samples"].param.max == 200
