"""What is said where one key has several results: how far they are apart, and so what may be the cause."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.errors import further
from grokscope.run.results import Cell, CellKey

ROUNDING = 1e-6  # of a column's largest value: what another processor or version may change, float32 included
LEAST = 1e-9  # a column whose values are all smaller is compared with this


def differing(merged: Mapping[CellKey, Sequence[Cell]]) -> list[str]:
    """Return what is to be said of the keys that have differing results: a sentence for each measure.

    Rounding and more than rounding are told apart.
    """
    found: dict[tuple[str, str, bool], list[tuple[int, float]]] = {}
    for key, variants in merged.items():
        if len(variants) > 1:
            distance = furthest(variants)
            kind = key.measure, key.parameters, distance > ROUNDING
            found.setdefault(kind, []).append((variants[0].step, distance))
    return [f"{kind[0]} with {kind[1]} {_told(found[kind])}" for kind in sorted(found)]


def _told(every: Sequence[tuple[int, float]]) -> str:
    steps = sorted({step for step, _ in every})
    return f"at step {steps[0]}{further(len(steps) - 1)} {apart(max(distance for _, distance in every))}"


def apart(distance: float) -> str:
    """Return what is to be said of results that differ by as much, see `furthest`."""
    if distance <= ROUNDING:
        size = f"{distance:.1g} of their size"
        return f"has results that differ by {size}: another processor or version rounds otherwise"
    return "has differing results: the measure is not deterministic"


def furthest(variants: Sequence[Cell]) -> float:
    """Return by how much the results of one key differ at most, as a share of their columns' sizes."""
    return max(itertools.starmap(_distance, itertools.combinations(variants, 2)))


def _distance(one: Cell, other: Cell) -> float:
    """Return by how much two results differ, as a share of their columns' sizes; infinity if in kind."""
    if one.note != other.note or [row.labels for row in one.rows] != [row.labels for row in other.rows]:
        return math.inf
    left, right = _columns(one), _columns(other)
    if left.keys() != right.keys():
        return math.inf
    return max((_gap(left[name], right[name]) for name in left), default=0.0)


def _columns(cell: Cell) -> dict[tuple[Any, ...], Any]:
    """Return what each column has: its numbers from row to row, a row's word, a row's array."""
    words: dict[tuple[Any, ...], Any] = {}
    numbers: dict[tuple[Any, ...], list[float]] = {}
    for at, row in enumerate(cell.rows):
        words |= {("array", name, at): array for name, array in row.arrays.items()}
        for name, value in row.values.items():
            if isinstance(value, str):
                words["word", name, at] = value
            else:
                numbers.setdefault(("number", name), []).append(value)
    return words | numbers


def _gap(left: Any, right: Any) -> float:
    """Return the largest difference of two columns, as a share of the largest number in them."""
    import numpy as np

    if isinstance(left, str) or isinstance(right, str):
        return 0.0 if left == right else math.inf
    one, other = np.asarray(left, dtype=float), np.asarray(right, dtype=float)
    if one.shape != other.shape:
        return math.inf
    finite = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return math.inf
    size = max(LEAST, *(np.abs(each[finite]).max(initial=0) for each in (one, other)))
    return float(np.abs(one[finite] - other[finite]).max(initial=0) / size)
