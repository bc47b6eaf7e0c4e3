"""The measure `abelian`: which pairs count where, symmetric networks, loops, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from grokscope.errors import MeasureError, NotApplicable
from grokscope.models.mlp import MLP
from grokscope.models.network import Network
from grokscope.probe import NoiseSource, Probe
from grokscope.tasks.task import Task
from grokscope_abelian.measures import abelian

SETS = ("train", "test", "train_only_test")


class Table(Network):
    """A network whose logits at (a, b) are an entry of a table, (p, p, K)."""

    kind, hidden = "table", ()

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(logits)
        self.outputs = logits.shape[2]
        self.traced = 0

    def encode(self, inputs):
        return inputs.float()

    def trace(self, encoded):
        self.traced += 1
        a, b = encoded.long().unbind(dim=1)
        return {"logits": self.table[a, b]}


def pairs_task(p: int, train: torch.Tensor, test: torch.Tensor) -> Task:
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    return Task("modadd", "modular", pairs, pairs.sum(1) % p, p, train, test, vocabulary=p, symmetric=True)


def random_task(p: int, training: int, seed: int = 0) -> Task:
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    return pairs_task(p, order[:training], order[training:])


def probe_of(network: Network, task: Task) -> Probe:
    noise = NoiseSource("test")
    return Probe(step=0, task=task, model=network, weights={}, loss_name="cross_entropy", noise=noise)


def rows(probe: Probe):
    return {row.labels[0]: dict(row.values) for row in abelian.collect(abelian(probe))}


def random_table(p: int, classes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(p, p, classes, generator=torch.Generator().manual_seed(seed))


def test_by_hand():
    """p = 3; trained: (0,1), (1,0), (0,2), (1,1); tested: (2,0), (1,2), (2,1), (0,0), (2,2).

    (0,1) and (1,0) disagree at distance 2; (0,2) and (2,0) agree at distance 9; (1,2) and (2,1) agree at 0.
    """
    table = torch.zeros(3, 3, 2)
    table[0, 1] = torch.tensor([1.0, 0.0])
    table[1, 0] = torch.tensor([0.0, 1.0])
    table[0, 2] = torch.tensor([0.0, 4.0])
    table[2, 0] = torch.tensor([0.0, 1.0])
    table[1, 1] = torch.tensor([100.0, 0.0])
    index = {pair: 3 * pair[0] + pair[1] for pair in [(a, b) for a in range(3) for b in range(3)]}
    train = torch.tensor([index[pair] for pair in [(0, 1), (1, 0), (0, 2), (1, 1)]])
    test = torch.tensor([index[pair] for pair in [(2, 0), (1, 2), (2, 1), (0, 0), (2, 2)]])
    found = rows(probe_of(Table(table), pairs_task(3, train, test)))
    assert found["train"] == {
        "agreement": pytest.approx(1 / 3),
        "logit_distance": pytest.approx((2 + 2 + 9) / 3),
    }
    assert found["test"] == {"agreement": 1, "logit_distance": pytest.approx(9 / 3)}
    assert found["train_only_test"] == {"agreement": 1, "logit_distance": 9}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_equals_loops_over_pairs(seed, classes):
    p = 9
    table, task = random_table(p, classes, seed), random_task(p, 33, seed)
    found = rows(probe_of(Table(table), task))
    split = {tuple(task.inputs[i].tolist()): "train" for i in task.train.tolist()}
    split |= {tuple(task.inputs[i].tolist()): "test" for i in task.test.tolist()}

    def answer(a, b):
        return int(table[a, b, 0] > 0) if classes == 1 else int(table[a, b].argmax())

    for name in SETS:
        agreements, distances = [], []
        for (a, b), own in split.items():
            counts = own == name or (name == "train_only_test" and own == "train" and split[b, a] == "test")
            if a != b and counts:
                agreements.append(answer(a, b) == answer(b, a))
                distances.append(
                    sum((table[a, b, k].item() - table[b, a, k].item()) ** 2 for k in range(classes))
                )
        assert found[name]["agreement"] == pytest.approx(sum(agreements) / len(agreements))
        assert found[name]["logit_distance"] == pytest.approx(sum(distances) / len(distances), rel=1e-12)


def test_a_network_that_treats_both_operands_alike_is_symmetric():
    torch.manual_seed(0)
    network = MLP(inputs=26, hidden=(24,), outputs=13, vocabulary=13)
    task = random_task(13, 70)
    assert rows(probe_of(network, task))["train_only_test"]["agreement"] < 1
    with torch.no_grad():
        network.layers[0].weight[:, 13:] = network.layers[0].weight[:, :13]
    for row in rows(probe_of(network, task)).values():
        assert row["agreement"] == 1
        assert row["logit_distance"] == pytest.approx(0, abs=1e-10)


def test_swapping_the_operands_of_the_network_changes_nothing():
    """f'(a, b) = f(b, a) has the same pairs of answers, so every number stays."""
    table, task = random_table(8, 8), random_task(8, 30)
    swapped = table.transpose(0, 1).contiguous()
    found, mirrored = (rows(probe_of(Table(logits), task)) for logits in (table, swapped))
    for name in SETS:
        assert mirrored[name] == pytest.approx(found[name])


