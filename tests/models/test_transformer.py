import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from grokscope.errors import SettingError
from grokscope.models.factories import mlp, transformer
from grokscope.tasks import modadd

SMALL = {"d_model": 16, "heads": 3, "d_head": 5, "d_mlp": 24}


@pytest.fixture
def task():
    return modadd.build(p=7)


def textbook(network, tokens, norm=None, activation=F.relu):
    """A causal decoder as every textbook has it: every position, every head, the last logits."""
    w = dict(network.named_parameters())
    n, vocabulary = len(tokens), network.vocabulary
    sequence = torch.cat([tokens, torch.full((n, 1), vocabulary)], dim=1)

    def normed(x, place):
        if norm is None:
            return x
        x = x - x.mean(-1, keepdim=True) if norm == "layer" else x
        x = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{place}.weight"]
        return x + w[f"{place}.bias"] if norm == "layer" else x

    x = w["embed.weight"][sequence] + w["pos_embed"]
    for block in (f"blocks.{layer}" for layer in range(len(network.hidden))):
        y, heads = normed(x, f"{block}.norm1"), []
        for q, k, v in zip(*(w[f"{block}.attn.W_{name}"] for name in "QKV"), strict=True):
            scores = (y @ q.T) @ (y @ k.T).transpose(1, 2) / math.sqrt(len(q))
            future = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
            heads.append(scores.masked_fill(future, -math.inf).softmax(dim=-1) @ (y @ v.T))
        x = x + torch.cat(heads, dim=2) @ w[f"{block}.attn.W_O"].T
        inside = activation(normed(x, f"{block}.norm2") @ w[f"{block}.mlp.W_in"].T + w[f"{block}.mlp.b_in"])
        x = x + inside @ w[f"{block}.mlp.W_out"].T + w[f"{block}.mlp.b_out"]
    unembed = w.get("unembed.weight", w["embed.weight"][: network.outputs])
    return (normed(x, "norm") @ unembed.T)[:, -1]


