"""The measure: its rows, settings, degenerate layers, every kind of network, and numbers that stay."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import MeasureError, NotApplicable, SettingError
from grokscope.models.plain import Plain
from grokscope.tasks.task import Task
from grokscope.testing import example_probe, probe_of
from grokscope_oinfo import grokscope_measures
from grokscope_oinfo.clusters import cluster_means
from grokscope_oinfo.functional import (
    bias,
    copula_correlation,
    entropies_of_unions,
    entropy_bias,
    o_information,
    o_information_of_entropies,
    union_sizes,
)
from grokscope_oinfo.measures import oinfo

GOLDEN = Path(__file__).parent / "golden.json"


def row_of(probe, **given):
    """Measure as the engine does: settings resolved, the outcome checked against the declaration."""
    from grokscope.declare import resolve

    [row] = oinfo.collect(oinfo(probe, **resolve(oinfo.parameters, given, "oinfo")))
    return row


def clusters_in(mask):
    return [c for c in range(62) if int(mask) >> c & 1]


def test_the_family_is_the_measure():
    assert grokscope_measures() == [oinfo]


def test_a_row_holds_all_that_is_declared(probe_with, relu_units):
    row = row_of(probe_with(relu_units()))
    assert set(row.values) == {column.name for column in oinfo.columns}
    assert set(row.arrays) == set(oinfo.arrays)
    assert row.labels == ()


@pytest.mark.parametrize("variables", ["mean", "units"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_optimum_is_found_again_from_its_arrays(probe_with, relu_units, variables, sign):
    values = relu_units()
    row = row_of(probe_with(values), variables=variables)
    name = "synergy" if sign < 0 else "redundancy"
    omega, masks, cluster = row.arrays["omega"], row.arrays["multiplets"], row.arrays["cluster"]
    best = row.arrays[f"{name}_multiplet"]
    assert clusters_in(masks[np.nanargmax(sign * omega)]) == best.tolist()
    inside = np.isin(cluster, best)
    assert row.values[f"{name}_bins"] == len(best)
    assert row.values[f"{name}_neurons"] == inside.sum()
    chosen = values[:, torch.from_numpy(inside)]
    if variables == "mean":
        chosen = cluster_means(chosen, torch.from_numpy(np.searchsorted(best, cluster[inside])))
    expected = sign * o_information(copula_correlation(chosen)).item()
    assert row.values[name] == pytest.approx(expected, abs=1e-10)


def test_all_multiplets_of_ten_clusters_are_stored_by_rising_mask(probe_with, relu_units):
    row = row_of(probe_with(relu_units()))
    assert len(row.arrays["multiplets"]) == 1013
    assert (np.diff(row.arrays["multiplets"]) > 0).all()
    sizes = {mask.bit_count() for mask in row.arrays["multiplets"].tolist()}
    assert sizes == set(range(2, 11))
    assert row.values["synergy"] >= 0
    assert row.values["redundancy"] >= 0


def test_dead_and_constant_units_change_nothing_but_their_count(probe_with, relu_units):
    values = relu_units(units=24)
    padded = torch.cat(
        [torch.zeros(400, 3), values[:, :10], torch.full((400, 2), 0.3), values[:, 10:]], dim=1
    )
    plain, dead = row_of(probe_with(values)), row_of(probe_with(padded))
    assert dead.values == {**plain.values, "constant_units": 5.0}
    assert (dead.arrays["cluster"][[0, 1, 2, 13, 14]] == -1).all()
    assert (dead.arrays["cluster"] >= 0).sum() == 24
    np.testing.assert_array_equal(dead.arrays["omega"], plain.arrays["omega"])


def test_250_units_with_dead_ones_among_them_have_units_omega(probe_with, relu_units):
    values = relu_units(n=700, units=250)
    values[:, ::9] = 0.0
    row = row_of(probe_with(values), variables="units")
    assert row.values["constant_units"] == 28
    assert row.values["undefined_multiplets"] == 0
    whole = values[:, [i for i in range(250) if i % 9]]
    assert row.arrays["omega"][-1] == pytest.approx(o_information(copula_correlation(whole)).item(), abs=1e-8)


@pytest.mark.parametrize("variables", ["mean", "units"])
def test_order_of_units_and_examples_does_not_matter(probe_with, relu_units, variables):
    values = relu_units()
    draw = torch.Generator().manual_seed(1)
    shuffled = values[torch.randperm(400, generator=draw)][:, torch.randperm(30, generator=draw)]
    plain, other = (row_of(probe_with(v), variables=variables).values for v in (values, shuffled))
    for name in plain:
        assert other[name] == (plain[name] if name == "search" else pytest.approx(plain[name], abs=1e-9)), (
            name
        )


def test_independent_sparse_units_have_no_omega_with_average_ranks_and_some_with_argsort(probe_with):
    draw = np.random.RandomState(0).standard_normal((4000, 3))
    probe = probe_with(torch.from_numpy(np.maximum(draw - 1.0, 0.0)))  # 84 % zeros
    assert row_of(probe).values["synergy"] < 1e-3
    assert row_of(probe).values["redundancy"] < 1e-3
    assert row_of(probe, ties="argsort").values["redundancy"] > 0.02


def test_bias_correction_subtracts_the_sizes_bias(probe_with, relu_units):
    probe = probe_with(relu_units())
    means = [row_of(probe, variables="mean", bias_correction=c).arrays for c in (False, True)]
    plain, corrected = means
    size = torch.tensor([mask.bit_count() for mask in plain["multiplets"].tolist()])
    np.testing.assert_allclose(corrected["omega"], plain["omega"] - bias(size, 400).numpy(), atol=1e-13)
    units = [row_of(probe, bias_correction=c).arrays for c in (False, True)]
    counts = np.bincount(units[0]["cluster"])
    size = torch.tensor([counts[clusters_in(mask)].sum() for mask in units[0]["multiplets"]])
    expected = units[0]["omega"] - bias(size, 400).numpy()
    np.testing.assert_allclose(units[1]["omega"], expected, atol=1e-12)


def test_duplicate_units_are_named_not_valued(probe_with, relu_units):
    values = relu_units(units=5)
    values[:, 4] = 3 * values[:, 1]
    row = row_of(probe_with(values))
    undefined = row.arrays["multiplets"][np.isnan(row.arrays["omega"])]
    assert all({1, 4} <= set(clusters_in(mask)) for mask in undefined)
    assert row.values["undefined_multiplets"] == len(undefined) == 8
    assert math.isfinite(row.values["synergy"])
    assert not {1, 4} <= set(row.arrays["synergy_multiplet"].tolist())


def test_a_constant_mean_of_varying_units_is_named(probe_with, relu_units):
    on = (relu_units(units=1) > 0.5).double()
    values = torch.cat([on, 1 - on, 100 * relu_units(units=2, seed=1)], dim=1)
    for ties in ("average", "argsort"):
        row = row_of(probe_with(values), variables="mean", clusters=3, ties=ties)
        assert row.values["constant_units"] == 0
        assert row.arrays["cluster"].tolist() == [0, 0, 1, 2]
        undefined = row.arrays["multiplets"][np.isnan(row.arrays["omega"])]
        assert undefined.tolist() == [0b011, 0b101, 0b111]


def test_few_varying_units_are_their_own_clusters(probe_with, relu_units):
    row = row_of(probe_with(relu_units(units=4)))
    assert row.arrays["cluster"].tolist() == [0, 1, 2, 3]
    assert len(row.arrays["omega"]) == 11


@pytest.mark.parametrize("varying", [0, 1])
@pytest.mark.parametrize("search", ["exhaustive", "greedy"])
def test_without_a_multiplet_there_is_no_number(probe_with, relu_units, varying, search):
    values = torch.zeros(400, 6)
    values[:, :varying] = relu_units(units=varying)
    for corrected in (False, True):
        row = row_of(probe_with(values), search=search, bias_correction=corrected)
        assert math.isnan(row.values["synergy"])
        assert math.isnan(row.values["redundancy_bins"])
        assert row.values["constant_units"] == 6 - varying
        assert row.values["undefined_multiplets"] == 0
        assert row.arrays["synergy_multiplet"].shape == (0,)
        assert row.arrays["omega"].shape == (0,)


def test_fewer_varying_units_than_min_size_give_no_number(probe_with, relu_units):
    assert math.isnan(row_of(probe_with(relu_units(units=4)), min_size=5).values["synergy"])
    assert math.isfinite(row_of(probe_with(relu_units(units=4)), min_size=4).values["synergy"])


def test_greedy_says_so_and_agrees_on_ten_clusters(probe_with, relu_units):
    probe = probe_with(relu_units())
    exhaustive, greedy = row_of(probe), row_of(probe, search="greedy")
    assert (exhaustive.values["search"], greedy.values["search"]) == ("exhaustive", "greedy")
    for name in ("synergy", "redundancy", "synergy_bins", "redundancy_bins"):
        assert greedy.values[name] == pytest.approx(exhaustive.values[name], abs=1e-12)


def test_beyond_twenty_clusters_only_greedy(probe_with, relu_units):
    probe = probe_with(relu_units())
    with pytest.raises(MeasureError, match=r"clusters must be at most 20 .* got 21; .*search=greedy"):
        row_of(probe, clusters=21)
    row = row_of(probe, clusters=21, search="greedy", max_size=4)
    assert row.arrays["cluster"].max() == 20
    assert row.values["synergy_bins"] <= 4


def test_settings_that_cannot_be_are_refused(probe_with, relu_units):
    probe = probe_with(relu_units())
    with pytest.raises(MeasureError, match="min_size must be at most max_size, got 5 and 4"):
        row_of(probe, min_size=5, max_size=4)
    with pytest.raises(MeasureError, match=r"layer must be one of layers.0_post, got 'x'"):
        row_of(probe, layer="x")
    for given in ({"clusters": 1}, {"clusters": 63}, {"min_size": 1}, {"ties": "random"}):
        with pytest.raises(SettingError):
            row_of(probe, **given)


def test_activations_that_are_not_finite_are_refused(probe_with, relu_units):
    for bad in (math.nan, math.inf):
        values = relu_units()
        values[7, 3] = bad
        with pytest.raises(MeasureError, match=r"layers.0_post at step 0 must be finite"):
            row_of(probe_with(values))
    with pytest.raises(MeasureError, match="at least 2 examples, got 1"):
        row_of(probe_with(relu_units(n=1)))


@pytest.mark.parametrize("kind", ["mlp", "transformer", "lstm"])
@pytest.mark.parametrize("variables", ["mean", "units"])
def test_every_kind_of_network_is_measured_on_its_first_hidden_layer(kind, variables):
    probe = example_probe(kind)
    before = probe.activations("train")[probe.model.hidden[0]].clone()
    row = row_of(probe, variables=variables, clusters=6)
    assert len(row.arrays["cluster"]) == before.shape[1]
    assert math.isfinite(row.values["synergy"])
    named = row_of(example_probe(kind), variables=variables, clusters=6, layer=probe.model.hidden[0])
    assert named.values == row.values
    assert torch.equal(probe.activations("train")[probe.model.hidden[0]], before)


def test_other_layers_and_splits_are_other_numbers():
    probe = example_probe("mlp")
    plain = row_of(probe).values["synergy"]
    assert row_of(probe, layer=probe.model.hidden[1]).values["synergy"] != plain
    assert row_of(probe, split="test").values["synergy"] != plain
    assert row_of(probe, clusters=5).arrays["cluster"].max() == 4
    assert row_of(probe).values["synergy"] == plain


def test_any_layer_of_the_network_can_be_named():
    probe = example_probe("transformer")
    found = {name: row_of(probe, layer=f"blocks.0.{name}") for name in ("attn_out", "resid_post", "mlp_pre")}
    for name, row in found.items():
        assert len(row.arrays["cluster"]) == probe.trace("train")[f"blocks.0.{name}"].shape[1]
    assert len({row.values["redundancy"] for row in found.values()}) == 3
    with pytest.raises(
        MeasureError, match=r"layer must be one of first, .*blocks.0.attn_out.*, got 'logits'"
    ):
        row_of(probe, layer="logits")


@pytest.mark.parametrize("grouping", ["spectral", "correlation"])
def test_other_groupings_are_other_clusters_of_as_many_units(probe_with, relu_units, grouping):
    probe = probe_with(relu_units())
    plain, other = row_of(probe), row_of(probe, grouping=grouping)
    assert other.arrays["cluster"].max() == 9
    assert (other.arrays["cluster"] != plain.arrays["cluster"]).any()
    assert other.arrays["omega"][-1] == pytest.approx(plain.arrays["omega"][-1], abs=1e-9)  # of all units


def test_attention_heads_are_variables(probe_with, relu_units):
    probe = example_probe("transformer")
    heads = probe.model.attention(probe.encoded("train")[:1], probe.inputs("train")[:1])["blocks.0.attn"]
    count, values = heads.shape[1], probe.trace("train")["blocks.0.attn_heads"]
    for corrected in (False, True):
        row = row_of(probe, layer="blocks.0.attn_heads", heads=count, bias_correction=corrected)
        labels = torch.arange(count).repeat_interleave(values.shape[1] // count)
        assert row.arrays["cluster"].tolist() == labels.tolist()
        expected = o_information_of_entropies(entropies_of_unions(copula_correlation(values), labels))[-1]
        if corrected:
            sizes = union_sizes(torch.bincount(labels))
            expected -= o_information_of_entropies(entropy_bias(len(labels), len(values))[sizes])[-1]
        assert row.arrays["omega"][-1] == pytest.approx(expected.item(), abs=1e-9)


class Attention(nn.Module):
    """Two heads of a stranger's; `mixed` is where they lie in a row."""

    def __init__(self):
        super().__init__()
        self.tokens, self.mixed, self.out = nn.Embedding(9, 8), nn.Identity(), nn.Linear(8, 9)

    def forward(self, inputs):
        heads = self.tokens(inputs).view(*inputs.shape, 2, 4).transpose(1, 2)
        read = (heads @ heads.mT).softmax(-1) @ heads
        return self.out(F.relu(self.mixed(read.transpose(1, 2).flatten(2))))[:, -1]


