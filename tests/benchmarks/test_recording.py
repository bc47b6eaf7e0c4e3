"""What a recorder costs a loop where nothing is written; compare the rows of each group.

The first group is a step of Clauw et al.'s network, full batch, with and without; the second the recorder's
part alone, which is what disappears in the noise of the first.
"""

import pytest
import torch
from torch.nn import functional as F

import grokscope
from grokscope.models.factories import mlp
from grokscope.tasks import modadd


class Training:
    """A loop, and a recorder of it that writes at its first step alone."""

    def __init__(self, out):
        task = modadd.build(p=97, train_fraction=0.4)
        self.network = mlp.build(task, hidden=[250], last_bias=False)
        self.train = task.examples("train")
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-3, fused=True)
        self.step, self.recorder = (
            1,
            grokscope.record(
                out, model=self.network, train=self.train, test=task.examples("test"), checkpoint_every="1,2"
            ),
        )
        self.recorder.step(1)
        self.recorder.step(2)

    def update(self):
        self.step += 1
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.network(self.train[0]), self.train[1])
        loss.backward()
        self.optimizer.step()
        return loss

    def recorded(self):
        self.recorder.log(train_loss=self.update())
        self.recorder.step(self.step + 2)

    def told(self):
        self.step += 1
        self.recorder.log(train_loss=1.0)
        self.recorder.step(self.step + 2)


@pytest.mark.benchmark(group="a step")
@pytest.mark.parametrize("name", ["update", "recorded"])
def test_step(benchmark, tmp_path, name):
    benchmark.pedantic(getattr(Training(tmp_path / "run"), name), rounds=60, warmup_rounds=5)


@pytest.mark.benchmark(group="the recorder's part of it")
def test_told(benchmark, tmp_path):
    benchmark.pedantic(Training(tmp_path / "run").told, rounds=200, iterations=50, warmup_rounds=2)
