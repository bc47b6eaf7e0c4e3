"""Seven kinds of plain modules, small enough for brute force, and tasks for them."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokscope.models import MODELS
from grokscope.models.network import Network
from grokscope.models.plain import Plain
from grokscope.probe import Probe
from grokscope.tasks import modadd, polynomial
from grokscope.tasks.task import IGNORED, Task
from grokscope.testing import probe_of

N, TRAIN, T, VOCABULARY = 24, 16, 5, 6


@dataclass(frozen=True)
class Own:
    """A kind of network: what makes it, and the task that it is for."""

    make: Callable[[], nn.Module]
    task: Task
    loss: str = "cross_entropy"

    def network(self, **view) -> Plain:
        torch.manual_seed(0)
        return Plain(self.make(), self.task.inputs, self.task.labels, **view)

    def probe(self, **view) -> Probe:
        return probe_of(self.network(**view), self.task, loss=self.loss)


@dataclass(frozen=True)
class BuiltIn:
    """A network of grokscope's own, and the small task that it is for."""

    model: str
    task: Task
    settings: dict
    loss: str = "cross_entropy"

    def network(self) -> Network:
        torch.manual_seed(0)
        network = MODELS[self.model].build(self.task, **self.settings)
        with torch.no_grad():
            for weight in network.parameters():  # biases at zero and norms at one would hide themselves
                weight.add_(0.1 * torch.randn_like(weight))
        return network

    def probe(self) -> Probe:
        return probe_of(self.network(), self.task, loss=self.loss)


def task(inputs: torch.Tensor, labels: torch.Tensor) -> Task:
    numbers = labels.is_floating_point()
    return Task(
        name="test:data",
        kind="own",
        inputs=inputs,
        labels=labels,
        classes=0 if numbers else int(labels.max()) + 1,
        train=torch.arange(TRAIN),
        test=torch.arange(TRAIN, N),
        vocabulary=0 if inputs.is_floating_point() else VOCABULARY,
    )


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def pictures() -> Task:
    return task(drawn(N, 1, 4, 4), torch.arange(N) % 3)


def vectors() -> Task:
    return task(drawn(N, 5), torch.arange(N) % 3)


def sentences() -> Task:
    tokens = torch.randint(0, VOCABULARY, (N, T), generator=torch.Generator().manual_seed(3))
    following = tokens.roll(-1, dims=1)
    following[:, -1] = IGNORED
    return task(tokens, following)


def series() -> Task:
    return task(drawn(N, T, 2), drawn(N, 2))


def cnn() -> nn.Module:
    norm = nn.BatchNorm2d(2)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), norm, nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(), nn.Linear(8, 3)
    )


class Residual(nn.Module):
    """Functional ReLUs, a sum in place, and a part that is called like what a Network has."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.hidden = nn.Linear(2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        y = self.norm(self.conv(x))
        y += x
        return self.hidden(F.relu(y).mean(dim=(2, 3)))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU(), nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3)
    )


class Block(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Two pre-LN blocks on all tokens, the unembedding tied to the embedding."""

    def __init__(self, d: int = 4) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(VOCABULARY, d), nn.Embedding(T, d)
        self.blocks = nn.Sequential(Block(d), Block(d))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, VOCABULARY, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens) + self.position(torch.arange(tokens.shape[1]))
        return self.head(self.norm(self.blocks(x)))


class Regressor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Mixer(nn.Module):
    def __init__(self, places: int = 4, d: int = 4) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, d, 2, stride=2)
        self.tokens = nn.Sequential(nn.Linear(places, 5), nn.GELU(), nn.Linear(5, places))
        self.channels = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 5), nn.GELU(), nn.Linear(5, d))
        self.head = nn.Linear(d, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2)
        x = (x + self.tokens(x)).transpose(1, 2)
        return self.head((x + self.channels(x)).mean(dim=1))


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(6, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )


OWN = {
    "cnn": Own(cnn, pictures()),
    "residual": Own(Residual, pictures()),
    "mlp": Own(mlp, vectors()),
    "gpt": Own(GPT, sentences()),
    "lstm": Own(Regressor, series(), "mse"),
    "mixer": Own(Mixer, pictures()),
    "chain": Own(chain, pictures()),
}


SMALL = {"d_model": 4, "heads": 2, "d_head": 2, "d_mlp": 5}
BUILT = {
    "one block, rms": BuiltIn(
        "transformer", modadd.build(p=5), {**SMALL, "norm": "rms", "activation": "gelu"}
    ),
    "two blocks, layer, tied": BuiltIn(
        "transformer", modadd.build(p=5), {**SMALL, "layers": 2, "norm": "layer", "tied": True}
    ),
    "committee": BuiltIn(
        "committee",
        polynomial.build(dimension=5, train_size=16, test_size=8),
        {"units": 6, "epsilon": 0.5},
        "mse",
    ),
    "built cnn": BuiltIn("cnn", pictures(), {"channels": (2, 3), "hidden": (4,)}),
}


@pytest.fixture(scope="session")
def built() -> dict[str, BuiltIn]:
    """Return kinds of grokscope's own networks by name."""
    return BUILT


@pytest.fixture(scope="session")
def own() -> dict[str, Own]:
    """Return the kinds of networks by name."""
    return OWN


@pytest.fixture(params=OWN, scope="session")
def kind(request: pytest.FixtureRequest) -> Own:
    """Return each kind of network."""
    return OWN[request.param]
