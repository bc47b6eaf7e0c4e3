"""The examples of somebody's own data, kept in the run: a safetensors file, its sha256 in run.toml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.errors import DamagedFile, DataError
from grokscope.run.checkpoint import FILE_CAP, read_header
from grokscope.run.files import read_bytes, sha256_hex

if TYPE_CHECKING:
    from torch import Tensor

FILE = "examples.safetensors"


def encode(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> bytes:
    """Return the bytes of the file; equal examples give equal bytes."""
    from safetensors.torch import save

    parts = {
        f"{split}.{part}": tensor.contiguous()
        for split, pair in pairs.items()
        for part, tensor in zip(("inputs", "labels"), pair, strict=True)
    }
    return save(parts)


def read(run: Path, sha256: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Return inputs and labels of train and test. Raises DataError where they are gone or are others."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = run / FILE
    try:
        data = read_bytes(path, FILE_CAP)
    except FileNotFoundError as error:
        raise DataError(f"{path} is gone: the same `grokscope import` writes it again") from error
    if sha256_hex(data) != sha256:
        raise DataError(f"{path} is damaged, or was replaced: its sha256 is not the recorded one")
    try:
        read_header(data, path)
        found = load(data)
        return {split: (found[f"{split}.inputs"], found[f"{split}.labels"]) for split in ("train", "test")}
    except (SafetensorError, DamagedFile, KeyError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error
