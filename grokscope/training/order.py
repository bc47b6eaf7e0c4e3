"""Which examples each step trains on, in an order that can be stopped and continued."""

from __future__ import annotations

import torch

from grokscope.probe import generator_for


class Order:
    """Batches of the training examples: all of them at every step, or shuffled passes cut into batches.

    Every pass is a new permutation; its last batch is smaller if `batch_size` does not divide the examples.
    The permutations come from a generator of their own, seeded by `seed`.

    Args:
        inputs: training inputs (n, ...).
        labels: their labels (n,).
        batch_size: examples per batch; 0 is all of them, in their own order, always the same tensors.
        seed: seed of the permutations.
    """

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor, batch_size: int, seed: int) -> None:
        self._inputs, self._labels, self._size = inputs, labels, batch_size
        self._generator = generator_for("order", str(seed))
        self._shuffle()

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the next batch's inputs and labels."""
        if not self._size:
            return self._inputs, self._labels
        if self._position >= len(self._labels):
            self._shuffle()
        chosen = self._permutation[self._position : self._position + self._size]
        self._position += self._size
        return self._inputs[chosen], self._labels[chosen]

    def state(self) -> dict[str, torch.Tensor]:
        """Return what `restore` needs to draw the same batches from here on."""
        return {"order.generator": self._before, "order.position": torch.tensor(self._position)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on where `state` was taken."""
        self._generator.set_state(state["order.generator"].cpu())
        self._shuffle()
        self._position = int(state["order.position"])

    def _shuffle(self) -> None:
        self._before = self._generator.get_state()
        permutation = torch.randperm(len(self._labels), generator=self._generator)
        self._permutation = permutation.to(self._labels.device, non_blocking=True)  # nothing waits for it
        self._position = 0
