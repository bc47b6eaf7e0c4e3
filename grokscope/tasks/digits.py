"""The handwritten digits inside scikit-learn: real images that need no download."""

from __future__ import annotations

import torch

from grokscope.errors import DataError, SettingError
from grokscope.extras import from_extra
from grokscope.tasks.data import check_digest, digest
from grokscope.tasks.task import Task


def digits_task(*, train_size: int, split_seed: int, data_sha256: str) -> Task:
    """Return the 1797 images of 8 x 8 pixels in [0, 1]; `train_size` of them, drawn by `split_seed`, train.

    Raises:
        DataError: scikit-learn is missing, or its images are not those of `data_sha256`.
        SettingError: no image would be left to test on.
    """
    pixels, labels = _images()
    found = digest([pixels.numpy().tobytes(), labels.numpy().tobytes()])
    check_digest(found, data_sha256, "scikit-learn")
    if train_size >= len(labels):
        raise SettingError(
            f"task digits.train_size must leave some of the {len(labels)} images to test on, got {train_size}"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(split_seed))
    return Task(
        name="digits",
        kind="images",
        inputs=pixels.float() / 16,
        labels=labels,
        classes=10,
        train=order[:train_size],
        test=order[train_size:],
        data_sha256=found,
        picture=(1, 8, 8),
    )


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return pixels (1797, 64) uint8 from 0 to 16, and labels."""
    with from_extra("data", "task digits", fault=DataError):
        from sklearn.datasets import load_digits
    pixels, labels = load_digits(return_X_y=True)
    return torch.from_numpy(pixels).to(torch.uint8), torch.from_numpy(labels).long()
