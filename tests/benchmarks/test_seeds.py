"""A step of five seeds one after the other, beside the same five as one batched computation."""

import pytest
import torch

from grokscope.device import keep_memory
from grokscope.discovery import load_plugins
from grokscope.kernels import Picks, picked_sums, picks_of
from grokscope.objective import loss
from grokscope.training.config import resolve_config
from grokscope.training.interventions import interventions
from grokscope.training.optimizers import Optimizer
from grokscope.training.order import Order
from grokscope.training.session import build

SEEDS = range(5)
BATCHED = "batched by bmm"
PLUGINS = load_plugins()


def one_by_one(networks, task, orders, settings):
    """Return a step of each network; it gives the sum of their losses before it."""
    steps = [
        (Optimizer(network, settings), interventions(settings, task, network), order)
        for network, order in zip(networks, orders, strict=True)
    ]

    def step():
        total = 0.0
        for optimizer, beside, order in steps:
            optimizer.zero_grad()
            value = beside.objective(*order.draw())
            value.backward()
            optimizer.step(1.0)
            total += value.item()
        return total

    return step


def batched(networks, task, orders, settings):
    """Return the same step of all at once, of MLPs with one hidden layer."""
    first, last = (
        [torch.nn.Parameter(torch.stack(each)) for each in zip(*map(tensors, layers), strict=True)]
        for layers in zip(*(network.layers for network in networks), strict=True)
    )
    update = torch.optim.SGD if settings["optimizer"] == "sgd" else torch.optim.AdamW
    kind = {"lr": settings["lr"], "weight_decay": settings["weight_decay"], "fused": True}
    beside = {} if settings["optimizer"] == "sgd" else {"betas": settings["betas"]}
    optimizer = update([*first, *last], **kind, **beside)
    drawn = [order.draw() for order in orders] if not settings["batch_size"] else None
    whole = drawn and stacked(drawn)

    def step():
        optimizer.zero_grad()
        inputs, labels = whole or stacked([order.draw() for order in orders])
        values = picked(inputs, first, task.vocabulary) if task.vocabulary else linear(inputs.float(), *first)
        logits = linear(values.relu(), *last)
        total = len(networks) * loss(settings["loss"], logits.flatten(0, 1), labels.flatten())
        total.backward()
        optimizer.step()
        return total.item()

    return step


def stacked(drawn):
    return tuple(torch.stack(each) for each in zip(*drawn, strict=True))


def tensors(layer):
    return [each.detach() for each in (layer.weight, layer.bias) if each is not None]


def linear(values, weight, *bias):
    return values @ weight.mT + sum(each[:, None] for each in bias)


def picked(inputs, first, vocabulary):
    weight, *bias = first
    seeds, _, columns = weight.shape

    def rows():
        places = vocabulary * torch.arange(inputs.shape[2])
        return Picks(
            (inputs + places + columns * torch.arange(seeds)[:, None, None]).flatten(0, 1), seeds * columns
        )

    sums = picked_sums(weight.mT.flatten(0, 1), picks_of(inputs, "seeds", rows))
    return sums.unflatten(0, (seeds, -1)) + sum(each[:, None] for each in bias)


@pytest.mark.parametrize("recipe", ["parity", "permutation", "xor", "clauw"])
def test_seeds(race, recipe):
    task_of = {"clauw": "modadd"}
    config = resolve_config(
        task_of.get(recipe, recipe), recipe=recipe, tasks=PLUGINS.tasks, models=PLUGINS.models
    )
    settings, sides = config["training"], []
    keep_memory()
    for _ in range(2):
        networks = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            task, network, _ = build(config, PLUGINS.tasks, PLUGINS.models)
            networks.append(network)
        orders = [Order(*task.examples("train"), settings["batch_size"], seed) for seed in SEEDS]
        sides.append((networks, task, orders, settings))
    size = settings["batch_size"] or len(task.train)
    race(
        f"a step of five seeds of `{recipe}`, {size} examples of each",
        one_by_one(*sides[0]),
        {BATCHED: batched(*sides[1])},
        within=1e-4,
    )
