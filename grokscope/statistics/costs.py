"""What a segment of a course costs, for ruptures: squared deviations from a level or a line, weighted."""

from __future__ import annotations

from typing import Any

import numpy as np
from ruptures.base import BaseCost


class WeightedLevel(BaseCost):
    """Deviation from a segment's mean: ruptures' `CostL2` where evaluations are not evenly spaced.

    ruptures takes neighbours to be equally far apart. Checkpoints every 5 steps are not so on a log axis, so
    each counts with its `weights`, its share of the axis. Sums are cumulated once; a segment costs O(1).
    """

    model = "weighted level"
    min_size = 1

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def fit(self, signal: np.ndarray) -> WeightedLevel:
        """Cumulate the weighted moments of `signal` (n, d)."""
        self.signal = np.asarray(signal, np.float64).reshape(len(signal), -1)
        self._w = _cumulated(self.weights)
        self._y = _cumulated(self.weights[:, None] * self.signal)
        self._yy = _cumulated(self.weights[:, None] * self.signal**2)
        return self

    def error(self, start: int, end: int) -> float:
        """Return the cost of `signal[start:end]`."""
        w, y, yy = (total[end] - total[start] for total in (self._w, self._y, self._yy))
        return float(np.maximum(yy - y**2 / w, 0).sum())

    def split(self) -> int:
        """Return the place at which two levels cost least: what ruptures' exact search finds, all at once."""
        places = np.arange(1, len(self.signal))
        costs = np.zeros(len(places))
        for start, end in ((0, places), (places, len(self.signal))):
            w, y, yy = (total[end] - total[start] for total in (self._w[:, None], self._y, self._yy))
            costs += np.maximum(yy - y**2 / w, 0).sum(axis=1)
        return int(costs.argmin()) + 1

    def level(self, start: int, end: int) -> Any:
        """Return the weighted mean of `signal[start:end]`, by column."""
        return (self._y[end] - self._y[start]) / (self._w[end] - self._w[start])


class WeightedLine(WeightedLevel):
    """Deviation from a segment's straight line over `axis`, one for each column of the signal."""

    model = "weighted line"
    min_size = 3

    def __init__(self, weights: np.ndarray, axis: np.ndarray) -> None:
        super().__init__(weights)
        self.axis = axis

    def fit(self, signal: np.ndarray) -> WeightedLine:
        """Cumulate the weighted moments of `signal` (n, d) and the axis."""
        super().fit(signal)
        self._x = _cumulated(self.weights * self.axis)
        self._xx = _cumulated(self.weights * self.axis**2)
        self._xy = _cumulated((self.weights * self.axis)[:, None] * self.signal)
        return self

    def error(self, start: int, end: int) -> float:
        """Return the cost of `signal[start:end]`."""
        xx, xy = self._centred(start, end)
        level = super().error(start, end)
        return max(level - float((xy**2).sum() / xx), 0.0) if xx > 0 else level

    def _centred(self, start: int, end: int) -> tuple[float, np.ndarray]:
        w, x, xx = (total[end] - total[start] for total in (self._w, self._x, self._xx))
        y, xy = (total[end] - total[start] for total in (self._y, self._xy))
        return float(xx - x**2 / w), xy - x * y / w


def _cumulated(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
