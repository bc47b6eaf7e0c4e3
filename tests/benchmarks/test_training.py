"""A training step beside the same step elsewhere: TransformerLens, one-hot inputs, and its products alone."""

import pytest
import torch
from torch.nn import functional as F

from grokscope.device import keep_memory
from grokscope.models.factories import mlp, transformer
from grokscope.tasks import modadd
from grokscope.training.interventions import interventions
from grokscope.training.optimizers import Optimizer

P, WIDTH, HEADS, INSIDE = 113, 128, 4, 512


SETTINGS = {
    "optimizer": "adamw",
    "lr": 1e-3,
    "betas": (0.9, 0.98),
    "eps": 1e-8,
    "weight_decay": 1.0,
    "warmup_steps": 0,
    "loss": "cross_entropy",
}


def ours(network, inputs, labels):
    """Return a step as `Loop` makes it; it gives the loss before it, of which the first is compared."""
    keep_memory()
    optimizer, beside = Optimizer(network, SETTINGS), interventions(SETTINGS, None, network)

    def step():
        optimizer.zero_grad()
        loss = beside.objective(inputs, labels)
        loss.backward()
        optimizer.step(1)
        return loss.item()

    return step


def rival(parameters, forward, inputs, labels):
    """Return the same step as it is written everywhere."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)

    def step():
        optimizer.zero_grad()
        loss = F.cross_entropy(forward(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def lens_of(network):
    """Return TransformerLens's network with the weights of ours."""
    lens = pytest.importorskip("transformer_lens")
    made = lens.HookedTransformer(
        lens.HookedTransformerConfig(
            n_layers=1,
            d_model=WIDTH,
            n_ctx=3,
            d_head=WIDTH // HEADS,
            n_heads=HEADS,
            d_mlp=INSIDE,
            act_fn="relu",
            normalization_type=None,
            d_vocab=P + 1,
            d_vocab_out=P,
            device="cpu",
        )
    )
    w, block = {name: value.detach() for name, value in network.named_parameters()}, made.blocks[0]
    with torch.no_grad():
        made.embed.W_E.copy_(w["embed.weight"])
        made.pos_embed.W_pos.copy_(w["pos_embed"])
        for name in "QKV":
            getattr(block.attn, f"W_{name}").copy_(w[f"blocks.0.attn.W_{name}"].mT)
        block.attn.W_O.copy_(w["blocks.0.attn.W_O"].t().unflatten(0, (HEADS, -1)))
        block.mlp.W_in.copy_(w["blocks.0.mlp.W_in"].t())
        block.mlp.W_out.copy_(w["blocks.0.mlp.W_out"].t())
        made.unembed.W_U.copy_(w["unembed.weight"].t())
    return made


def products_alone(n):
    """Return the matrix products of a step, forward and twice backward, and nothing between them."""
    shapes = [(WIDTH, INSIDE), (WIDTH, P), (INSIDE, P)]
    made = [(torch.randn(n, k), torch.randn(k, m), torch.randn(n, m)) for k, m in shapes]

    def run():
        for values, weight, slope in made:
            values @ weight, slope @ weight.t(), values.t() @ slope

    return run


def test_nanda_step(race):
    task = modadd.build(p=P, train_fraction=0.3)
    torch.manual_seed(0)
    network = transformer.build(task)
    lens, (inputs, labels) = lens_of(network), task.examples("train")
    sequence = F.pad(inputs, (0, 1), value=P)
    race(
        "`nanda` training step, 3830 pairs",
        ours(network, inputs, labels),
        {
            "transformer-lens": rival(
                lens.parameters(), lambda tokens: lens(tokens)[:, -1], sequence, labels
            ),
            "its matrix products alone": products_alone(len(inputs)),
        },
        within={"transformer-lens": 1e-4},
        targets={"transformer-lens": 6, "its matrix products alone": 1 / 1.2},
    )


def test_clauw_step(race):
    plain = "plain: one-hot inputs, eager AdamW"
    task = modadd.build(p=97, train_fraction=0.4)
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(mlp.build(task, hidden=[250], last_bias=False, hidden_bias=False))
    (inputs, labels), (own, theirs) = task.examples("train"), networks
    one_hot = theirs.encode(inputs)
    race(
        "`clauw` training step, 3763 pairs",
        ours(own, inputs, labels),
        {plain: rival(theirs.parameters(), lambda x: theirs.trace(x)["logits"], one_hot, labels)},
        within=1e-4,
        targets={plain: 2},
    )
