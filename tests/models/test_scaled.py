"""Hidden units scaled in networks of every kind, against the network run by hand; what blocks attend to."""

import pytest
import torch
from torch.nn import functional as F


def factors_of(probe, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {n: 2 * torch.rand(v.shape[1], generator=draw) for n, v in probe.activations("train").items()}


def scaled(probe, factors):
    with torch.no_grad():
        return probe.model.logits_with(factors, probe.inputs("train"))


@pytest.mark.parametrize(
    "name",
    ["cnn", "residual", "mlp", "gpt", "lstm", "mixer", "chain", "two blocks, layer, tied", "built cnn"],
)
def test_factors_of_one_change_nothing_and_others_leave_no_trace(own, built, name):
    probe = {**own, **built}[name].probe()
    factors = factors_of(probe)
    with torch.no_grad():
        before = probe.model(probe.inputs("train"))
        assert not torch.allclose(scaled(probe, factors), before, atol=1e-4)
        assert torch.allclose(
            scaled(probe, {name: torch.ones_like(f) for name, f in factors.items()}), before, atol=1e-6
        )
        assert torch.equal(probe.model(probe.inputs("train")), before)


@pytest.mark.parametrize("name", ["cnn", "mlp", "chain"])
def test_layers_in_a_row_are_multiplied_after_their_non_linearity(own, name):
    probe = own[name].probe()
    factors, values = factors_of(probe), probe.inputs("train")
    for index, layer in enumerate(probe.model.inner):
        values = layer(values.clone())
        if str(index) in factors:
            values = values * factors[str(index)].view(values.shape[1:])
    assert torch.allclose(scaled(probe, factors), values, atol=1e-6)


def test_the_built_network_of_convolutions(built):
    probe = built["built cnn"].probe()
    factors, values = factors_of(probe), probe.encoded("train")
    for index, conv in enumerate(probe.model.convs):
        values = F.max_pool2d(conv(values), 2).relu()
        values = values * factors[f"convs.{index}_post"].view(values.shape[1:])
    values = probe.model.layers[0](values.flatten(1)).relu() * factors["layers.0_post"]
    assert torch.allclose(scaled(probe, factors), probe.model.layers[1](values), atol=1e-6)


def test_positions_that_are_rows_share_their_factors_and_the_last_has_its_own(own):
    """All values of an example, or each channel: with the factors repeated these are the same."""
    flat, rows = own["cnn"].probe(), own["cnn"].probe(positions="rows")
    factors = torch.tensor([0.5, 2.0])
    each = factors.repeat_interleave(4)
    assert torch.allclose(scaled(flat, {"2": each}), scaled(rows, {"2": factors}), atol=1e-6)
    last, whole = own["lstm"].probe(positions="last"), own["lstm"].probe()
    three = torch.tensor([0.0, 1.0, 2.0])
    assert torch.allclose(
        scaled(last, {"lstm": three}), scaled(whole, {"lstm": three.repeat(5)}), atol=1e-6
    )  # its head reads the last position alone


def test_what_blocks_attend_to_mixes_their_values(built):
    probe = built["two blocks, layer, tied"].probe()
    seen = {}
    for layer, block in enumerate(probe.model.blocks):
        block.norm1.register_forward_hook(lambda _, __, out, layer=layer: seen.setdefault(layer, out))
    with torch.no_grad():
        found = probe.model.attention(probe.encoded("train"), probe.inputs("train"))
        trace = probe.trace("train")
        for layer, block in enumerate(probe.model.blocks):
            weights = found[f"blocks.{layer}.attn"]
            assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), atol=1e-6)
            values = torch.einsum("hed,ntd->nhte", block.attn.W_V, seen[layer])
            mixed = (weights[:, :, -1:] @ values)[:, :, 0].flatten(1)
            assert torch.allclose(mixed, trace[f"blocks.{layer}.attn_heads"], atol=1e-5)
            assert torch.allclose(mixed @ block.attn.W_O.T, trace[f"blocks.{layer}.attn_out"], atol=1e-5)
    length = probe.encoded("train").shape[1]
    assert found["blocks.0.attn"].shape[2:] == (length, length)
    assert found["blocks.0.attn"].triu(1).abs().max() == 0
    assert found["blocks.1.attn"].shape[2:] == (1, length)
