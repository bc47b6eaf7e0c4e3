"""What the pages of the geometry family state as numbers is what the formulas give."""

from __future__ import annotations

import math
import re

import pytest
import torch

from grokscope import numbers
from grokscope_geometry import functional, grokscope_measures

PAGES = {measure.name: " ".join(measure.help.split()) for measure in grokscope_measures()}


def gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def stated(page: str, before: str) -> float:
    found = re.search(re.escape(before) + r"([\d.]*\d)", PAGES[page])
    assert found, f"{page} no longer says {before!r}"
    return float(found[1])


def test_effective_rank_of_a_random_matrix() -> None:
    value = functional.effective_rank(gaussian(250, 194))
    assert stated("effective_rank", "A random 250 x 194 Gaussian matrix has ") == pytest.approx(
        value, abs=0.6
    )


def test_gini_of_random_entries() -> None:
    value = stated("gini", "Gaussian entries have sqrt(2) - 1 = ")
    assert value == pytest.approx(math.sqrt(2) - 1, abs=5e-4)
    assert value == pytest.approx(numbers.gini(gaussian(400, 400)), abs=2e-3)
    uniform = torch.rand(400, 400, generator=torch.Generator().manual_seed(0)) - 0.5
    assert numbers.gini(uniform) == pytest.approx(1 / 3, abs=2e-3)


def test_hoyer_of_a_large_gaussian_matrix() -> None:
    value = stated("hoyer", "Large Gaussian matrices have 1 - sqrt(2/pi) = ")
    assert value == pytest.approx(1 - math.sqrt(2 / math.pi), abs=5e-4)
    assert value == pytest.approx(functional.hoyer(gaussian(400, 400)), abs=3e-3)


def test_where_a_softmax_of_two_collapses() -> None:
    where = stated("softmax_collapse", "collapse is abs(z) > ")
    assert where == pytest.approx(24 * math.log(2), abs=6e-3)
    pairs = torch.tensor([[0.0, where + 0.01], [0.0, where - 0.01], [0.0, -where - 0.01]])
    assert functional.collapsed(pairs).tolist() == [True, False, True]
