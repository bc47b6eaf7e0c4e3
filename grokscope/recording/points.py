"""What a loop tells of its losses and accuracies between checkpoints: a curve that may know some of them."""

from __future__ import annotations

import math
from typing import Any

from grokscope.errors import UnknownName, UsageError
from grokscope.run.curves import CURVE_COLUMNS, LONGEST


class Points:
    """The points since the last checkpoint. Of very many every second is dropped, again and again."""

    def __init__(self) -> None:
        self._next: dict[str, Any] = {}
        self._points: list[tuple[int, dict[str, Any]]] = []

    def tell(self, metrics: dict[str, Any]) -> None:
        """Take in numbers, or tensors of one number, of the update that the next step counts.

        Raises UnknownName for anything but losses and accuracies on train and test, UsageError for no number.
        """
        for name, value in metrics.items():
            if name not in CURVE_COLUMNS:
                raise UnknownName("metric", name, CURVE_COLUMNS, "a run's curve holds these")
            self._next[name] = _number(name, value)

    def reach(self, step: int) -> None:
        """Say that what was told is of `step`."""
        if not self._next:
            return
        self._points.append((step, self._next))
        self._next = {}
        if len(self._points) > 2 * LONGEST:
            del self._points[::2]

    def at(self, step: int) -> dict[str, float]:
        """Return what was told of `step`."""
        return {
            name: float(value)
            for known, told in self._points
            if known == step
            for name, value in told.items()
        }

    def take(self, step: int) -> dict[str, list[float]]:
        """Return the curve up to, and without, `step`, by column, and begin the next."""
        points = [(known, told) for known, told in self._points if known != step]
        self._points = []
        if not points:
            return {}
        columns = {
            name: [float(told.get(name, math.nan)) for _, told in points]
            for name in CURVE_COLUMNS
            if any(name in told for _, told in points)
        }
        return {"step": [known for known, _ in points], **columns}


def _number(name: str, value: Any) -> Any:
    """Return the number; one on another device stays there until it is written, or the loop would wait."""
    if hasattr(value, "detach"):
        value = value.detach()
        if value.device.type != "cpu" and value.numel() == 1:
            return value.clone()
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} must be a number, got {value!r}"[:200]) from error
