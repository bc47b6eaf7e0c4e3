"""Where a noisy course turns: its rises and falls that are more than noise and more than a moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from grokscope.statistics.smoothing import exponential_mean

if TYPE_CHECKING:
    import numpy as np

WEIGHT, SPACING = 0.1, 5  # of the exponential mean: Clauw et al.'s plots, checkpoints every 5 steps
FLAT = 0.07  # of the smoothed course's range: less is no rise or fall
NOISE = 3.5  # standard errors: less is no rise or fall
LEAST = 0.05  # log10 of steps, 12 % of the step: shorter is none
QUIET = 0.015  # of the smoothed course's range: the noise that a mean which only tells places may keep
NEARBY = 25  # evaluations that tell how noisy a course is around each
NORMAL = 0.6745  # median size of a standard normal value


@dataclass(frozen=True)
class Turning:
    """A course with its rises and falls.

    Attributes:
        steps, values: the course; all finite, steps ascending and above 0.
        smooth: its exponential mean, of the same span in steps whatever the spacing.
        noise: the standard deviation of the noise around each evaluation.
        error: the standard error of `smooth` by that noise.
        turns: indices where `smooth` turns, its ends included; between them it rises or falls in turn.
    """

    steps: np.ndarray
    values: np.ndarray
    smooth: np.ndarray
    noise: np.ndarray
    error: np.ndarray
    turns: tuple[int, ...]

    def goes(self, start: int, end: int) -> float:
        """Return how far the smoothed course goes from one index to another, in what would just count.

        At least 1 is a rise, at most -1 a fall.
        """
        least = max(NOISE * math.hypot(self.error[start], self.error[end]), FLAT * self.range)
        return float((self.smooth[end] - self.smooth[start]) / least) if least > 0 else 0.0

    @cached_property
    def range(self) -> float:
        """How far apart the highest and the lowest point of the smoothed course lie."""
        return float(self.smooth.max() - self.smooth.min())

    @cached_property
    def undelayed(self) -> np.ndarray:
        """The mean from both sides, which does not lag, and no longer than the noise asks for."""
        import numpy as np

        noise = float(np.median(self.noise))
        quiet = (QUIET * self.range / noise) ** 2 if noise > 0 else 1.0
        weight = max(WEIGHT, min(1.0, 4 * quiet / (1 + 2 * quiet)))
        gaps = np.diff(self.steps)
        ahead = _smoothed(self.values[::-1], gaps[::-1], weight)[::-1]
        return (_smoothed(self.values, gaps, weight) + ahead) / 2

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The turns without delay: where `undelayed` is highest or lowest since the turn before."""
        found = [0]
        for before, turn in zip(self.turns, self.turns[1:-1], strict=False):
            part = self.undelayed[found[-1] + 1 : turn + 1]
            top = part.argmax() if self.smooth[turn] > self.smooth[before] else part.argmin()
            found.append(found[-1] + 1 + int(top))
        return (*found, len(self.steps) - 1)


def turning(steps: Sequence[int] | np.ndarray, values: Sequence[float] | np.ndarray) -> Turning:
    """Return the rises and falls of a course that count.

    The course is smoothed by an exponential mean of 0.1 for every 5 steps (on another spacing 1 - 0.9^(gap /
    5)). A rise or fall counts where the smoothed course goes by at least 7 % of its range and 3.5 standard
    errors of the difference, and takes at least 12 % of the step. The weakest of those that do not count is
    joined to its neighbours until all count. The noise around an evaluation is the median size, over 25
    neighbours, of how far each lies from the line between the two beside it.

    Args:
        steps: ascending, above 0; three at least.
        values: finite.
    """
    import numpy as np
    from scipy.signal import find_peaks

    at, course = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    gaps = np.diff(at)
    smooth = _smoothed(course, gaps)
    least = FLAT * np.ptp(smooth)
    tops, bottoms = (find_peaks(sign * smooth, prominence=max(least, 1e-300))[0] for sign in (1, -1))
    turns = (0, *sorted(map(int, [*tops, *bottoms])), len(at) - 1)
    noise = _noise(at, course)
    found = Turning(at, course, smooth, noise, noise * _share_of_noise(gaps), turns)
    return _without_weak(found)


def _smoothed(values: np.ndarray, gaps: np.ndarray, weight: float = WEIGHT) -> np.ndarray:
    return exponential_mean(values, weight, gaps / SPACING)


def _without_weak(found: Turning) -> Turning:
    import numpy as np

    while len(found.turns) > 2:
        pairs = list(pairwise(found.turns))
        strength = [
            min(abs(found.goes(start, end)), math.log10(found.steps[end] / found.steps[start]) / LEAST)
            for start, end in pairs
        ]
        weakest = int(np.argmin(strength))
        if strength[weakest] >= 1:
            break
        inner = [turn for turn in found.turns[1:-1] if turn not in pairs[weakest]]
        found = replace(found, turns=(0, *inner, found.turns[-1]))
    return found


def _noise(steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The standard deviation of the noise around each evaluation."""
    import numpy as np
    from scipy.ndimage import median_filter

    share = (steps[1:-1] - steps[:-2]) / (steps[2:] - steps[:-2])
    beside = (1 - share) * values[:-2] + share * values[2:]
    off = np.abs(values[1:-1] - beside) / np.sqrt(1 + share**2 + (1 - share) ** 2)
    off = np.concatenate([off[:1], off, off[-1:]])
    return median_filter(off, size=min(NEARBY, len(off)), mode="reflect") / NORMAL


def _share_of_noise(gaps: np.ndarray) -> np.ndarray:
    """What is left of the noise of independent evaluations in their exponential mean; in the first, all."""
    import numpy as np

    shares = [1.0]
    for gap in gaps:
        weight = 1 - (1 - WEIGHT) ** (gap / SPACING)
        shares.append(math.hypot((1 - weight) * shares[-1], weight))
    return np.array(shares)