def shaken(network):
    """Biases start at zero and norms at one, which would hide their place."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("norm", [None, "layer", "rms"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_both_ways_agree_with_the_textbook_gradients_too(task, layers, norm, tied, activation, dtype, close):
    torch.manual_seed(0)
    kind = {"layers": layers, "norm": norm, "tied": tied, "activation": activation}
    network = shaken(transformer.build(task, **SMALL, **kind).to(dtype))
    results = []
    for logits in (
        textbook(network, task.inputs, norm, getattr(F, activation)),
        network(task.inputs),
        network.trace(network.encode(task.inputs))["logits"],
    ):
        loss = F.cross_entropy(logits, task.labels)
        results.append((logits, *torch.autograd.grad(loss, list(network.parameters()))))
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            assert (one - other).abs().max() < close


def test_a_tied_unembedding_is_no_parameter_of_its_own(task):
    network = transformer.build(task, **SMALL, tied=True)
    assert not [name for name in network.state_dict() if name.startswith("unembed")]
    with pytest.raises(SettingError, match="init_zero must be left out"):
        network.last_weights()
    other = dataclasses.replace(task, classes=5)
    with pytest.raises(SettingError, match="tied must be off on task modadd, whose 5 classes are not its 7"):
        transformer.build(other, **SMALL, tied=True)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("examples", [49, 5, 1])  # more than tokens, and fewer
def test_sequences_may_be_longer_and_batches_small(task, layers, examples):
    longer = dataclasses.replace(task, inputs=torch.randint(7, (examples, 4)))
    network = shaken(transformer.build(longer, **SMALL, layers=layers).double())
    assert network.pos_embed.shape == (5, 16)
    found = []
    for way in (network, lambda tokens: textbook(network, tokens)):
        logits = way(longer.inputs)
        found.append((logits, *torch.autograd.grad(logits.square().sum(), list(network.parameters()))))
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() <= 1e-12 * other.abs().max()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("norm", [None, "rms"])
def test_networks_of_other_heads_and_vocabularies_read_the_same_tokens(task, layers, norm):
    """What is remembered of a tensor of tokens is remembered of all that it depends on."""
    for heads, tokens in ((3, 7), (2, 7), (2, 9)):
        other = dataclasses.replace(task, vocabulary=tokens)
        network = transformer.build(other, **{**SMALL, "heads": heads}, layers=layers, norm=norm).double()
        plain = network.trace(network.encode(task.inputs))["logits"]
        assert (network(task.inputs) - plain).abs().max() < 1e-12
        mine = mlp.build(other, hidden=(5,)).double()
        assert (mine(task.inputs) - mine.trace(mine.encode(task.inputs))["logits"]).abs().max() < 1e-12


def test_trace_is_named_and_shaped_as_documented(task):
    network = transformer.build(task, **SMALL)
    encoded = network.encode(task.inputs)
    trace = network.trace(encoded)
    assert encoded.shape == (49, 3, 16)
    assert torch.equal(encoded[:, -1], network.embed.weight[-1].expand(49, -1))
    assert {name: tuple(value.shape) for name, value in trace.items()} == {
        "first": (49, 32),
        "blocks.0.attn_heads": (49, 15),
        "blocks.0.attn_out": (49, 16),
        "blocks.0.mlp_pre": (49, 24),
        "blocks.0.mlp_post": (49, 24),
        "blocks.0.resid_post": (49, 16),
        "logits": (49, 7),
    }
    assert torch.equal(trace["first"], encoded[:, :2].flatten(1))
    assert torch.equal(trace["blocks.0.mlp_post"], trace["blocks.0.mlp_pre"].clamp(min=0))
    assert set(network.hidden) <= trace.keys()


def test_each_block_is_traced_at_the_last_place(task):
    network = shaken(transformer.build(task, **SMALL, layers=2, norm="rms"))
    trace = network.trace(network.encode(task.inputs))
    assert network.hidden == ("blocks.0.mlp_post", "blocks.1.mlp_post")
    assert [trace[f"blocks.{layer}.mlp_post"].shape for layer in (0, 1)] == [(49, 24)] * 2
    # The first block sees the whole input at `=`: it is the second network's only one.
    one = transformer.build(task, **SMALL, norm="rms")
    one.load_state_dict({name: network.state_dict()[name] for name in one.state_dict()})
    alone = one.trace(one.encode(task.inputs))
    assert torch.allclose(alone["blocks.0.resid_post"], trace["blocks.0.resid_post"], atol=1e-5)


def test_noise_on_the_embeddings_reaches_the_logits(task):
    network = transformer.build(task, **SMALL)
    encoded = network.encode(task.inputs)
    noised = encoded + 0.4 * torch.randn_like(encoded)
    assert not torch.allclose(network.trace(noised)["logits"], network.trace(encoded)["logits"], atol=1e-3)
    assert torch.equal(network.trace(noised)["first"], noised[:, :2].flatten(1))


def test_initialisation_is_normal_with_the_documented_deviations():
    torch.manual_seed(0)
    weights = transformer.build(modadd.build(p=113, train_fraction=0.3)).state_dict()
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    assert shapes == {
        "pos_embed": (3, 128),
        "embed.weight": (114, 128),
        "blocks.0.attn.W_Q": (4, 32, 128),
        "blocks.0.attn.W_K": (4, 32, 128),
        "blocks.0.attn.W_V": (4, 32, 128),
        "blocks.0.attn.W_O": (128, 128),
        "blocks.0.mlp.W_in": (512, 128),
        "blocks.0.mlp.b_in": (512,),
        "blocks.0.mlp.W_out": (128, 512),
        "blocks.0.mlp.b_out": (128,),
        "unembed.weight": (113, 128),
    }
    for name, value in weights.items():
        if ".b_" in name:
            assert (value == 0).all()
            continue
        fan = 114 if name == "unembed.weight" else 128
        standard = value.flatten() * math.sqrt(fan)
        error = 5 / math.sqrt(len(standard))  # five standard errors
        assert abs(standard.mean()) < error
        assert abs(standard.std() - 1) < error


def test_vectors_are_refused(task):
    with pytest.raises(SettingError, match="model transformer reads tokens"):
        transformer.build(dataclasses.replace(task, vocabulary=0))
