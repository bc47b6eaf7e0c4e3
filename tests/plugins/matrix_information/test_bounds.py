"""At alpha = 2, ed and mid are bounded by how far the noise moves a layer: on networks trained for real.

Tan & Huang 2023 bound both (theorems B.9 and B.12); the inequalities tested are derived here. Z holds unit
rows, R = Z Z^T has a diagonal of ones, so ||R||_F >= sqrt(n), and H_2(R) = 2 log n - 2 log ||R||_F gives

    |H_2(R) - H_2(R')| <= 2 | ||R||_F - ||R'||_F | / min(||R||_F, ||R'||_F) <= 2 ||R - R'||_F / sqrt(n).  (1)

||R - R'||_F <= (||Z||_2 + ||Z'||_2) ||Z - Z'||_F <= 2 sqrt(n) ||Z - Z'||_F, and the Dunkl-Williams inequality
||z - z'|| <= 2 ||f - f'|| / (||f|| + ||f'||) leads on to the perturbation error sum_i ||f_i - f'_i||^2. (2)
Entries are at most 1, so ||R1 o R2 - R1' o R2'||_F <= ||R1 - R1'||_F + ||R2 - R2'||_F, and (1) three times:

    |I_2 - I_2'| <= 4 (||R1 - R1'||_F + ||R2 - R2'||_F) / sqrt(n).  (3)

So 4 ||Z - Z'||_F bounds ED and 8 times the sum of both layers' bounds MID; the paper's lemmas B.8 and B.11
have 8 and 16 times sum_i ||z_i - z'_i||, which is more. Its theorems have f(x_i) for z_i, which is not so.
"""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch

from grokscope.probe import Probe
from grokscope.testing import example_probe, probe_of
from grokscope_matrix_information.functional import gram, matrix_entropy, mutual_information, unit_rows
from grokscope_matrix_information.measures import ed, mid

SIGMAS = [0.003, 0.04, 0.4, 2.0]


@pytest.fixture(scope="module")
def probes(trained_probes: list[Probe]) -> list[Probe]:
    """Checkpoints of a training run, and examples of other networks and tasks."""
    return [*trained_probes, example_probe("transformer"), example_probe(task="images", loss="mse")]


def of_one_batch(subject: object, probe: Probe, split: str, sigma: float) -> float:
    size = len(probe.labels(split))
    return subject(probe, alpha=2.0, sigma=sigma, split=split, batch_size=size)[subject.name]  # type: ignore


def moved(probe: Probe, layer: str, split: str, sigma: float) -> float:
    """||R - R'||_F / sqrt(n) of a layer."""
    noised, clean = probe.trace(split, sigma)[layer], probe.trace(split)[layer]
    return ((gram(noised) - gram(clean)).norm() / math.sqrt(len(clean))).item()


def test_the_run_is_trained(trained_probes: list[Probe]) -> None:
    assert trained_probes[0].accuracy("train") < 0.2
    assert trained_probes[-1].accuracy("train") > 0.9


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_ed_is_bounded(probes: list[Probe], sigma: float, split: str) -> None:
    for probe in probes:
        value = of_one_batch(ed, probe, split, sigma)
        noised, clean = (probe.logits(split, s).double() for s in (sigma, 0.0))
        by_rows = 4 * (unit_rows(noised) - unit_rows(clean)).norm().item()
        least = ((noised.norm(dim=1) + clean.norm(dim=1)) / 2).min().item()
        by_perturbation = 4 * (noised - clean).norm().item() / least
        assert value <= 2 * moved(probe, "logits", split, sigma) <= by_rows <= by_perturbation


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_mid_is_bounded(probes: list[Probe], sigma: float, split: str) -> None:
    for probe in probes:
        value = of_one_batch(mid, probe, split, sigma)
        bound = 4 * (moved(probe, "first", split, sigma) + moved(probe, "logits", split, sigma))
        by_rows = sum(
            8 * (unit_rows(probe.trace(split, sigma)[layer]) - unit_rows(probe.trace(split)[layer])).norm()
            for layer in ("first", "logits")
        )
        assert value <= bound <= by_rows


