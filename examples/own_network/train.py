"""A training loop that knows nothing of grokscope: state dicts by torch.save, a file per checkpoint."""

from pathlib import Path

import mine
import torch
from torch.nn import functional as F

torch.manual_seed(0)
net, ((x, y), _) = mine.net(), mine.digits()
optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
Path("checkpoints").mkdir(exist_ok=True)
for step in range(201):
    if step % 50 == 0:
        torch.save(net.state_dict(), f"checkpoints/step_{step}.pt")
    chosen = torch.randint(0, len(x), (64,))
    optimiser.zero_grad()
    F.cross_entropy(net(x[chosen]), y[chosen]).backward()
    optimiser.step()
