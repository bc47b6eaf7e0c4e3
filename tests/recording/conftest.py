"""A loop of somebody's own, to be recorded: a small network with dropout and BatchNorm on invented data."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import grokscope


def examples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 6, generator=generator)
    return inputs, (inputs[:, 0] * inputs[:, 1] > 0).long()


TRAIN, TEST = examples(64, 1), examples(40, 2)
SPLITS = {"train": TRAIN, "test": TEST}


class Training:
    """The loop: `states` has the network's state after every step, 0 among them."""

    def __init__(self, seed=0, dtype=torch.float32):
        torch.manual_seed(seed)
        layers = [nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2)]
        self.network = nn.Sequential(*layers).to(dtype)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-2)
        self.states = {0: self.state()}

    def state(self):
        return copy.deepcopy(self.network.state_dict())

    def update(self, step):
        chosen = torch.randint(0, 64, (16,))
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(TRAIN[0][chosen].to(self.network[0].weight)), TRAIN[1][chosen])
        loss.backward()
        self.optimizer.step()
        self.states[step] = self.state()
        return loss

    def examples(self, split):
        return SPLITS[split]

    def record(self, out, **given):
        return grokscope.record(out, **{"model": self.network, "train": TRAIN, "test": TEST, **given})

    def go(self, recorder, start, stop):
        for step in range(start, stop + 1):
            self.update(step)
            recorder.step(step)


@pytest.fixture
def training():
    return Training()


@pytest.fixture
def again():
    """Make the same training anew, or that of another seed."""
    return Training


@pytest.fixture
def said():
    """What a recorder says: `record(..., notify=said.append)`."""
    return []


@pytest.fixture(scope="session")
def again_for_all():
    """As `again`, for fixtures that many tests share."""
    return Training