def test_heads_of_a_module_of_anybodys_are_counted_as_it_runs():
    torch.manual_seed(0)
    inputs, everything = torch.randint(9, (200, 3)), torch.arange(200)
    labels = inputs.sum(dim=1) % 9
    network = Plain(Attention(), inputs, labels, layers=["mixed"], positions="last")
    probe = probe_of(network, Task("own", "tokens", inputs, labels, 9, everything, everything, vocabulary=9))
    row = row_of(probe, layer="mixed", heads=2)
    assert row.arrays["cluster"].tolist() == [0] * 4 + [1] * 4
    assert (row.values["synergy"], row.values["redundancy"]) == (0, 0)  # of two variables there is neither
    everywhere = Plain(Attention(), inputs, labels, layers=["tokens", "mixed", "out"], positions="last")
    seen = everywhere.encode(inputs[:1]), inputs[:1]
    assert [name for name in everywhere.hidden if everywhere.mixes_heads(name, 2, *seen)] == ["mixed"]
    assert not everywhere.mixes_heads("mixed", 4, *seen)
    with pytest.raises(MeasureError, match="as many as the attention has, 2, got 4"):
        row_of(probe, layer="mixed", heads=4)


@pytest.mark.parametrize("layer", ["blocks.0.resid_post", "blocks.0.mlp_post", "blocks.0.attn_out", "first"])
def test_heads_are_of_what_they_make_alone(layer):
    """Elsewhere they were as many blocks of units as heads were asked for, of no meaning."""
    with pytest.raises(NotApplicable, match=f"as blocks.0.attn_heads: {layer} is none"):
        row_of(example_probe("transformer"), layer=layer, heads=2)


