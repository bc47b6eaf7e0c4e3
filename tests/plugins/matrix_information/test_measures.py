"""The measures on real networks of every kind: what they compare, share, leave out and refuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import lapack

import grokscope_matrix_information
from grokscope.declare import resolve
from grokscope.errors import MeasureError, NotApplicable, SettingError
from grokscope.measure import Measure
from grokscope.probe import Probe
from grokscope.testing import example_probe, example_task, probe_of
from grokscope_matrix_information.functional import centred, matrix_entropy, mutual_information
from grokscope_matrix_information.measures import ed, mid, pe, pmi, pmi_label

FAMILY = [pe, pmi, ed, mid, pmi_label]
CENTRED = [pe, pmi, ed, mid]
SIZE = 30  # a batch: the smallest example split has 67
by_name = pytest.mark.parametrize("subject", FAMILY, ids=lambda m: m.name)


def row(subject: Measure, probe: Probe, **parameters: Any) -> dict[str, float]:
    """The one row of a measure, checked against its declaration."""
    given = {"batch_size": SIZE, **parameters}
    (result,) = subject.collect(subject(probe, **resolve(subject.parameters, given, subject.name)))
    return {name: float(value) for name, value in result.values.items()}


def patched(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor], torch.Tensor]
) -> Probe:
    """The probe with its logits changed."""
    trace = probe.trace

    def changed(split: str, sigma: float = 0.0) -> dict[str, torch.Tensor]:
        return {**trace(split, sigma), "logits": change(trace(split, sigma)["logits"])}

    monkeypatch.setattr(probe, "trace", changed)
    return probe


@pytest.fixture
def decompositions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all matrices decomposed since the test began: into eigenvalues, or tridiagonal ones."""
    sizes: list[int] = []

    def counted(decompose: Callable[..., Any]) -> Callable[..., Any]:
        def call(matrix: Any, **options: Any) -> Any:
            sizes.append(matrix.shape[-1])
            return decompose(matrix, **options)

        return call

    monkeypatch.setattr(torch.linalg, "eigvalsh", counted(torch.linalg.eigvalsh))
    monkeypatch.setattr(lapack, "dsytrd", counted(lapack.dsytrd))
    return sizes


def test_the_plugin_registers_the_family() -> None:
    assert grokscope_matrix_information.grokscope_measures() == FAMILY


@by_name
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    ("kind", "task", "last_layer"),
    [
        ("mlp", "modadd", "logits"),
        ("mlp", "images", "penultimate"),
        ("transformer", "modadd", "logits"),
        ("lstm", "text", "penultimate"),
    ],
)
def test_every_kind_of_network(
    subject: Measure, kind: Any, task: str, last_layer: str, alpha: float, split: str
) -> None:
    values = row(subject, example_probe(kind, task=task), alpha=alpha, split=split, last_layer=last_layer)
    own_noise = {"sigma", "note"}  # said where the noise is not a paper's
    assert set(values) == {column.name for column in subject.columns} - own_noise
    assert math.isfinite(values[subject.name])
    assert values[subject.name] <= math.log(SIZE)
    assert values["zero_rows"] == 0


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_values_are_the_definitions(kind: Any, alpha: float) -> None:
    """On one batch of the whole split, from the logits and the first layer on one and the same noise."""
    probe = example_probe(kind)
    first, last = probe.first_layer("train", 0.3), probe.last_layer("train", 0.3)
    clean_first, clean_last = probe.first_layer("train"), probe.last_layer("train")
    setting = {"alpha": alpha, "sigma": 0.3, "batch_size": 67}
    for suffix, of in (("", lambda logits: logits), ("_centred", centred)):
        entropy = matrix_entropy(of(last), alpha).item()
        information = mutual_information(first, of(last), alpha).item()
        clean_entropy = matrix_entropy(of(clean_last), alpha).item()
        clean_information = mutual_information(clean_first, of(clean_last), alpha).item()
        assert row(pe, probe, **setting)["pe" + suffix] == pytest.approx(entropy, abs=1e-9)
        assert row(pmi, probe, **setting)["pmi" + suffix] == pytest.approx(information, abs=1e-9)
        assert row(ed, probe, **setting)["ed" + suffix] == pytest.approx(
            abs(entropy - clean_entropy), abs=1e-9
        )
        assert row(mid, probe, **setting)["mid" + suffix] == pytest.approx(
            abs(information - clean_information), abs=1e-9
        )
    labels = torch.nn.functional.one_hot(probe.labels("train"))
    label_information = mutual_information(last, labels, alpha).item()
    assert row(pmi_label, probe, **setting)["pmi_label"] == pytest.approx(label_information, abs=1e-9)


def test_the_mean_is_over_whole_batches_of_the_shuffled_split() -> None:
    probe = example_probe()
    order = torch.randperm(67, generator=torch.Generator().manual_seed(0))
    batches = probe.logits("train", 0.4)[order][:60].split(30)
    expected = sum(matrix_entropy(batch).item() for batch in batches) / 2
    assert row(pe, probe)["pe"] == pytest.approx(expected, abs=1e-12)


