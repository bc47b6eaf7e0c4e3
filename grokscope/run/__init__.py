"""The run directory: checkpoints, curves and results, written so that nothing is lost. Imports no torch.

Its rooms are opened when something of theirs is first asked for: help and completion want a file's name only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope.lazily import opened

if TYPE_CHECKING:
    from grokscope.run.checkpoint import Checkpoint, CheckpointInfo
    from grokscope.run.config import default_directory, differing_settings, is_seed
    from grokscope.run.curves import first_step_staying_above
    from grokscope.run.directory import Run
    from grokscope.run.results import Cell, CellKey

__all__ = [
    "Cell",
    "CellKey",
    "Checkpoint",
    "CheckpointInfo",
    "Run",
    "default_directory",
    "differing_settings",
    "first_step_staying_above",
    "is_seed",
]

__getattr__ = opened(
    __name__,
    {
        "Cell": "results",
        "CellKey": "results",
        "Checkpoint": "checkpoint",
        "CheckpointInfo": "checkpoint",
        "Run": "directory",
        "default_directory": "config",
        "differing_settings": "config",
        "first_step_staying_above": "curves",
        "is_seed": "config",
    },
)
