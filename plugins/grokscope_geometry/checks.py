"""What several of the family's measures ask of a checkpoint before they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope import MeasureError

if TYPE_CHECKING:
    import torch


def require_finite(where: str, what: str, *tensors: torch.Tensor) -> None:
    """Raise MeasureError unless every tensor is finite."""
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise MeasureError(f"{where}: {what} must be finite, got NaN or infinity")
