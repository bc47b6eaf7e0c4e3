"""What the smaller side, the values-only decomposition and sharing are worth, beside the formula as written.

The last group is five measures, each on a probe of its own and all on one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grokscope.models import MODELS
from grokscope.probe import Probe
from grokscope.tasks import TASKS
from grokscope.testing import probe_of
from grokscope_matrix_information.functional import gram, matrix_entropy, mutual_information
from grokscope_matrix_information.measures import ed, mid, pe, pmi, pmi_label


def drawn(n: int, d: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(d))


def plain_entropy(matrix: torch.Tensor) -> torch.Tensor:
    eigenvalues = torch.linalg.eigh(matrix / len(matrix)).eigenvalues.clamp(min=0)
    return -torch.xlogy(eigenvalues, eigenvalues).sum()


def plain_information(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    r1, r2 = gram(first), gram(second)
    return plain_entropy(r1) + plain_entropy(r2) - plain_entropy(r1 * r2)


PLAIN = "plain: n x n eigh"


@pytest.mark.parametrize("width", [10, 200])
def test_entropy(race: Any, width: int) -> None:
    features = drawn(1000, width)
    race(
        f"matrix entropy, n = 1000, d = {width}",
        lambda: matrix_entropy(features),
        {PLAIN: lambda: plain_entropy(gram(features))},
        within=1e-9,
    )


@pytest.mark.parametrize(("shape", "wanted"), [((200, 250, 97), None), ((1000, 200, 10), 5.0)], ids=str)
def test_information(race: Any, shape: tuple[int, int, int], wanted: float | None) -> None:
    first, second = drawn(*shape[:2]), drawn(shape[0], shape[2])
    race(
        f"matrix mutual information, n = {shape[0]}, d = {shape[1]} and {shape[2]}",
        lambda: mutual_information(first, second),
        {PLAIN: lambda: plain_information(first, second)},
        within=1e-9,
        targets={} if wanted is None else {PLAIN: wanted},
    )


@pytest.fixture(scope="module")
def checkpoint() -> Probe:
    task = TASKS["modadd"].build(p=97)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        probe = probe_of(MODELS["mlp"].build(task, hidden=(250,), last_bias=False), task)
    probe.logits("train", 0.4), probe.logits("train")
    return probe


@pytest.mark.parametrize("sharing", ["a probe each", "one probe"])
def test_family(benchmark: Any, checkpoint: Probe, sharing: str) -> None:
    """All five measures of one checkpoint, 3763 pairs; the forward passes are done before."""
    benchmark.group = "family"

    def fresh() -> Probe:
        probe = probe_of(checkpoint.model, checkpoint.task)
        probe.trace = checkpoint.trace  # type: ignore[method-assign]
        return probe

    def measured() -> list[Any]:
        probe = fresh()
        return [m(probe if sharing == "one probe" else fresh()) for m in (pe, pmi, ed, mid, pmi_label)]

    rows = benchmark(measured)
    assert rows[0]["zero_rows"] == 0
