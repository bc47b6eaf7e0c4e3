"""How numbers are held in the page: small, and with no digit lost that anyone could see."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MOST_POINTS = 2000  # of a run's curve: several for every pixel of the plot's width


def packed(values: Sequence[float] | np.ndarray) -> str | None:
    """Return numbers as base64 of little-endian float32, 7 digits, behind `4:`; None where none is a number.

    Where a number is too large or too small for that, of float64, behind `8:`.

    >>> packed([1.0, 2.0]), packed([1e300]), packed([float("nan")])
    ('4:AACAPwAAAEA=', '8:nHUAiDzkN34=', None)
    """
    import numpy as np

    exact = np.asarray(values, "<f8")
    if not np.isfinite(exact).any():
        return None
    sizes = np.abs(exact[np.isfinite(exact) & (exact != 0)])
    limits = np.finfo(np.float32)
    fits = not len(sizes) or (sizes.max() <= limits.max and sizes.min() >= limits.tiny)
    held = exact.astype("<f4") if fits else exact
    return f"{4 if fits else 8}:{base64.b64encode(held.tobytes()).decode()}"


class Axes:
    """The different lists of steps; runs that were measured at the same steps share one."""

    def __init__(self) -> None:
        self.found: list[list[int]] = []

    def of(self, steps: Iterable[int]) -> int:
        """Return the place of `steps` among the lists, added if it is new."""
        wanted = [int(step) for step in steps]
        if wanted not in self.found:
            self.found.append(wanted)
        return self.found.index(wanted)


def kept(steps: Sequence[int], always: Iterable[int]) -> list[int]:
    """Return which points of a curve the page has: all of them up to MOST_POINTS.

    Beyond, half as many evenly spaced and half evenly spaced in the logarithm of the step, the last, and
    those at the steps `always`.
    """
    import numpy as np

    if len(steps) <= MOST_POINTS:
        return list(range(len(steps)))
    half = MOST_POINTS // 2
    even = np.linspace(0, len(steps) - 1, half).astype(int)
    low = max(next((step for step in steps if step > 0), 1), 1)
    early = np.searchsorted(steps, np.geomspace(low, steps[-1], half))
    wanted = set(always)
    asked = [index for index, step in enumerate(steps) if step in wanted]
    return sorted({0, *even.tolist(), *np.minimum(early, len(steps) - 1).tolist(), *asked})
