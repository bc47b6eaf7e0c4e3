"""What all checkpoints of a run give their measures: its noise, and what depends on its task alone."""

from __future__ import annotations

from typing import Any

from grokscope.analysis.guard import Kept
from grokscope.memory import KEPT, Memory, Shelf
from grokscope.probe import NoiseSource


class Given:
    """The noise and what is computed from the task alone, as far as there is room, and watched.

    Attributes:
        memory: what is kept, of these and of single checkpoints.
        kept: what is watched: the task and the noise.
        noise: the run's noise.
        of_task: what depends on the task alone.
    """

    def __init__(self, seed: str, most: int | None) -> None:
        self.memory, self.kept = Memory(None if most is None else most // KEPT, most), (kept := Kept())
        self.noise = NoiseSource(seed, self.memory, lambda key: kept.forget(_named(key)))
        self.of_task = Shelf(self.memory)

    def watch_noise(self) -> None:
        """Watch the noise that was drawn since."""
        for key, drawn in self.noise.draws.items():
            self.kept.take(_named(key), drawn)


def _named(key: Any) -> str:
    split, sigma, _ = key
    return f"the noise of {split} at sigma {sigma:g}"
