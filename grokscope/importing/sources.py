"""Which files are meant, what kind each is - by its bytes, not its name - and the state dicts in it."""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import FIRST_WORDS, DamagedFile, UsageError, reason_of
from grokscope.importing import pickles
from grokscope.run.checkpoint import FILE_CAP, read_header, with_ties
from grokscope.run.files import read_bytes, sha256_hex

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS, PYTORCH = "safetensors", "PyTorch"
INSIDE = ("state_dict", "model_state_dict", "model", "net", "network")
LISTS = ("state_dicts", "model_state_dicts", "checkpoints")


@dataclass(frozen=True, eq=False)
class Source:
    """One file that was read.

    Attributes:
        path: where it is.
        sha256: of its bytes.
        kind: `safetensors` or `PyTorch`.
        states: the state dicts in it; several where it holds a list of them.
        is_list: whether it holds a list of state dicts, be it of one.
        beside: lists of whole numbers beside the list of state dicts, as long as it is, by name.
        global_step: the step that Lightning and others write into their checkpoints, else None.
    """

    path: Path
    sha256: str
    kind: str
    states: Sequence[Mapping[str, Tensor]]
    is_list: bool
    beside: Mapping[str, Sequence[int]]
    global_step: int | None = None


def find(patterns: Iterable[str | Path]) -> list[Path]:
    """Return the files that the globs stand for, each once, sorted. Raises UsageError when one has none."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
        files = [path for path in here if path.is_file()]
        if not files and Path(pattern).is_file():  # a name that has brackets in it
            files = [Path(pattern)]
        if not files:
            raise UsageError(f"`checkpoints` must name files, and there is none that fits {str(pattern)!r}")
        found.update(dict.fromkeys(files))
    return sorted(found)


def read(path: Path) -> Source:
    """Return what `path` holds. Raises DamagedFile, with the reason in one sentence."""
    try:
        data = read_bytes(path.resolve(), FILE_CAP)
    except FileNotFoundError as error:
        raise DamagedFile(f"{path} is no longer there") from error
    if data.startswith(pickles.ZIP_MAGIC) or pickles.looks_like_pickle(data):
        return _source(path, data, PYTORCH, _load_pytorch(data, path))
    if data[8:9] == b"{":
        return _source(path, data, SAFETENSORS, _load_safetensors(data, path))
    kind = "is empty" if not data else "is neither safetensors nor a file of torch.save"
    raise DamagedFile(f"{path} {kind}; it is not read")


def _load_safetensors(data: bytes, path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = read_header(data, path)
    try:
        found = with_ties(load(data), metadata)
        return {name: found[name] for name in sorted(found)}
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


def _source(path: Path, data: bytes, kind: str, loaded: Any) -> Source:
    states, beside, is_list = _states(loaded, path)
    step = loaded.get("global_step") if isinstance(loaded, Mapping) else None
    return Source(path, sha256_hex(data), kind, states, is_list, beside, step if type(step) is int else None)


def _states(loaded: Any, path: Path) -> tuple[list[Mapping[str, Tensor]], dict[str, list[int]], bool]:
    if isinstance(loaded, (list, tuple)) and loaded:
        return [_state(item, f"{path}, entry {place}") for place, item in enumerate(loaded)], {}, True
    if isinstance(loaded, Mapping):
        for name in LISTS:
            if isinstance(loaded.get(name), (list, tuple)) and loaded[name]:
                states, _, _ = _states(loaded[name], path)
                return states, _beside(loaded, len(states)), True
    return [_state(loaded, str(path))], {}, False


def _beside(loaded: Mapping[str, Any], count: int) -> dict[str, list[int]]:
    """Return the lists of `count` whole numbers in a dict, by name; a tensor of them is one too."""
    found = {}
    for name, value in loaded.items():
        values = value.tolist() if hasattr(value, "tolist") and value.ndim == 1 else value
        if not isinstance(values, (list, tuple)) or len(values) != count:
            continue
        if all(type(item) is int for item in values):
            found[str(name)] = list(values)
    return found


def _state(loaded: Any, where: str) -> Mapping[str, Tensor]:
    """Return the state dict that `loaded` is, or holds under a usual name. Raises DamagedFile."""
    for inner in (loaded, *(loaded.get(name) for name in INSIDE if isinstance(loaded, Mapping))):
        if _is_state(inner):
            return {name: value.detach() for name, value in inner.items()}
    what = "no dict"
    if isinstance(loaded, Mapping):
        what = f"a dict of {', '.join(str(key)[:60] for key in list(loaded)[:4])}"
    raise DamagedFile(
        f"{where} holds no state dict: there must be tensors by name, at the top or under "
        f"{', '.join(INSIDE[:2])} or {LISTS[0]}; got {what}"
    )


def _is_state(thing: Any) -> bool:
    import torch

    return (
        isinstance(thing, Mapping)
        and len(thing) > 0
        and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in thing.items())
    )
