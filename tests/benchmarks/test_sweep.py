"""Five seeds trained one after the other, and as one batched computation; compare the rows of each group.

`sweep` trains every run by itself, in as many processes as there are cores: here is the measurement behind
that. The batched versions give each seed what it gets alone (`test_batched_seeds_are_the_single_runs`), so a
row is five steps either way. Measured on one thread of a shared 2-core machine: see ratios of medians.
"""

import pytest
import torch
from torch.func import functional_call, vmap
from torch.nn import functional as F

from grokscope.models.factories import mlp, transformer
from grokscope.tasks import modadd

SEEDS = 5
MLP_SIZES = {"p=13": (13, 24), "p=31": (31, 100), "p=59": (59, 200), "clauw": (97, 250)}


def networks(task, build):
    made = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        made.append(build(task))
    return made


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.03, betas=(0.9, 0.98), weight_decay=2.0, fused=True)


def one_by_one(task, made):
    inputs, labels = task.examples("train")
    optimizers = [adamw(network.parameters()) for network in made]

    def step():
        for network, optimizer in zip(made, optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()
            optimizer.step()

    return step


def batched(task, made, forward):
    inputs, labels = task.examples("train")
    stacked = {
        name: torch.stack([dict(network.named_parameters())[name].detach() for network in made])
        for name, _ in made[0].named_parameters()
    }
    stacked = {name: value.requires_grad_() for name, value in stacked.items()}
    optimizer = adamw(stacked.values())

    def step():
        optimizer.zero_grad()
        logits = forward(made[0], stacked, inputs)  # (seeds, n, outputs)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.repeat(SEEDS)) * SEEDS
        loss.backward()
        optimizer.step()

    return step, stacked


def by_products(network, stacked, tokens):
    """The MLP with the seeds as the batch of `bmm`; the first layer picks columns, as `MLP` does."""
    table = stacked["layers.0.weight"].transpose(1, 2)
    columns = tokens + network.vocabulary * torch.arange(tokens.shape[1])
    rows = columns + table.shape[1] * torch.arange(SEEDS)[:, None, None]
    picked = F.embedding_bag(rows.flatten(0, 1), table.flatten(0, 1), mode="sum")
    hidden = F.relu(picked.unflatten(0, (SEEDS, -1)) + stacked["layers.0.bias"][:, None])
    return torch.bmm(hidden, stacked["layers.1.weight"].transpose(1, 2))


def by_vmap(network, stacked, tokens):
    return vmap(lambda weights: functional_call(network, weights, (tokens,)))(stacked)


def by_vmap_products(network, stacked, tokens):
    """`vmap` of the one-hot product: `embedding_bag` has no batching rule and is looped over."""
    encoded = network.encode(tokens)

    def forward(weights):
        hidden = F.relu(F.linear(encoded, weights["layers.0.weight"], weights["layers.0.bias"]))
        return F.linear(hidden, weights["layers.1.weight"])

    return vmap(forward)(stacked)


def clauw_like(p, hidden):
    task = modadd.build(p=p, train_fraction=0.4)
    return task, networks(task, lambda task: mlp.build(task, hidden=[hidden], last_bias=False))


@pytest.mark.parametrize("way", ["one by one", "bmm", "vmap"])
@pytest.mark.parametrize("size", MLP_SIZES)
def test_mlp_seeds(benchmark, size, way):
    benchmark.group = f"{SEEDS} seeds, MLP {size}"
    task, made = clauw_like(*MLP_SIZES[size])
    if way == "one by one":
        step = one_by_one(task, made)
    else:
        step, _ = batched(task, made, by_products if way == "bmm" else by_vmap_products)
    benchmark.pedantic(step, rounds=15 if size == "clauw" else 40, warmup_rounds=3)


@pytest.mark.parametrize("way", ["one by one", "vmap"])
def test_transformer_seeds(benchmark, way):
    benchmark.group = f"{SEEDS} seeds, nanda at p=53"
    task = modadd.build(p=53, train_fraction=0.3)
    made = networks(task, transformer.build)
    step = one_by_one(task, made) if way == "one by one" else batched(task, made, by_vmap)[0]
    benchmark.pedantic(step, rounds=8, warmup_rounds=1)


@pytest.mark.parametrize("forward", [by_products, by_vmap_products])
def test_batched_seeds_are_the_single_runs(forward):
    task, made = clauw_like(13, 24)
    together, stacked = batched(task, made, forward)
    alone = one_by_one(task, made)
    for _ in range(20):
        together()
        alone()
    for index, network in enumerate(made):
        for name, value in network.named_parameters():
            torch.testing.assert_close(stacked[name][index], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("way", ["one by one", "bmm"])
def test_small_batches(benchmark, way):
    """Sparse parity's network, 40-1000-2 on batches of 32: a step is mostly overhead, if any is."""
    benchmark.group = f"{SEEDS} seeds, MLP 40-1000-2, batch 32"
    torch.manual_seed(0)
    inputs, labels = torch.randn(SEEDS, 32, 40), torch.randint(2, (SEEDS, 32))
    first = torch.randn(SEEDS, 1000, 40) * 0.1
    second = torch.randn(SEEDS, 2, 1000) * 0.03
    if way == "bmm":
        groups = [(inputs, labels.flatten(), first.requires_grad_(), second.requires_grad_())]
    else:
        groups = [
            (inputs[i], labels[i], first[i].clone().requires_grad_(), second[i].clone().requires_grad_())
            for i in range(SEEDS)
        ]
    optimizers = [adamw(group[2:]) for group in groups]

    def step():
        for (x, y, w, v), optimizer in zip(groups, optimizers, strict=True):
            optimizer.zero_grad()
            logits = F.relu(x @ w.mT) @ v.mT
            (F.cross_entropy(logits.reshape(-1, 2), y) * len(y) / 32).backward()
            optimizer.step()

    benchmark.pedantic(step, rounds=200, warmup_rounds=20)
