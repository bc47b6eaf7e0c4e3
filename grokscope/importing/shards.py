"""Checkpoints of several files: which shards an index joins, and which file of a folder is the checkpoint."""

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
    inner = (path for path in sorted(folder.glob("checkpoint-*")) if _OF_TRAINER.fullmatch(path.name))
    return [found for path in inner for found in checkpoints_in(path)]


def whole_ones(paths: Iterable[Path]) -> list[Path]:
    """Return the checkpoints that files are: the index for a shard, nothing for what lies beside a model."""
    found: dict[Path, None] = {}
    for path in paths:
        if (match := _SHARD.fullmatch(path.name)) and (index := _index_of(path, match)).is_file():
            found[index] = None
        elif not _lies_beside(path):
            found[path] = None
    return list(found)


def _index_of(path: Path, match: re.Match[str]) -> Path:
    return path.with_name(f"{match['name']}{match['ending']}{INDEX}")


def _lies_beside(path: Path) -> bool:
    known = path.name in _BESIDE or path.name.startswith("rng_state")
    return known and any((path.parent / name).is_file() for name in MODELS)


def refuse_shard(path: Path) -> None:
    """Raise DamagedFile for a shard without the index that would say what is in the others."""
    match = _SHARD.fullmatch(path.name)
    if match and int(match["count"]) > 1:
        index = _index_of(path, match).name
        raise DamagedFile(
            f"{path} is shard {int(match['place'])} of {int(match['count'])}, and {index}, which says what "
            "the others hold, is not beside it"
        )


def step_of_folder(path: Path) -> int | None:
    """Return the step in the name of the Trainer's folder that `path` lies in, None where it is no such."""
    match = _OF_TRAINER.fullmatch(path.parent.name) if path.name in MODELS else None
    return int(match[1]) if match else None


def shown_name(path: Path) -> str:
    """Return what a checkpoint is called: a file called like all others with its folder's name."""
    return f"{path.parent.name}/{path.name}" if path.name in MODELS and path.parent.name else path.name


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