def test_the_bounds_say_something(probes: list[Probe]) -> None:
    """At small noise they are below log n, which bounds any entropy; and ed comes within a factor of 20."""
    for probe in probes:
        ceiling = math.log(len(probe.labels("train")))
        assert 8 * (moved(probe, "logits", "train", 0.003) + moved(probe, "first", "train", 0.003)) < ceiling
    shares = [of_one_batch(ed, p, "train", 0.4) / (2 * moved(p, "logits", "train", 0.4)) for p in probes]
    assert max(shares) > 0.05
    assert torch.tensor(shares).isfinite().all()


def rows_moved(first: torch.Tensor, second: torch.Tensor) -> tuple[float, float]:
    """(||Z - Z'||_F, sum_i ||z_i - z'_i||) of rows scaled to length one."""
    change = unit_rows(first) - unit_rows(second)
    return change.norm().item(), change.norm(dim=1).sum().item()


def layers_moved(probe: Probe, layer: str, split: str, sigma: float) -> tuple[float, float]:
    return rows_moved(probe.trace(split, sigma)[layer], probe.trace(split)[layer])


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 10.0])
@pytest.mark.parametrize(("n", "d"), [(5, 3), (40, 10), (60, 97)])
def test_lemmas_b8_and_b11_hold_for_any_rows_of_length_one(n: int, d: int, size: float) -> None:
    """Changes from a rounding's to another matrix; Gaussian, one-sided and nearly parallel rows."""
    for make in (torch.randn, torch.rand, lambda *shape: 1 + 0.01 * torch.randn(*shape)):
        first, second = make(n, d).double(), make(n, d).double()
        moved = [value + size * torch.randn(n, d) for value in (first, second)]
        (a, sum_a), (b, sum_b) = rows_moved(first, moved[0]), rows_moved(second, moved[1])
        entropy = (matrix_entropy(first, 2) - matrix_entropy(moved[0], 2)).abs().item()
        information = (mutual_information(first, second, 2) - mutual_information(*moved, 2)).abs().item()
        assert entropy <= 4 * a + 1e-12 <= 8 * sum_a + 2e-12
        assert information <= 8 * (a + b) + 1e-12 <= 16 * (sum_a + sum_b) + 2e-12


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_lemmas_b8_and_b11_hold_for_networks(probes: list[Probe], sigma: float, split: str) -> None:
    for probe in probes:
        first, last = (layers_moved(probe, layer, split, sigma)[1] for layer in ("first", "logits"))
        assert of_one_batch(ed, probe, split, sigma) <= 8 * last
        assert of_one_batch(mid, probe, split, sigma) <= 16 * (first + last)


def printed(probe: Probe, sigma: float) -> tuple[float, float]:
    """The right sides of theorems B.9 and B.12 as they are printed, with f itself."""
    first, last = (
        (probe.trace("train", sigma)[layer] - probe.trace("train")[layer]).norm(dim=1).sum().item()
        for layer in ("first", "logits")
    )
    return 8 * last, 16 * (first + last)


def test_theorems_b9_and_b12_are_false_as_they_are_printed(trained_probes: list[Probe]) -> None:
    """Both measures see directions only.

    The last layer, or all of a network without biases, times 1e-8 is as before to them, and next to nothing
    on the other side.
    """
    probe = trained_probes[-1]
    assert all(layer.bias is None for layer in probe.model.layers)
    values = {subject.name: of_one_batch(subject, probe, "train", 0.4) for subject in (ed, mid)}
    assert values["ed"] <= printed(probe, 0.4)[0]
    assert values["mid"] <= printed(probe, 0.4)[1]
    for scaled, name, place in (([-1], "ed", 0), ([0, -1], "mid", 1)):
        model = deepcopy(probe.model)
        with torch.no_grad():
            for layer in scaled:
                model.layers[layer].weight.mul_(1e-8)
        small = probe_of(model, probe.task)
        small._noise = probe._noise
        value = of_one_batch(ed if name == "ed" else mid, small, "train", 0.4)
        assert value == pytest.approx(values[name], rel=1e-4)
        assert value > 10 * printed(small, 0.4)[place]
