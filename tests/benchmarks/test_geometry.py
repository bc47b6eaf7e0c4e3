"""Local complexity beside the authors' way, a step of Langevin sampling beside devinterp's."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import pytest
import torch

from grokscope.models.factories import mlp
from grokscope.tasks import modadd
from grokscope.testing import probe_of
from grokscope_geometry.functional import effective_rank
from grokscope_geometry.landscape import _batch_loss
from grokscope_geometry.partition import Layers, local_complexity, random_directions
from grokscope_geometry.sgld import sgld_losses

RADIUS = 0.005


def network(*widths: int) -> Layers:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(out, into, generator=generator) / math.sqrt(into), torch.zeros(out))
        for into, out in pairwise(widths)
    ]


def plain(layers: Layers, inputs: torch.Tensor, directions: torch.Tensor, radius: float) -> torch.Tensor:
    """As the definition reads, and as the authors' code does it, 16 examples at a time."""
    counts = []
    for x in inputs.split(16):
        hull = torch.cat([x[:, None] + radius * directions, x[:, None] - radius * directions], dim=1)
        values, found = hull.flatten(0, 1), []
        for weight, bias in layers[:-1]:
            pre = torch.nn.functional.linear(values, weight, bias)
            signs = pre.sign().reshape(len(x), -1, len(weight))
            found.append((signs[:, 1:] != signs[:, :1]).any(dim=1).sum(dim=1))
            values = pre.relu()
        counts.append(torch.stack(found, dim=1))
    return torch.cat(counts)


CASES = {"clauw": ((194, 250, 97), 26), "mnist": ((784, 200, 200, 10), 40)}
PLAIN = "plain: every vertex through the network, as the authors' code does it"


@pytest.mark.parametrize("case", CASES)
def test_local_complexity(race, case: str) -> None:
    """Pre-activations within rounding of zero at a vertex may fall on either side: sums are compared."""
    widths, many = CASES[case]
    layers, generator = network(*widths), torch.Generator().manual_seed(1)
    inputs = torch.rand(960, widths[0], generator=generator)
    directions = random_directions(many, widths[0], generator)
    race(
        f"local_complexity of {'-'.join(map(str, widths))}, 960 examples, {many} directions",
        lambda: local_complexity(layers, inputs, directions, RADIUS).sum(dim=0),
        {PLAIN: lambda: plain(layers, inputs, directions, RADIUS).sum(dim=0)},
        within=2e-2,
        targets={PLAIN: 5},
    )


DRAWS = 10


@pytest.mark.parametrize("batch", [512, 3763], ids=["batch", "full"])
def test_langevin(race, batch: int) -> None:
    """Steps of `llc` on `clauw`, so small that the noise of either chain hardly moves the mean loss."""
    sampler = pytest.importorskip("devinterp.slt.sampler")
    from devinterp.optim.sgld import SGLD
    from devinterp.slt.llc import LLCEstimator

    task = modadd.build(p=97, train_fraction=0.4)
    torch.manual_seed(0)
    network = mlp.build(task, hidden=[250], last_bias=False)
    probe = probe_of(network, task)
    inputs, labels = network.encode(task.examples("train")[0]), task.examples("train")[1]
    module = torch.nn.Sequential(
        torch.nn.Linear(194, 250), torch.nn.ReLU(), torch.nn.Linear(250, 97, bias=False)
    )
    module.load_state_dict(
        {
            name.replace("layers.1", "2").replace("layers.0", "0"): w
            for name, w in network.state_dict().items()
        }
    )
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(inputs, labels), batch_size=batch, shuffle=True
    )
    start = torch.cat([weight.detach().flatten() for weight in probe.weights.values()])

    def ours() -> float:
        rng = torch.Generator().manual_seed(0)
        loss = _batch_loss(probe, rng, batch)
        return sgld_losses(
            loss, start, epsilon=1e-6, gamma=5.0, nbeta=2.0, draws=DRAWS, burn_in=0, generator=rng
        ).mean()

    def theirs() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = LLCEstimator(num_chains=1, num_draws=DRAWS, nbeta=2.0, init_loss=0.0)
            sampler.sample(
                module,
                loader,
                callbacks=[kept],
                evaluate=lambda model, data: torch.nn.functional.cross_entropy(model(data[0]), data[1]),
                sampling_method=SGLD,
                optimizer_kwargs={"lr": 1e-6, "localization": 5.0, "nbeta": 2.0},
                num_draws=DRAWS,
                num_chains=1,
                init_loss=0.0,
                verbose=False,
                seed=0,
            )
        return kept.get_results()["loss/trace"].mean()

    race(
        f"{DRAWS} steps of `llc` on `clauw`, {'batches of 512' if batch == 512 else 'the full batch'}",
        ours,
        {"devinterp": theirs},
        within=0.05,
        targets={"devinterp": 2.5},
    )


@pytest.mark.parametrize("shape", [(250, 194), (512, 128)])
def test_effective_rank(benchmark, shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    benchmark.group = "effective_rank"
    assert benchmark(effective_rank, matrix) > 1