def test_differences_are_of_the_family_s_own_values() -> None:
    probe = example_probe()
    for difference, value in ((ed, pe), (mid, pmi)):
        noised, clean = row(value, probe, sigma=0.7), row(value, probe, sigma=0.0)
        for suffix in ("", "_centred"):
            expected = abs(noised[value.name + suffix] - clean[value.name + suffix])
            assert expected > 1e-3
            assert row(difference, probe, sigma=0.7)[difference.name + suffix] == pytest.approx(
                expected, abs=1e-12
            )
            assert row(difference, probe, sigma=0.0)[difference.name + suffix] == 0


@by_name
@pytest.mark.parametrize(("task", "sigma", "other"), [("modadd", 0.4, 0.1), ("images", 0.1, 0.4)])
def test_sigma_is_the_papers_by_kind_of_task(subject: Measure, task: str, sigma: float, other: float) -> None:
    probe = example_probe(task=task)
    value = row(subject, probe)[subject.name]
    assert value == row(subject, probe, sigma=sigma)[subject.name]
    assert value != row(subject, probe, sigma=other)[subject.name]


def test_the_order_in_which_a_task_lists_its_examples_makes_no_batches_of_one_kind() -> None:
    """Sorted by label, a batch of neighbours would hold one or two classes and tell next to nothing."""
    task = example_task("images")
    by_label = task.train[task.labels[task.train].argsort(stable=True)]
    network = example_probe(task="images").model
    values = [
        row(pmi_label, probe_of(network, dataclasses.replace(task, train=train)))["pmi_label"]
        for train in (task.train, by_label)
    ]
    assert values[0] > 0.5
    assert values[1] == pytest.approx(values[0], rel=0.1)


