"""Which files are meant, and what kind each is: by its bytes, not its name."""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import FIRST_WORDS, DamagedFile, UsageError, reason_of
from grokscope.importing import pickles
from grokscope.importing.inside import STEP_WORDS, Entry, Found, find_states
from grokscope.importing.shards import (
    INDEX,
    checkpoints_in,
    read_index,
    refuse_folder,
    shards_at,
    whole_ones,
)
from grokscope.run.checkpoint import FILE_CAP, read_header, with_ties
from grokscope.run.files import read_bytes, sha256_hex

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS, PYTORCH = "safetensors", "PyTorch"


@dataclass(frozen=True, eq=False)
class Source:
    """One checkpoint's file that was read, or its shards.

    Attributes:
        path: where it is; of shards, their index, or the first of them.
        sha256: of its bytes; of shards, of what they and their index hash to.
        kind: `safetensors` or `PyTorch`.
        found: the states in it, and what stands beside them.
        linkable: whether it is one safetensors file.
    """

    path: Path
    sha256: str
    kind: str
    found: Found
    linkable: bool

    @property
    def is_list(self) -> bool:
        """Whether it holds a list of state dicts, be it of one."""
        return self.found.is_list

    @property
    def states(self) -> list[Mapping[str, Tensor]]:
        """The state dicts in it."""
        return [self.state(place) for place in range(len(self.found.entries))]

    def state(self, place: int) -> dict[str, Tensor]:
        """Return the state dict at `place` of those that it holds."""
        return {name: plain(value) for name, value in self.found.entries[place].tensors.items()}

    def where(self, place: int) -> str:
        """Return how a message calls the state at `place`."""
        return f"{self.path}, entry {place}" if self.is_list else str(self.path)


def find(patterns: Iterable[str | Path], leave_out: Iterable[str] = ()) -> list[Path]:
    """Return the checkpoints that the globs stand for, each once, sorted.

    Of shards it is their index, or the first of them; of a folder as transformers saves one, its model, or
    those of its folders `checkpoint-N`. `leave_out` are globs of names or paths that do not count.

    Raises UsageError for a pattern that fits nothing.
    """
    globs = list(leave_out)
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
        files = [path for path in here if path.is_file()]
        if not files and Path(pattern).is_file():  # a name that has brackets in it
            files = [Path(pattern)]
        folders = [path for path in here if path.is_dir()]
        files += [path for folder in folders for path in checkpoints_in(folder)]
        if folders and not files:
            refuse_folder(folders[0])
        if not files:
            raise UsageError(f"`checkpoints` must name files, and there is none that fits {str(pattern)!r}")
        found.update(dict.fromkeys(whole_ones(files)))
    for name in globs:
        if not any(_fits(path, name) for path in found):
            raise UsageError(f"`leave_out` must name files among `checkpoints`: none fits {name!r}")
    kept = [path for path in found if not any(_fits(path, name) for name in globs)]
    if not kept:
        raise UsageError("`leave_out` must leave something: every file of `checkpoints` is left out")
    return sorted(kept)


def _fits(path: Path, name: str) -> bool:
    return fnmatch(path.name, name) or fnmatch(str(path), name)


def read(path: Path, at: str = "") -> Source:
    """Return what `path` holds, the states under the key `at` where one is given.

    Raises DamagedFile, with the reason in one sentence, and UsageError where `at` must be given, or is not
    there.
    """
    if path.name.endswith(INDEX):
        return _read_shards(path, at, read_index(path), [sha256_hex(_bytes(path))])
    if shards := shards_at(path):
        return _read_shards(path, at, {shard.name: [] for shard in shards}, [])
    data = _bytes(path)
    kind, loaded, metadata = _load(data, path)
    found = find_states(loaded, str(path), at)
    if kind == SAFETENSORS:
        found = replace(found, entries=[_with_words(found.entries[0], metadata)], beside=metadata)
    return Source(path, sha256_hex(data), kind, found, kind == SAFETENSORS)


def _with_words(entry: Entry, metadata: Mapping[str, str]) -> Entry:
    for word in STEP_WORDS:
        text = metadata.get(word, "")
        if text.isascii() and text.isdigit() and len(text) <= 18:
            return replace(entry, step=int(text), said_by=word)
    return entry


def _read_shards(path: Path, at: str, parts: Mapping[str, Sequence[str]], hashes: Sequence[str]) -> Source:
    """Return what shards hold together; `parts` has the names of the tensors in each, none for all."""
    tensors: dict[str, Tensor] = {}
    hashes, kinds, size = list(hashes), set(), 0
    for file, names in parts.items():
        data = _bytes(path.with_name(file))
        size += len(data)
        if size > FILE_CAP:
            raise DamagedFile(f"the shards of {path} must be at most {FILE_CAP} bytes")
        kind, loaded, _ = _load(data, path.with_name(file))
        held = find_states(loaded, str(path.with_name(file)), at).entries[0].tensors
        if missing := [name for name in names if name not in held]:
            raise DamagedFile(f"{path} says that {file} holds {missing[0][:60]}, and it does not")
        if twice := [name for name in names or held if name in tensors]:
            raise DamagedFile(
                f"{path.with_name(file)} holds {twice[0][:60]}, and so does a shard before it: they are "
                "not one checkpoint"
            )
        tensors |= {name: held[name] for name in sorted(names or held)}
        hashes.append(sha256_hex(data))
        kinds.add(kind)
    found = Found([Entry(tensors)], False)
    return Source(path, sha256_hex(" ".join(hashes).encode()), " and ".join(sorted(kinds)), found, False)


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path.resolve(), FILE_CAP)
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} is not there, or no longer") from error


def _load(data: bytes, path: Path) -> tuple[str, Any, Mapping[str, str]]:
    """Return the kind of a file, what it holds, and the words in its header."""
    header = int.from_bytes(data[:8], "little")  # of a pickle it would be greater than any file
    if data[8:9] == b"{" and header <= 1 << 40:
        return SAFETENSORS, *_load_safetensors(data, path)
    if data.startswith(pickles.ZIP_MAGIC) or pickles.looks_like_pickle(data):
        return PYTORCH, _load_pytorch(data, path), {}
    kind = "is empty" if not data else "is neither safetensors nor a file of torch.save"
    raise DamagedFile(f"{path} {kind}; it is not read")


def plain(value: Tensor) -> Tensor:
    """Return a tensor without its history, quantised ones as the numbers that they stand for."""
    value = value.detach()
    return value.dequantize() if value.is_quantized else value


def _load_safetensors(data: bytes, path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = read_header(data, path)
    try:
        found = with_ties(load(data), metadata)
        return {name: found[name] for name in sorted(found)}, metadata
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedFile(f"{path} is damaged: {reason_of(error)}") from error


def _load_pytorch(data: bytes, path: Path) -> Any:
    import torch

    pickles.check(data, path)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the file's own contents decide what torch stumbles over
        reason = reason_of(error, FIRST_WORDS)
        raise DamagedFile(f"{path} cannot be read by torch.load(weights_only=True): {reason}") from error
