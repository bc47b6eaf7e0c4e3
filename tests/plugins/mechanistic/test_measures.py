"""`fourier` on networks whose logits are known, on every kind of network, and where it must say no."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from grokscope.errors import MeasureError, NotApplicable, UnfitBaseline
from grokscope.measure import Row
from grokscope.models import MODELS
from grokscope.probe import Probe
from grokscope.tasks.modular import modular_task
from grokscope.testing import example_pair, example_probe, probe_of
from grokscope_mechanistic import embedding_ipr, fourier, grokscope_measures

P = 13


def addition(operation: str = "add", p: int = P):
    return modular_task(p=p, operation=operation, train_fraction=0.4, split_seed=0)


def wave_probe(
    frequencies: list[int],
    scale: float = 20.0,
    operation: str = "add",
    strengths: Sequence[float] = (1.0, 1.0),
) -> Probe:
    """An MLP that answers sum_k s_k cos(w_k (a + b - c)) exactly, out of one hidden unit per pair."""
    task = addition(operation)
    network = MODELS["mlp"].build(task, hidden=(P * P,), last_bias=False)
    angle = 2 * math.pi / P * (torch.arange(P)[:, None] - task.labels).double()
    with torch.no_grad():
        first, last = network.layers[0], network.layers[1]
        first.weight.copy_(torch.nn.functional.one_hot(task.inputs, P).flatten(1).float())
        first.bias.fill_(-1.0)  # a unit gives 1 on its own pair and 0 on every other
        waves = (s * torch.cos(k * angle) for s, k in zip(strengths, frequencies, strict=False))
        last.weight.copy_(scale * sum(waves))
    return probe_of(network, task)


def rows_of(probe: Probe, last: Probe, **parameters) -> tuple[dict, dict[str, dict]]:
    rows: list[Row] = fourier.collect(fourier(probe, last, **parameters))
    head, *rest = rows
    return dict(head.values), {row.labels[0]: dict(row.values) for row in rest}


def test_what_is_registered() -> None:
    assert grokscope_measures() == [fourier, embedding_ipr]
    assert fourier.baseline == "last"


@pytest.mark.parametrize("operation", ["add", "subtract"])
def test_trigonometric_network_is_all_key_frequencies(operation: str) -> None:
    probe = wave_probe([2, 5], operation=operation)
    head, each = rows_of(probe, probe)
    assert head["keys"] == 2
    assert set(each) == {"2", "5"}
    assert head["key_share"] == pytest.approx(1, abs=1e-6)
    assert head["restricted_loss"] == pytest.approx(probe.loss("all"), rel=1e-4)
    assert head["restricted_loss_train"] == pytest.approx(probe.loss("train"), rel=1e-4)
    assert head["restricted_loss_test"] == pytest.approx(probe.loss("test"), rel=1e-4)
    assert head["excluded_loss"] == pytest.approx(math.log(P), abs=1e-4)
    assert each["2"]["key_share"] == pytest.approx(0.5, abs=1e-6)
    assert probe.loss("train") < each["2"]["excluded_loss"] < math.log(P)


def test_keys_are_the_last_checkpoints_and_not_ones_own() -> None:
    head, each = rows_of(wave_probe([1]), wave_probe([2, 5]))
    assert set(each) == {"2", "5"}
    assert head["key_share"] == pytest.approx(0, abs=1e-9)
    assert head["restricted_loss"] == pytest.approx(math.log(P), abs=1e-6)
    assert head["excluded_loss"] == pytest.approx(wave_probe([1]).loss("train"), rel=1e-4)


def test_unembedding_of_one_frequency_is_sparse() -> None:
    probe = wave_probe([3])
    head, _ = rows_of(probe, probe)
    # cos and sin of one frequency carry all 13 norms: 1 - 2/13, up to their difference
    assert head["gini_unembedding"] == pytest.approx(1 - 2 / P, abs=1e-4)
    # a one-hot embedding has all its norms equal
    assert head["gini_embedding"] < 0.05


def test_number_of_keys_can_be_set() -> None:
    probe = wave_probe([2, 5])
    head, each = rows_of(probe, probe, keys=1)
    assert head["keys"] == 1
    assert len(each) == 1
    with pytest.raises(MeasureError, match="at most 6"):
        rows_of(probe, probe, keys=7)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_all_frequencies_and_all_else_make_up_the_logits(kind, loss) -> None:
    """Without any frequency only the mean is left of the part that depends on the sum alone."""
    probe, last = example_pair(kind, loss=loss)
    head, each = rows_of(probe, last, keys=6)
    assert len(each) == 6
    assert sum(row["key_share"] for row in each.values()) == pytest.approx(head["key_share"])
    numbers = {name: value for name, value in head.items() if name not in ("gap", "note")}
    assert all(map(math.isfinite, numbers.values()))
    assert ("gini_neuron_logit" in head) == (kind == "transformer")


def test_random_network_has_next_to_nothing_in_any_frequency() -> None:
    probe = example_probe("mlp", trained=False)
    head, _ = rows_of(probe, probe, keys=6)
    assert head["key_share"] < 0.05


def test_says_no_to_other_questions() -> None:
    for probe, why in [
        (example_probe("mlp", task="images"), "modular arithmetic"),
        (example_probe("lstm"), "modular arithmetic"),
        (probe_of(MODELS["mlp"].build(addition("multiply")), addition("multiply")), "other operations"),
        (probe_of(MODELS["mlp"].build(addition("random")), addition("random")), "other operations"),
        (probe_of(MODELS["mlp"].build(addition("divide")), addition("divide")), "all pairs"),
    ]:
        with pytest.raises(NotApplicable, match=why):
            rows_of(probe, probe)


def test_pairs_may_come_in_any_order() -> None:
    probe = example_probe("mlp")
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(0))
    back = order.argsort()
    task = probe.task
    shuffled = replace(
        task,
        inputs=task.inputs[order],
        labels=task.labels[order],
        train=back[task.train],
        test=back[task.test],
    )
    expected, _ = rows_of(probe, probe)
    again = probe_of(probe.model, shuffled)
    found, _ = rows_of(again, again)
    assert found.pop("note") == expected.pop("note")
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


def test_logits_without_any_frequency_are_refused() -> None:
    probe = wave_probe([1], scale=0.0)
    with pytest.raises(UnfitBaseline, match="have no frequency"):
        rows_of(wave_probe([1]), probe)
    with pytest.raises(MeasureError, match="at most 6"):
        rows_of(probe, probe, keys=7)


def test_a_baseline_without_finite_logits_is_unfit_and_ones_own_is_an_error() -> None:
    broken = wave_probe([1], scale=math.inf)
    with pytest.raises(UnfitBaseline, match="its logits are not finite"):
        rows_of(wave_probe([1]), broken)
    with pytest.raises(MeasureError, match="the logits at step 0 must be finite"):
        rows_of(broken, wave_probe([1]))


def test_weak_keys_are_keys() -> None:
    """Strengths of 1 to 0.15 at p = 13: a quarter of the largest would leave out the second."""
    probe = wave_probe([2, 5], strengths=[1.0, 0.15])
    head, each = rows_of(probe, probe)
    assert set(each) == {"2", "5"}
    assert head["gap"] > 1e3
    assert head["note"].startswith("above the gap")
    assert head["restricted_loss"] == pytest.approx(probe.loss("all"), rel=1e-4)
    cut, _ = rows_of(probe, probe, threshold=0.25)
    assert cut["keys"] == 1
    assert cut["restricted_loss"] > 1.5 * head["restricted_loss"]
    assert math.isnan(cut["gap"])
    assert cut["note"] == "from 0.25 of the largest norm"


def test_no_structure_is_said_and_all_are_taken() -> None:
    probe = example_probe("mlp", trained=False, task="modadd23")
    head, each = rows_of(probe, probe)
    assert head["keys"] == len(each) == 11
    assert head["note"].startswith("no gap")
    assert math.isnan(head["gap"])
    assert head["key_share"] < 0.1
