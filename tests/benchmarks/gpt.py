"""A GPT of two layers, and sequences most of whose tokens follow a rule."""

import math

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY, LENGTH, SEQUENCES = 32, 25, 2000


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / math.sqrt(width // self.heads)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        reads = scores.masked_fill(future, -math.inf).softmax(dim=-1)
        x = x + self.out((reads @ v).transpose(1, 2).reshape(n, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Logits of the next token at every place, (n * places, tokens)."""

    def __init__(self, width=64, heads=4, layers=2):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.embed(tokens) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).flatten(0, 1)


def sequences():
    """Return tokens (n, places) and the next of each: the sum of the last two, but for one in ten."""
    draw = torch.Generator().manual_seed(0)
    made = list(torch.randint(VOCABULARY, (2, SEQUENCES), generator=draw))
    for _ in range(LENGTH - 1):
        drawn = torch.randint(VOCABULARY, (SEQUENCES,), generator=draw)
        noise = torch.rand(SEQUENCES, generator=draw) < 0.1
        made.append(torch.where(noise, drawn, (made[-1] + made[-2]) % VOCABULARY))
    whole = torch.stack(made, dim=1)
    return whole[:, :-1], whole[:, 1:]


def trained(steps=150):
    torch.manual_seed(0)
    network, (inputs, labels) = GPT(), sequences()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(steps):
        chosen = torch.randint(SEQUENCES, (64,))
        optimizer.zero_grad()
        F.cross_entropy(network(inputs[chosen]), labels[chosen].flatten()).backward()
        optimizer.step()
    return network.eval()