def made_of_heads(probe):
    """The probe, where the hidden layer is what three heads make."""
    probe.model.attention = lambda encoded, inputs: {"attention": torch.ones(1, 3, 1, 1)}
    probe.model.mixes_heads = lambda layer, heads, encoded, inputs: True
    return probe


def test_three_heads_of_which_one_is_the_sum_of_the_others_are_synergistic(probe_with):
    draw = torch.Generator().manual_seed(0)
    a, b, noise = torch.randn(3, 500, 4, generator=draw, dtype=torch.float64)
    probe = probe_with(torch.cat([a, b, a + b + 0.1 * noise], dim=1))
    row = row_of(made_of_heads(probe), layer="layers.0_post", heads=3)
    assert row.values["synergy"] > 5
    assert (row.values["synergy_bins"], row.values["synergy_neurons"]) == (3, 12)
    assert row.values["redundancy"] == 0
    same = probe_with(torch.cat([a, a + 0.1 * b, a + 0.1 * noise], dim=1))
    assert row_of(made_of_heads(same), layer="layers.0_post", heads=3).values["redundancy"] > 5


def test_heads_that_cannot_be_are_refused(probe_with, relu_units):
    probe = example_probe("transformer")
    with pytest.raises(MeasureError, match=r"layer must name the layer that the heads make"):
        row_of(probe, heads=2)
    with pytest.raises(MeasureError, match=r"heads must be as many as the attention has, \d+, got 7"):
        row_of(probe, layer="blocks.0.attn_heads", heads=7)
    with pytest.raises(MeasureError, match=r"search must be exhaustive with oinfo.heads, got greedy"):
        row_of(probe, layer="blocks.0.attn_heads", heads=2, search="greedy")
    with pytest.raises(NotApplicable, match=r"as blocks.0.attn_heads: layers.0_post is none"):
        row_of(probe_with(relu_units()), layer="layers.0_post", heads=3)


def test_a_dead_layer_gives_no_number():
    row = row_of(example_probe("mlp", dead=True))
    assert math.isnan(row.values["synergy"])
    assert row.values["constant_units"] == 24


SETTINGS = [
    {},
    {"variables": "mean"},
    {"variables": "mean", "ties": "argsort"},
    {"variables": "mean", "bias_correction": True, "min_size": 3},
    {"variables": "mean", "search": "greedy", "clusters": 22, "max_size": 5},
]


def test_numbers_move_only_with_the_version():
    """Write golden.json anew, after raising the version, with the rows this test prints."""
    golden = json.loads(GOLDEN.read_text())
    found = [row_of(example_probe("mlp"), **given).values for given in SETTINGS]
    print(json.dumps({"version": oinfo.version, "rows": found}, indent=1))
    assert golden["version"] == oinfo.version
    for row, expected in zip(found, golden["rows"], strict=True):
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            assert row[name] == (
                value if isinstance(value, str) else pytest.approx(value, rel=1e-5, abs=1e-7)
            )
