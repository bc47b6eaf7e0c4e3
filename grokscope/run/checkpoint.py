"""What a checkpoint file is: safetensors with sorted metadata and a seal, so that one state has one sha256.

safetensors writes metadata in random order and does not notice flipped bits; the seal is the sha256 of the
file with the seal itself set to zeros.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from grokscope.errors import DamagedFile, StorageError, reason_of
from grokscope.run.files import sha256_hex
from grokscope.run.kinds import Kinds, read_kinds
from grokscope.run.rename import tied
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "grokscope 1"
FILE_CAP = 8 << 30
HEADER_CAP = 1 << 20
MOST_DIMENSIONS = 64
T = TypeVar("T")
_SEAL = "seal"
_ZEROS = "0" * 64
_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E5M2FNUZ", "F8_E4M3", "F8_E4M3FNUZ"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


class CheckpointInfo(NamedTuple):
    """One checkpoint as listed: `file` is relative to the run; metrics that were not recorded are NaN."""

    step: int
    file: str
    size: int
    sha256: str
    train_loss: float
    test_loss: float
    train_accuracy: float
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One checkpoint read and verified.

    Attributes:
        metadata: the words in its header.
        weights: its tensors by name, buffers and every name of tied parameters among them.
        sha256: of the file.
        kinds: which of them are parameters; None where the file does not say.
    """

    metadata: dict[str, str]
    weights: dict[str, Tensor]
    sha256: str
    kinds: Kinds | None = None


def encode(weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the file that holds `weights` and `metadata`: equal contents, equal bytes."""
    import torch
    from safetensors.torch import save

    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in weights.items()
    }
    plain = save(copies)
    start = 8 + int.from_bytes(plain[:8], "little")
    words = {"format": FORMAT, **metadata, _SEAL: _ZEROS}
    header = {"__metadata__": dict(sorted(words.items())), **json.loads(plain[8:start])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > HEADER_CAP:
        raise StorageError(f"a checkpoint's header must be at most {HEADER_CAP} bytes, got {len(text)}")
    open_file = len(text).to_bytes(8, "little") + text + plain[start:]
    mark = f'"{_SEAL}":"'.encode()
    return open_file.replace(mark + _ZEROS.encode(), mark + sha256_hex(open_file).encode(), 1)


def read_header(data: bytes, where: object) -> dict[str, str]:
    """Return the metadata of safetensors `data`, once its header is seen to describe exactly these bytes.

    Raises DamagedFile for a header that is cut off, over 1 MiB, no JSON, has a key twice, or whose tensors
    leave holes, overlap, or do not fill the file.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > HEADER_CAP or length > len(data) - 8:
        raise DamagedFile(f"{where} is no whole safetensors file: it is truncated or something else")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_unique)
        metadata = header.pop("__metadata__", {})
        _check_metadata(metadata)
        _check_layout(header, len(data) - 8 - length)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"its safetensors header does not hold: {reason_of(error)}"
        raise DamagedFile(f"{where} is damaged: {reason}") from error
    return metadata


def with_ties(tensors: Mapping[str, T], metadata: Mapping[str, str]) -> dict[str, T]:
    """Return the tensors of a foreign file with those that it keeps once under each of their names.

    safetensors' `save_model` writes a tied tensor once, and its other names into the metadata.
    """
    return tied(tensors, {name: one for name, one in metadata.items() if one in tensors})


def verify(data: bytes, where: object) -> dict[str, str]:
    """Return the metadata of a checkpoint or resume file whose every byte is as it was written.

    Raises DamagedFile when it is truncated, foreign (not written by grokscope) or damaged.
    """
    metadata = read_header(data, where)
    if metadata.get("format") != FORMAT:
        raise DamagedFile(
            f"{where} is foreign: its format must be {FORMAT!r}, got {metadata.get('format', '')!r}; "
            "checkpoints are written by `grokscope train`"
        )
    seal = metadata.pop(_SEAL, "")
    if len(seal) != 64 or _sealed(data, seal) != seal:
        raise DamagedFile(f"{where} is damaged: its bytes are not those that were written")
    return metadata


def _sealed(data: bytes, seal: str) -> str:
    """Return the sha256 of `data` with zeros for its seal; the tensors are not copied for it."""
    start = 8 + int.from_bytes(data[:8], "little")
    mark = f'"{_SEAL}":"'.encode()
    digest = hashlib.sha256(data[:start].replace(mark + seal.encode(), mark + _ZEROS.encode(), 1))
    digest.update(memoryview(data)[start:])
    return digest.hexdigest()


def decode(data: bytes, where: object, sha256: str = "") -> Checkpoint:
    """Return the checkpoint in `data`, of which `sha256` may be known. Raises DamagedFile."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = verify(data, where)
    try:
        weights = load(data)  # in no order of its own
        kinds = read_kinds(metadata, weights)
        weights = kinds.whole(weights) if kinds else weights
        ordered = {name: weights[name] for name in sorted(weights)}
        return Checkpoint(metadata, ordered, sha256 or sha256_hex(data), kinds)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFile(f"{where} is damaged: {reason_of(error)}") from error


def read_checkpoint(path: Site) -> Checkpoint:
    """Return the checkpoint at `path`, verified. Raises DamagedFile, FileNotFoundError."""
    return decode(read_bytes(path, FILE_CAP), path)


def read_resume(path: Site, run: str) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Return the tensors and words of the state that the run `run` goes on from; None where there is none.

    Raises DamagedFile.
    """
    try:
        found = read_checkpoint(path)
    except FileNotFoundError:
        return None
    words = {name: word for name, word in found.metadata.items() if name not in ("run", "format")}
    if found.metadata.get("run", "") != run:
        raise DamagedFile(f"{path} is foreign: it belongs to another run")
    return found.weights, words


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata must be text by name")


def _check_layout(header: Mapping[str, Any], size: int) -> None:
    """Check that the tensors, in order, fill `size` bytes: no hole, no overlap, each as long as its shape."""
    spans = sorted((*_span(entry), name) for name, entry in header.items())
    end = 0
    for start, stop, name in spans:
        if start != end:
            raise ValueError(f"tensor {name!r} must begin at byte {end}, got {start}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors must fill {size} bytes, got {end}; the file is truncated or too long")


def _span(entry: Mapping[str, Any]) -> tuple[int, int]:
    shape, (start, stop) = entry["shape"], entry["data_offsets"]
    if len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"a tensor must have at most {MOST_DIMENSIONS} dimensions, got {len(shape)}")
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in (*shape, start, stop)):
        raise ValueError("shapes and offsets must be whole numbers >= 0")
    if stop - start != math.prod(shape) * _BYTES[entry["dtype"]]:
        raise ValueError(f"a tensor of shape {shape} and type {entry['dtype']} is not {stop - start} bytes")
    return start, stop
