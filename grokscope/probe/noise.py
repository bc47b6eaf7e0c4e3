"""The noise of a run: drawn once per split and size, the same for every checkpoint, whole or in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import torch

from grokscope.memory import Memory, Shelf


class NoiseSource:
    """The run's noise: one standard normal draw per (split, sigma), the same for every checkpoint."""

    def __init__(
        self, seed: str, memory: Memory | None = None, dropped: Callable[[Hashable], None] | None = None
    ) -> None:
        self.seed = seed
        self.draws = Shelf(memory or Memory(), dropped)

    def draw(self, split: str, sigma: float, like: torch.Tensor) -> torch.Tensor:
        """Return the standard normal draw in the shape, type and place of `like`."""
        key = (split, float(sigma), tuple(like.shape))
        return self.draws.shared(key, lambda: next(self.parts(split, sigma, [like.shape], like)))

    def parts(
        self, split: str, sigma: float, shapes: Iterable[Sequence[int]], like: torch.Tensor
    ) -> Iterator[torch.Tensor]:
        """Yield the same draw in parts of these shapes, in the type and place of `like`.

        Each part but the last has a multiple of 16 numbers, and none fewer: torch draws so many at a time.
        """
        generator = generator_for("noise", self.seed, split, repr(float(sigma)))
        for shape in shapes:
            drawn = torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
            yield drawn.to(like.device, like.dtype)


def generator_for(*words: str) -> torch.Generator:
    """Return a CPU generator seeded by `words`: equal words, equal numbers, on every machine."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