def test_half_trained_pairs_are_the_same_seen_from_either_side():
    """Exchanging train and test exchanges the rows and keeps `train_only_test`."""
    table, task = random_table(8, 8), random_task(8, 30)
    found = rows(probe_of(Table(table), task))
    exchanged = rows(probe_of(Table(table), replace(task, train=task.test, test=task.train)))
    assert exchanged["train"] == found["test"]
    assert exchanged["test"] == found["train"]
    assert exchanged["train_only_test"] == pytest.approx(found["train_only_test"])


def test_scaling_the_logits_keeps_agreement_and_squares_into_distance():
    table, task = random_table(8, 8), random_task(8, 30)
    found, scaled = (rows(probe_of(Table(factor * table), task)) for factor in (1, 4))
    for name in SETS:
        assert scaled[name]["agreement"] == found[name]["agreement"]
        assert scaled[name]["logit_distance"] == pytest.approx(16 * found[name]["logit_distance"])


def test_sets_without_pairs_are_missing():
    found = rows(probe_of(Table(random_table(5, 5)), random_task(5, 25)))
    assert math.isfinite(found["train"]["agreement"])
    assert math.isnan(found["test"]["agreement"])
    assert math.isnan(found["test"]["logit_distance"])
    assert math.isnan(found["train_only_test"]["agreement"])


def test_pairs_whose_mirror_image_is_no_example_are_left_out():
    """Inputs (0,1), (1,0), (0,2): only the first two have their mirror image."""
    inputs = torch.tensor([[0, 1], [1, 0], [0, 2]])
    task = Task(
        "part",
        "modular",
        inputs,
        inputs.sum(1) % 3,
        3,
        torch.tensor([0, 2]),
        torch.tensor([1]),
        3,
        symmetric=True,
    )
    table = random_table(3, 3)
    distance = (table[0, 1] - table[1, 0]).double().square().sum().item()
    found = rows(probe_of(Table(table), task))
    assert [found[name]["logit_distance"] for name in SETS] == pytest.approx([distance] * 3)


def test_the_forward_pass_is_shared():
    network = Table(random_table(5, 5))
    probe = probe_of(network, random_task(5, 12))
    probe.logits("all")
    passes = network.traced
    rows(probe)
    assert network.traced == passes


def test_refuses_tasks_that_declare_no_symmetric_pairs():
    task = random_task(5, 12)
    network = Table(random_table(5, 5))
    with pytest.raises(NotApplicable, match="does not declare its operation symmetric"):
        rows(probe_of(network, replace(task, symmetric=False)))
    triples = torch.cat([task.inputs, task.inputs[:, :1]], dim=1)
    with pytest.raises(NotApplicable, match="about pairs of tokens"):
        rows(probe_of(network, replace(task, inputs=triples)))
    with pytest.raises(NotApplicable, match="about pairs of tokens"):
        rows(probe_of(network, replace(task, inputs=task.inputs.float(), vocabulary=0)))


def test_refuses_logits_that_are_no_numbers():
    table = random_table(5, 5)
    table[1, 2, 3] = math.nan
    with pytest.raises(MeasureError, match="must be finite"):
        rows(probe_of(Table(table), random_task(5, 12)))
