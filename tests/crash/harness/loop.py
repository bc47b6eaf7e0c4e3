"""A loop of somebody's own that records its run, measures it, and goes on where the recording ended.

`record N` is a command of the harness, run by its server as grokscope's are: N steps, all of which the loop
takes anew and of which it records those that are not there.
"""

import sys

import torch
from torch import nn
from torch.nn import functional as F

import grokscope


def main():
    steps = int(sys.argv[2])
    torch.manual_seed(0)
    inputs = torch.randn(12, 4)
    labels = (inputs[:, 0] > 0).long()
    network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.2), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    data = inputs, labels
    with grokscope.record("run", model=network, train=data, test=data, checkpoint_every=2) as recorder:
        recorded = -1 if recorder.last_step is None else recorder.last_step
        for step in range(1, steps + 1):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            if step > recorded:
                recorder.log(train_loss=loss)
                recorder.step(step)
            if step == 2:
                recorder.measure("weight_norm")
    recorder.measure("weight_norm")


def command():
    """As a careful script does it: what grokscope says of an error, and no traceback of it."""
    try:
        main()
    except grokscope.GrokscopeError as error:
        print(f"loop: {error}", file=sys.stderr)
        sys.exit(1)
