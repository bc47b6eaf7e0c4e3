"""Tails of spectra against WeightWatcher, powerlaw, drawn power laws and random matrices."""

import numpy as np
import pytest
import torch

from grokscope.testing import example_probe
from grokscope_geometry.heavy_tail import heavy_tail
from grokscope_geometry.tails import above, power_law, random_edge, spectrum, traps


def matrix(kind: str, m: int, n: int) -> torch.Tensor:
    draw = np.random.RandomState(m * 1000 + n)
    entries = draw.standard_normal((m, n))
    if kind == "pareto":
        entries = entries * draw.pareto(1.5, (m, n))
    if kind == "decay":
        entries = entries * np.arange(1, n + 1) ** -0.7
    return torch.from_numpy(entries)


# alpha, its standard error, xmin, distance, tail: `WWFit` of WeightWatcher 0.7.7 on the eigenvalues, and
# `powerlaw.Fit` 2.0.0 where WeightWatcher fits short spectra in a way of its own (powerlaw agrees with it on
# the second and third to 15 digits, and holds alpha below 3 on the first).
FITS = {
    ("gauss", 250, 194): (5.676268014032742, 0.8537658254085392, 2.1060516137143863, 0.12177805478942122, 30),
    ("pareto", 120, 60): (
        1.6341941175724766,
        0.11039902540790897,
        12.497919452751526,
        0.0708682977314218,
        33,
    ),
    ("decay", 97, 97): (1.774776361680768, 0.1414541634381126, 0.008911256172445006, 0.05383612751783884, 30),
    ("decay", 40, 12): (1.6142911279990968, 0.1773305740555387, 0.01430536091452376, 0.1351984296943991, 12),
}


@pytest.mark.parametrize("which", FITS, ids=str)
def test_a_fit_is_weightwatchers_and_powerlaws(which):
    assert power_law(spectrum(matrix(*which))) == pytest.approx(FITS[which], rel=1e-11)


def test_scale_and_rotation_change_no_exponent():
    plain = matrix("pareto", 60, 25)
    turned = 7 * plain @ torch.linalg.qr(matrix("gauss", 25, 25)).Q
    one, other = power_law(spectrum(plain)), power_law(spectrum(turned.T))
    assert other == pytest.approx(one._replace(xmin=49 * one.xmin), rel=1e-9)


def test_exponents_of_drawn_power_laws_are_found_within_the_reported_error():
    draw = np.random.RandomState(0)
    off = []
    for alpha in (1.5, 2.5, 4.0):
        for _ in range(40):
            drawn = (1 - draw.random_sample(400)) ** (-1 / (alpha - 1))
            found = power_law(torch.from_numpy(drawn))
            off.append((found.alpha - alpha) / found.stderr)
    off = np.array(off)
    assert np.mean(np.abs(off) < 2) > 0.85  # 0.95 of a fixed xmin; choosing it costs a little
    assert abs(off.mean()) < 4 * off.std() / len(off) ** 0.5 + 0.25


def test_few_or_equal_values_have_no_tail():
    assert power_law(torch.arange(1.0, 10.0)) is None
    assert power_law(torch.ones(50)) is None


def test_random_matrices_have_traps_one_time_in_a_hundred():
    generator = torch.Generator().manual_seed(0)
    found = [
        traps(torch.randn(80, 50, generator=generator, dtype=torch.float64), generator) for _ in range(200)
    ]
    assert sum(count > 0 for count in found) <= 8
    law = [spectrum(torch.randn(80, 50, generator=generator))[-1].item() for _ in range(50)]
    assert np.mean(law) < random_edge(torch.randn(80, 50, generator=generator)) < 1.3 * np.mean(law)


def test_a_large_entry_and_a_common_offset_are_traps_and_order_is_not():
    generator = torch.Generator().manual_seed(0)
    plain = torch.randn(80, 50, generator=generator, dtype=torch.float64)
    large = plain.clone()
    large[3, 4] = 40
    ordered = plain + 3 * torch.outer(plain[:, 0].sign(), plain[0].sign())
    assert [traps(each, generator) for each in (large, plain + 1, ordered)] == [1, 1, 0]


def test_every_matrix_has_a_row_and_short_ones_no_exponent():
    probe = example_probe("mlp")
    rows = heavy_tail.collect(heavy_tail(probe.weights, torch.Generator().manual_seed(0)))
    assert [row.labels[0] for row in rows] == [name for name, w in probe.weights.items() if w.ndim == 2]
    for row in rows:
        law = power_law(spectrum(probe.weights[row.labels[0]]))
        assert (row.values["alpha"], row.values["tail"]) == (law.alpha, law.tail)
    (row,) = heavy_tail.collect(heavy_tail({"short": torch.eye(9)}, torch.Generator()))
    assert np.isnan(row.values["alpha"])
    assert row.values["tail"] == 0


@pytest.mark.parametrize("offset", [0.0, 3.0, 1e9])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_what_is_above_an_edge_is_counted_as_by_singular_values(shape, offset):
    """Also where the edge is an eigenvalue, or zero, or below what a product of such entries resolves."""
    weight = offset + matrix("gauss", *shape)
    eigenvalues = spectrum(weight)
    edges = [0.0, 1e-30, random_edge(weight), *eigenvalues[[0, 7, -1]].tolist(), 2 * eigenvalues[-1].item()]
    assert [above(weight, edge) for edge in edges] == [int((eigenvalues > edge).sum()) for edge in edges]
    assert above(torch.zeros(shape, dtype=torch.float64), 0.0) == 0
    assert above(torch.ones(shape, dtype=torch.float64), 0.0) == 1
