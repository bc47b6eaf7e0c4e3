"""Entropies of attention against closed forms, and what counts as attention in any network."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.errors import NotApplicable
from grokscope.models.plain import Plain
from grokscope.testing import example_probe, example_task, probe_of
from grokscope_representations.attention import attention_entropy
from grokscope_representations.functional import mean_entropy


def measured(probe, **parameters):
    rows = attention_entropy.collect(attention_entropy(probe, **parameters))
    return {row.labels[0] if row.labels else None: row.values["entropy"] for row in rows}


def test_uniform_attention_is_log_t_and_a_single_position_zero():
    assert mean_entropy(torch.full((2, 3, 4, 5), 0.2)).tolist() == pytest.approx([math.log(5)] * 3)
    assert mean_entropy(torch.eye(4).expand(2, 1, 4, 4)).tolist() == [0.0]
    causal = torch.ones(6, 6).tril() / torch.arange(1.0, 7.0)[:, None]
    wanted = sum(map(math.log, range(1, 7))) / 6
    assert mean_entropy(causal.expand(1, 1, 6, 6)).item() == pytest.approx(wanted)


def test_the_transformers_heads_read_as_its_own_scores_say():
    probe = example_probe("transformer")
    attn = probe.model.blocks[0].attn
    residual = (probe.encoded("train") + probe.model.pos_embed).double()
    found = measured(probe)
    assert list(found) == [None, "blocks.0.attn.0", "blocks.0.attn.1"]
    for head in range(2):
        query, keys = residual[:, -1] @ attn.W_Q[head].double().T, residual @ attn.W_K[head].double().T
        weights = ((keys @ query[:, :, None])[..., 0] / math.sqrt(8)).softmax(dim=1)
        wanted = -(weights * weights.log()).sum(dim=1).mean().item()
        assert found[f"blocks.0.attn.{head}"] == pytest.approx(wanted, rel=1e-5)
    assert found[None] == pytest.approx(sum(found[f"blocks.0.attn.{head}"] for head in range(2)) / 2)
    with torch.no_grad():
        attn.W_Q.zero_()
    even = measured(probe_of(probe.model, probe.task))
    assert list(even.values()) == pytest.approx([math.log(3)] * 3)


class Reader(nn.Module):
    """Attention in one of the ways that torch has for it, two heads of width 4 over ten words."""

    def __init__(self, way):
        super().__init__()
        self.way, self.embed, self.head = way, nn.Embedding(30, 8), nn.Linear(8, 2)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, tokens):
        x = self.embed(tokens)
        if self.way == "module":
            x = self.attn(x, x, x)[0]
        elif self.way == "layer":
            x = self.layer(x)
        else:
            q = k = v = x.unflatten(2, (2, 4)).transpose(1, 2)
            if self.way == "fused":
                mixed = F.scaled_dot_product_attention(q, k, v)
            else:
                mixed = (q @ k.transpose(-1, -2) / 2).softmax(dim=-1) @ v
            x = mixed.transpose(1, 2).flatten(2)
        return self.head(x.mean(dim=1)).softmax(dim=-1)


@pytest.mark.parametrize("way", ["module", "layer", "fused", "plain"])
def test_attention_is_found_however_it_is_computed(way):
    task = example_task("text")
    torch.manual_seed(0)
    module = Reader(way).eval()
    probe = probe_of(Plain(module, task.inputs, task.labels), task)
    found = measured(probe, samples=40)
    assert len(found) == 3
    assert all(0 < entropy < math.log(10) for entropy in found.values())
    chosen = torch.linspace(0, len(task.train) - 1, 40).long()
    x = module.embed(probe.inputs("train")[chosen])
    if way in ("fused", "plain"):
        q = x.unflatten(2, (2, 4)).transpose(1, 2)
        weights = (q @ q.transpose(-1, -2) / 2).softmax(dim=-1)
    else:
        attn = module.attn if way == "module" else module.layer.self_attn
        weights = attn(x, x, x, average_attn_weights=False)[1]
    assert list(found.values())[1:] == pytest.approx(mean_entropy(weights.detach()).tolist(), rel=1e-5)


def test_networks_without_attention_say_so():
    with pytest.raises(NotApplicable, match="no softmax over positions"):
        measured(example_probe("mlp"))
