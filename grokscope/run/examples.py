"""The examples of somebody's own data, kept in the run: a safetensors file, its sha256 in run.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from grokscope.errors import DamagedFile, DataError
from grokscope.run.checkpoint import FILE_CAP, read_header
from grokscope.run.files import sha256_hex
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

if TYPE_CHECKING:
    from torch import Tensor

    Pair = tuple[dict[str, Tensor], Tensor]

KINDS = ("torch.float32", "torch.int64", "torch.bool")
FILE = "examples.safetensors"


def encode(pairs: Mapping[str, Pair]) -> bytes:
    """Return the bytes of the file; equal examples give equal bytes.

    Inputs are by name; of several each is kept with its place among them, so that the first stays the first.
    """
    from safetensors.torch import save

    parts = {}
    for split, (inputs, labels) in pairs.items():
        for place, (name, tensor) in enumerate(inputs.items()):
            key = f"{split}.inputs" + (f".{place}.{name}" if name else "")
            parts[key] = tensor.contiguous()
        parts[f"{split}.labels"] = labels.contiguous()
    return save(parts)


def read(run: Site, sha256: str) -> dict[str, Pair]:
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
        return {
            split: _checked(_inputs(found, split), found[f"{split}.labels"]) for split in ("train", "test")
        }
    except (SafetensorError, DamagedFile, LookupError, ValueError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {error}") from error


def _checked(inputs: dict[str, Tensor], labels: Tensor) -> Pair:
    """Return them. Raises ValueError for what `encode` is never given: the file may be anybody's."""
    for tensor in (labels, *inputs.values()):
        if str(tensor.dtype) not in KINDS or not tensor.ndim or len(tensor) != len(labels):
            raise ValueError(f"it holds {tuple(tensor.shape)} {tensor.dtype}, which no example is")
    return inputs, labels


def _inputs(found: Mapping[str, Tensor], split: str) -> dict[str, Tensor]:
    if f"{split}.inputs" in found:
        return {"": found[f"{split}.inputs"]}
    named = [key.split(".", 3) for key in found if key.startswith(f"{split}.inputs.")]
    ordered = sorted(named, key=lambda words: int(words[2]))
    if not ordered:
        raise KeyError(f"{split}.inputs")
    return {words[3]: found[".".join(words)] for words in ordered}