@pytest.mark.parametrize("subject", CENTRED, ids=lambda m: m.name)
def test_centring_takes_out_a_constant_per_example(subject: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = row(subject, example_probe())
    drifted = patched(example_probe(), monkeypatch, lambda logits: logits + logits[:, :1] + 20)
    values = row(subject, drifted)
    centred_name = f"{subject.name}_centred"
    assert values[centred_name] == pytest.approx(plain[centred_name], abs=1e-4)
    assert abs(values[subject.name] - plain[subject.name]) > 0.01


@pytest.mark.parametrize("subject", CENTRED, ids=lambda m: m.name)
def test_only_cross_entropy_logits_are_centred(subject: Measure) -> None:
    assert math.isnan(row(subject, example_probe(loss="mse"))[f"{subject.name}_centred"])
    assert math.isnan(row(subject, example_probe(), last_layer="penultimate")[f"{subject.name}_centred"])
    assert not math.isnan(row(subject, example_probe())[f"{subject.name}_centred"])


@by_name
def test_last_layer_penultimate_is_the_last_hidden_one(
    subject: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as for a network whose logits those activations are."""
    shown = example_probe()
    trace = shown.trace
    monkeypatch.setattr(
        shown, "trace", lambda *where: {**trace(*where), "logits": trace(*where)["layers.1_post"]}
    )
    value = row(subject, example_probe(), last_layer="penultimate")[subject.name]
    assert value == row(subject, shown)[subject.name] != row(subject, example_probe())[subject.name]


@pytest.mark.parametrize("subject", [pmi, mid], ids=lambda m: m.name)
def test_first_layer_post_is_after_the_relu(subject: Measure) -> None:
    probe = example_probe()
    value = row(subject, probe, first_layer="post", batch_size=67)[subject.name]
    informations = [
        mutual_information(probe.trace("train", sigma)["layers.0_post"], probe.logits("train", sigma)).item()
        for sigma in (0.4, 0.0)
    ]
    expected = informations[0] if subject is pmi else abs(informations[0] - informations[1])
    assert value == pytest.approx(expected, abs=1e-9)
    assert value != row(subject, probe, batch_size=67)[subject.name]
    with pytest.raises(NotApplicable, match="first_layer=post is after the ReLU of the first Linear"):
        row(subject, example_probe("transformer"), first_layer="post")


@by_name
def test_a_single_logit_has_no_direction(subject: Measure) -> None:
    with pytest.raises(NotApplicable, match="nothing of this single-logit network") as reason:
        row(subject, example_probe("lstm"))
    assert reason.value.settings == {"last_layer": "penultimate"}


@by_name
def test_a_split_smaller_than_a_batch_is_refused_with_the_way_out(subject: Measure) -> None:
    with pytest.raises(NotApplicable, match=r"the 67 examples of the train split, got 200: no") as reason:
        row(subject, example_probe(), batch_size=200)
    assert reason.value.settings == {"batch_size": 67}


@by_name
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_activations_that_are_not_finite_are_refused(
    subject: Measure, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = patched(
        example_probe(), monkeypatch, lambda logits: logits.index_fill(0, torch.tensor([3]), value)
    )
    with pytest.raises(MeasureError, match="must be finite") as refusal:
        row(subject, broken)
    assert not isinstance(refusal.value, NotApplicable)


@by_name
def test_a_last_layer_of_zeros_has_no_value(subject: Measure) -> None:
    """A last layer may start at zero: every row is left out, and that is what the row says."""
    probe = example_probe()
    for name, weight in probe.model.named_parameters():
        if name.startswith("layers.2."):
            weight.data.zero_()
    values = row(subject, probe)
    assert values.pop("zero_rows") == 67
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
def test_dead_hidden_units_have_no_value(kind: Any) -> None:
    values = row(pe, example_probe(kind, dead=True), last_layer="penultimate")
    assert math.isnan(values["pe"])
    assert values["zero_rows"] == len(example_probe(kind).labels("train"))


def test_rows_of_zeros_are_left_out_before_batches_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """67 examples less 7 of zeros make one batch of exactly 60: n, and with it log n, stays what it was."""
    silent = torch.tensor([0, 5, 6, 20, 21, 40, 66])
    kept = [i for i in range(67) if i not in silent.tolist()]
    probe = patched(example_probe(), monkeypatch, lambda logits: logits.index_fill(0, silent, 0.0))
    first, last = probe.first_layer("train", 0.4)[kept], probe.logits("train", 0.4)[kept]
    values = row(pmi, probe, batch_size=60)
    assert values["zero_rows"] == 7
    assert values["pmi"] == pytest.approx(mutual_information(first, last).item(), abs=1e-9)
    assert values["pmi_centred"] == pytest.approx(mutual_information(first, centred(last)).item(), abs=1e-9)
    assert math.isnan(row(pmi, probe, batch_size=61)["pmi"])


def test_differences_leave_a_row_of_zeros_out_of_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = example_probe()
    trace = probe.trace

    def clean_zeros(split: str, sigma: float = 0.0) -> dict[str, torch.Tensor]:
        traced = dict(trace(split, sigma))
        if sigma == 0:
            traced["logits"] = traced["logits"].index_fill(0, torch.arange(7), 0.0)
        return traced

    monkeypatch.setattr(probe, "trace", clean_zeros)
    assert row(pe, probe, batch_size=60)["zero_rows"] == 0  # keeps an entropy of other examples, not for ed
    values = row(ed, probe, batch_size=60)
    noised, clean = probe.logits("train", 0.4)[7:], probe.logits("train")[7:]
    assert values["zero_rows"] == 7
    expected = abs(matrix_entropy(noised) - matrix_entropy(clean)).item()
    assert values["ed"] == pytest.approx(expected, abs=1e-9)
    assert row(pmi, probe, batch_size=60)["zero_rows"] == 0
    values = row(mid, probe, batch_size=60)
    informations = [
        mutual_information(probe.first_layer("train", sigma)[7:], probe.logits("train", sigma)[7:]).item()
        for sigma in (0.4, 0.0)
    ]
    assert values["zero_rows"] == 7
    assert values["mid"] == pytest.approx(abs(informations[0] - informations[1]), abs=1e-9)


def test_constant_logits_have_no_centred_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = patched(example_probe(), monkeypatch, lambda logits: torch.full_like(logits, 0.1))
    values = row(pe, probe)
    assert values["pe"] == pytest.approx(0, abs=1e-12)
    assert math.isnan(values["pe_centred"])
    assert values["zero_rows"] == 67


def test_measures_share_every_decomposition(decompositions: list[int]) -> None:
    probe = example_probe()  # two batches of 30; 24 units in the first layer, 13 logits
    row(pmi, probe)
    assert sorted(decompositions) == [13] * 4 + [24] * 2 + [30] * 4
    decompositions.clear()
    row(pe, probe)
    assert decompositions == []
    row(mid, probe)
    assert sorted(decompositions) == [13] * 4 + [24] * 2 + [30] * 4
    decompositions.clear()
    row(ed, probe)
    assert decompositions == []
    row(pmi_label, probe)
    assert max(decompositions) < 10  # of the examples of one label


@by_name
def test_order_two_needs_no_decomposition(subject: Measure, decompositions: list[int]) -> None:
    row(subject, example_probe(), alpha=2.0)
    assert decompositions == []


@by_name
def test_values_are_the_same_whoever_asked_first(subject: Measure) -> None:
    probe = example_probe()
    for other in FAMILY:
        row(other, probe, alpha=2.0)
        row(other, probe, split="test")
        row(other, probe, batch_size=20)
        row(other, probe, sigma=1.0)
    np.testing.assert_equal(row(subject, probe), row(subject, example_probe()))


@by_name
@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 0.0), ("sigma", -0.1), ("batch_size", 1), ("split", "all")]
)
def test_parameters_out_of_bounds_are_refused(subject: Measure, name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"{subject.name}.{name} must be"):
        row(subject, example_probe(), **{name: value})
