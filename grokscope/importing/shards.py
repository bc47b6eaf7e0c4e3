"""Checkpoints of several files: which shards are one, and which file of a folder is the checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from grokscope.errors import DamagedFile, UsageError, reason_of
from grokscope.run.files import read_bytes

INDEX = ".index.json"
# As transformers and diffusers save a network into a folder, the one that is read first.
MODELS = ("model.safetensors", f"model.safetensors{INDEX}", "pytorch_model.bin", f"pytorch_model.bin{INDEX}")
_BESIDE = (  # in the same folder, and no checkpoints
    *("config.json", "generation_config.json", "trainer_state.json", "training_args.bin", "README.md"),
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "merges.txt", "added_tokens.json"),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json"),
    *("vocab.json", "vocab.txt", "preprocessor_config.json", "chat_template.jinja"),
)
_SHARD = re.compile(r"(?P<name>.+)-(?P<place>\d{5})-of-(?P<count>\d{5})(?P<ending>\.[a-z]+)")
_OF_TRAINER = re.compile(r"checkpoint-(\d+)")
_CAP = 64 << 20
_MOST_SHARDS = 10_000


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoint that a folder is, or those in its folders `checkpoint-N`, if any."""
    for name in MODELS:
        if (folder / name).is_file():
            return [folder / name]
    shards = [path for path in sorted(folder.glob("*-of-*")) if called(path) in MODELS]
    if shards:
        return whole_ones(shards)
    inner = (path for path in sorted(folder.glob("checkpoint-*")) if _OF_TRAINER.fullmatch(path.name))
    return [found for path in inner for found in checkpoints_in(path)]


def whole_ones(paths: Iterable[Path]) -> list[Path]:
    """Return the checkpoints that files are: nothing for what lies beside a model.

    For a shard it is the index or, where there is none, the first shard.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if (index := path.with_name(f"{called(path)}{INDEX}")).is_file() and called(path) != path.name:
            found[index] = None
        elif count := _count(path):
            found[_shard(path, 1, count)] = None
        elif not _lies_beside(path):
            found[path] = None
    return list(found)


def _lies_beside(path: Path) -> bool:
    known = path.name in _BESIDE or path.name.startswith("rng_state")
    return known and any((path.parent / name).is_file() for name in MODELS)


def shards_at(path: Path) -> list[Path]:
    """Return the shards of a checkpoint that has no index; none where `path` is no shard.

    Raises DamagedFile where one of those that its name counts is not there.
    """
    count = _count(path)
    if count > _MOST_SHARDS:
        raise DamagedFile(f"{path} is one of {count} shards; there must be at most {_MOST_SHARDS}")
    shards = [_shard(path, place, count) for place in range(1, count + 1)]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        some = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if missing[4:] else "")
        raise DamagedFile(
            f"{path.with_name(called(path))} is in {len(shards)} shards, and {some} "
            f"{'are' if missing[1:] else 'is'} not there"
        )
    return shards


def _count(path: Path) -> int:
    """Return how many shards the name of one of several counts; 0 where it is no such name."""
    match = _SHARD.fullmatch(path.name)
    return int(match["count"]) if match and int(match["count"]) > 1 else 0


def _shard(path: Path, place: int, count: int) -> Path:
    name = Path(called(path))
    return path.with_name(f"{name.stem}-{place:05}-of-{count:05}{name.suffix}")


def step_of_folder(path: Path) -> int | None:
    """Return the step in the name of the Trainer's folder that `path` lies in, None where it is no such."""
    match = _OF_TRAINER.fullmatch(path.parent.name) if called(path) in MODELS else None
    return int(match[1]) if match else None


def shown_name(path: Path) -> str:
    """Return what a checkpoint is called: a file called like all others with its folder's name."""
    name = called(path)
    return f"{path.parent.name}/{name}" if name in MODELS and path.parent.name else name


def called(path: Path) -> str:
    """Return a file's name; that of a shard without what says which it is."""
    match = _SHARD.fullmatch(path.name)
    return f"{match['name']}{match['ending']}" if match else path.name


def read_index(path: Path) -> dict[str, list[str]]:
    """Return the names of tensors by the shard that holds them. Raises DamagedFile, FileNotFoundError."""
    try:
        table = json.loads(read_bytes(path.resolve(), _CAP))["weight_map"]
        files = sorted({str(file) for file in table.values()})
        if not files or len(files) > _MOST_SHARDS or not all(type(file) is str for file in table.values()):
            raise ValueError(f"its weight_map must name 1 to {_MOST_SHARDS} files")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedFile(f"{path} is no index of shards: {reason_of(error)}") from error
    for file in files:
        if Path(file).name != file or file in ("", "..") or "\\" in file or "\0" in file:
            raise DamagedFile(f"{path} names {file[:60]!r}, which is no file beside it")
    found: dict[str, list[str]] = {file: [] for file in files}
    for name, file in table.items():
        found[file].append(name)
    return found


def refuse_folder(folder: Path) -> None:
    """Raise UsageError for a folder that holds no checkpoint of transformers."""
    raise UsageError(
        f"`checkpoints` must name files: {folder} is a folder, and none of {', '.join(MODELS)} is in it; "
        f"give a pattern, such as {str(folder / '*.pt')!r}"
    )
