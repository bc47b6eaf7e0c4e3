"""Two processes that train one network together and record it; run by test_ranks.py.

Arguments: the folder for everything, `ddp`, `fsdp` or `fsdp1`, the rank.
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

import grokscope

folder, kind, rank = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
torch.manual_seed(0)
inputs = torch.randn(32, 6)
data = inputs, (inputs[:, 0] > 0).long()
network = nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 2))
if kind == "ddp":
    trained = nn.parallel.DistributedDataParallel(network)
elif kind == "fsdp":
    from torch.distributed.fsdp import fully_shard

    trained = fully_shard(network)
else:
    from torch.distributed.fsdp import FullyShardedDataParallel

    trained = FullyShardedDataParallel(network, use_orig_params=True, device_id=torch.device("cpu"))
    try:
        grokscope.record(folder / "inside", model=network, train=data, test=data)
    except grokscope.UsageError as error:
        assert "inside FullyShardedDataParallel" in str(error)  # noqa: PT017 - no pytest in these processes
    else:
        raise AssertionError("what lies inside a wrapper that spreads parameters was taken for a network")


def whole_state(trained, network):
    """The network's state dict by torch's own hand."""
    if kind == "fsdp1":
        from torch.distributed.fsdp import FullyShardedDataParallel as Wrapper

        with Wrapper.summon_full_params(trained, writeback=False):
            return {name: value.detach().clone() for name, value in network.state_dict().items()}
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in network.state_dict().items()
    }


optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
mine = slice(rank * 16, rank * 16 + 16)
states, said = {}, []
options = {"model": trained, "train": data, "test": data, "checkpoint_every": "3", "notify": said.append}
with grokscope.record(folder / "run", **options) as recorder:
    assert (recorder.run is None) == (rank == 1)
    assert recorder.last_step is None
    for step in range(1, 8):
        optimizer.zero_grad()
        F.cross_entropy(trained(data[0][mine]), data[1][mine]).backward()
        optimizer.step()
        recorder.step(step)
        whole = whole_state(trained, network)
        states[step] = whole
assert recorder.last_step == 7
with grokscope.record(folder / "run", **options) as recorder:
    assert recorder.last_step == 7
    recorder.step(7)
if rank == 0:
    torch.save({"states": states, "said": said}, folder / "expected.pt")
dist.destroy_process_group()
sys.stderr.flush()
os._exit(0)  # torch's threads abort one process in fifteen as the interpreter ends, without grokscope too
