"""What lies beside checkpoints as transformers saves them: the network's config.json, and a tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.errors import DamagedFile, UsageError
from grokscope.importing.layouts import Naming
from grokscope.models.hf import NAME, cleaned, renames
from grokscope.run.files import read_bytes
from grokscope.run.rename import read_rules
from grokscope.tasks.language import TEXT, has_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.models.network import Network

CONFIG = "config.json"
_CAP = 1 << 20


def with_beside(
    settings: Mapping[str, Any], task: str, model: str, checkpoints: Sequence[Path]
) -> dict[str, Any]:
    """Return `settings` with what lies beside the checkpoints and is not set: `config` and `tokenizer`.

    Raises UsageError where there is no config.json, or there are several that differ, and DamagedFile.
    """
    found: dict[str, Any] = {}
    if model == NAME and not settings.keys() & {"config", "model.config"}:
        found["model.config"] = _config(checkpoints)
    if task.startswith(TEXT) and not settings.keys() & {"tokenizer", "task.tokenizer"}:
        folders = (folder for path in checkpoints for folder in _folders(path) if has_tokenizer(folder))
        found["task.tokenizer"] = str(next(folders, ""))
    return {**found, **settings}


def as_transformers(naming: Naming, state: Mapping[str, Tensor], network: Network, where: str) -> Naming:
    """Return what is asked for of names, and what transformers itself does with those in a file of its own.

    Raises UsageError where it does more than rename.
    """
    try:
        rules = read_rules(renames(state, getattr(network, "inner", network)))
    except UsageError as error:
        raise UsageError(f"{where} does not fit the network: {error}") from error
    given = {rule.old for rule in naming.rename}
    return replace(naming, rename=[*naming.rename, *(rule for rule in rules if rule.old not in given)])


def _folders(checkpoint: Path) -> Iterator[Path]:
    """Yield where a checkpoint's own files may lie: its folder, and that which the folder is in."""
    yield checkpoint.parent
    yield checkpoint.parent / ".."


def _config(checkpoints: Sequence[Path]) -> str:
    found: dict[str, Path] = {}
    for path in checkpoints:
        place = next((folder / CONFIG for folder in _folders(path) if (folder / CONFIG).is_file()), None)
        if place is None:
            raise UsageError(
                f"there is no {CONFIG} beside {path}, and model {NAME} is made of it: set model.config, or "
                "name a function of your own that makes the network"
            )
        found.setdefault(cleaned(_text(place), place), place)
    if len(found) > 1:
        one, other, *_ = found.values()
        raise UsageError(f"{one} and {other} are of different networks: import them into runs of their own")
    return next(iter(found))


def _text(path: Path) -> str:
    try:
        return read_bytes(path.resolve(), _CAP).decode()
    except UnicodeDecodeError as error:
        raise DamagedFile(f"{path} must be a {CONFIG} of transformers, and is no text") from error
