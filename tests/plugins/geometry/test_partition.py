"""Local complexity against the authors' counts, and against every vertex run through the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from grokscope_geometry import partition
from grokscope_geometry.partition import local_complexity, random_directions

REFERENCE = np.load(Path(__file__).parent / "reference" / "local_complexity.npz")
LAYERS = [(torch.from_numpy(REFERENCE[f"W{i}"]), torch.from_numpy(REFERENCE[f"b{i}"])) for i in range(3)]
X = torch.from_numpy(REFERENCE["X"])


def directions(vertices: int) -> torch.Tensor:
    return torch.from_numpy(REFERENCE[f"U_n{vertices}"])


@pytest.mark.parametrize("vertices", [10, 26])
@pytest.mark.parametrize("radius", ["0.01", "0.1", "1.0"])
def test_counts_are_the_authors(vertices: int, radius: str) -> None:
    expected = torch.from_numpy(REFERENCE[f"n_inters_n{vertices}_r{radius}"]).long()
    found = local_complexity(LAYERS, X, directions(vertices), float(radius))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_counts_are_those_of_the_vertices() -> None:
    generator = torch.Generator().manual_seed(0)
    layers = [(w.double(), b.double()) for w, b in LAYERS]
    u = random_directions(4, 30, generator).double()
    found = local_complexity(layers, X.double(), u, 0.3)
    for x, counts in zip(X.double(), found, strict=True):
        values = torch.cat([x + 0.3 * u, x - 0.3 * u])
        for (weight, bias), count in zip(layers[:-1], counts, strict=True):
            pre = values @ weight.T + bias
            assert int(((pre > 0).any(dim=0) & (pre < 0).any(dim=0)).sum()) == count
            values = pre.relu()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = local_complexity(LAYERS, X, directions(10), 0.1)
    monkeypatch.setattr(partition, "CHUNK_VALUES", 1000)
    monkeypatch.setattr(partition, "EXAMPLES", 3)
    torch.testing.assert_close(local_complexity(LAYERS, X, directions(10), 0.1), whole, atol=0, rtol=0)


@pytest.mark.parametrize("radius", [0.01, 0.1, 1.0])
def test_the_second_layer_needs_no_vertices(monkeypatch: pytest.MonkeyPatch, radius: float) -> None:
    layers = [(w.double(), b.double()) for w, b in LAYERS]
    counts = []
    for many in (-1.0, 2.0):  # all by vertices, none
        monkeypatch.setattr(partition, "MANY", many)
        counts.append(local_complexity(layers, X.double(), directions(26).double(), radius))
    assert counts[0].sum() > 0
    torch.testing.assert_close(*counts, atol=0, rtol=0)


def test_a_third_layer_is_seen_from_the_vertices() -> None:
    deeper = [*LAYERS[:2], (torch.eye(len(LAYERS[1][0])), None), LAYERS[2]]
    counts = local_complexity(deeper, X, directions(10), 0.1)
    torch.testing.assert_close(counts[:, :2], local_complexity(LAYERS, X, directions(10), 0.1))
    assert counts[:, 2].tolist() == counts[:, 1].tolist()  # ReLU's zero and what is above it are two sides


def test_permuted_units_and_growing_radius() -> None:
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    (w0, b0), (w1, b1), last = LAYERS
    shuffled = [(w0[order], b0[order]), (w1[:, order], b1), last]
    counts = local_complexity(LAYERS, X, directions(26), 0.1)
    torch.testing.assert_close(local_complexity(shuffled, X, directions(26), 0.1), counts, atol=0, rtol=0)
    wider = local_complexity(LAYERS, X, directions(26), 0.2)
    assert (wider[:, 0] >= counts[:, 0]).all()


def test_one_fold_is_seen_from_its_distance() -> None:
    layers = [(torch.tensor([[1.0, 0.0]]), torch.tensor([-1.0])), (torch.ones(1, 1), None)]
    x, axes = torch.tensor([[0.5, 0.0], [0.95, 3.0], [1.2, 0.0]]), torch.eye(2)
    assert local_complexity(layers, x, axes, 0.1).flatten().tolist() == [0, 1, 0]
    assert local_complexity(layers, x, axes, 0.6).flatten().tolist() == [1, 1, 1]


def test_directions_are_orthonormal_and_seeded() -> None:
    u = random_directions(25, 194, torch.Generator().manual_seed(3))
    torch.testing.assert_close(u @ u.T, torch.eye(25), atol=1e-6, rtol=0)
    again = random_directions(25, 194, torch.Generator().manual_seed(3))
    torch.testing.assert_close(u, again, atol=0, rtol=0)
