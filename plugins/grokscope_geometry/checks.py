"""What several of the family's measures ask of a checkpoint before they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import MeasureError, NotApplicable

if TYPE_CHECKING:
    import torch

    from grokscope import Chain, Probe


def require_finite(where: str, what: str, *tensors: torch.Tensor) -> None:
    """Raise MeasureError unless every tensor is finite."""
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise MeasureError(f"{where}: {what} must be finite, got NaN or infinity")


def require_chain(probe: Probe, where: str) -> Chain:
    """Return the network's Linear layers. Raises NotApplicable where it is no chain of Linear and ReLU."""
    chain = probe.relu_chain()
    if chain is None:
        raise NotApplicable(
            f"{where} needs a network of Linear and ReLU layers only; this {probe.model.kind} is not one, as "
            "its own layers show"
        )
    return chain
