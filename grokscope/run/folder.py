"""Run directories as things in a folder: which there are, what they take, and how one is removed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grokscope.errors import RunError, StorageError
from grokscope.run.config import RUN_FILE
from grokscope.run.directory import INDEX_FILE, RESUME_FILE, Run
from grokscope.run.examples import FILE as EXAMPLES_FILE
from grokscope.run.files import TEMPORARY
from grokscope.run.glue import FILE as CODE_FILE
from grokscope.run.imported import FILE as IMPORT_FILE
from grokscope.run.listing import CHECKPOINT, FOLDERS
from grokscope.run.sites import Site, Url, site_of
from grokscope.run.store import exists, scan

DEEPEST = 4  # folders between the one that is looked through and a run
_OWN = re.compile(
    rf"{RUN_FILE}|{INDEX_FILE}|{RESUME_FILE}|{IMPORT_FILE}|{EXAMPLES_FILE}|{CODE_FILE}|checkpoints/{CHECKPOINT.pattern}"
    r"|results/(?:quarantine/)?[^/]+\.h5",
    re.ASCII,
)
_OWN_FOLDERS = (*FOLDERS, "results/quarantine")


def find_runs(folder: str | Site) -> Iterator[Site]:
    """Yield the run directories in `folder`, itself among them, by name; no link is followed.

    Raises RunError where there is no such directory.
    """
    folder = site_of(folder)
    if isinstance(folder, Path) and not folder.is_dir():
        raise RunError(f"{folder} must be a directory, and there is none")
    yield from _runs_below(folder, DEEPEST)


def _runs_below(folder: Site, deeper: int) -> Iterator[Site]:
    if exists(folder / RUN_FILE):
        yield folder
        return
    if not deeper:
        return
    try:
        with scan(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in names:
        yield from _runs_below(folder / name, deeper - 1)


def summary(run: Run) -> dict[str, Any]:
    """Return what a run is: of what it was trained, how far it is, its last accuracies, its size."""
    last = run.checkpoints[-1] if run.checkpoints else None
    steps = run.config["training"].get("steps")
    reached = last.step if last else None
    state = "imported" if run.is_imported else "recorded" if run.is_recorded else ""
    state = state or ("finished" if reached == steps else "unfinished")
    return {
        "run": str(run.path),
        "task": run.config["task"]["name"],
        "recipe": run.config["recipe"],
        "seed": run.seed,
        "step": reached,
        "steps": steps,
        "checkpoints": len(run.checkpoints),
        "train_accuracy": last.train_accuracy if last else None,
        "test_accuracy": last.test_accuracy if last else None,
        "bytes": size_of(run.path),
        "state": state,
        "problems": list(run.problems),
    }


def size_of(run: str | Site) -> int:
    """Return the bytes of all files in a run directory."""
    place = site_of(run)
    if isinstance(place, Url):
        return _size_below(place)
    return sum(os.lstat(path).st_size for path in _files(place))


def _size_below(folder: Url) -> int:
    with scan(folder) as found:
        entries = list(found)
    sizes = (_size_below(folder / each.name) if each.is_dir() else each.stat().st_size for each in entries)
    return sum(sizes)


def remove_run(run: str | Site) -> None:
    """Delete a run directory; nothing but a run's own files is ever deleted.

    A checkpoint that is a link goes, what it points to stays.

    Raises:
        RunError: it is no run, no directory, or holds something that no run has: then nothing is deleted.
        StorageError: it cannot be deleted.
    """
    path = Run.open(run).path
    if isinstance(path, Url):
        raise RunError(f"{path} must be a directory of this machine to be removed: use the store's own tools")
    if path.is_symlink():
        raise RunError(f"{path} must be a run directory itself, got a link to one: remove what it points to")
    files = [str(found.relative_to(path)) for found in _files(path)]
    folders = [str(found.relative_to(path)) for found in _folders(path)]
    foreign = [name for name in files if not _is_own(name)]
    foreign += [name for name in folders if name not in _OWN_FOLDERS]
    if foreign:
        raise RunError(
            f"{path} must hold nothing but a run to be removed, got {min(foreign)} too: move that away first"
        )
    try:
        # run.toml goes last: a removal that was killed can be repeated.
        for name in sorted(files, key=lambda name: name == RUN_FILE):
            (path / name).unlink(missing_ok=True)
        for name in sorted(folders, reverse=True):
            (path / name).rmdir()
        path.rmdir()
    except OSError as error:
        raise StorageError(f"{path} cannot be removed: {error.strerror or error}") from error


def _is_own(name: str) -> bool:
    return bool(_OWN.fullmatch(name) or TEMPORARY.fullmatch(name.rpartition("/")[2]))


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        yield from (Path(root, name) for name in names)
        yield from (Path(root, name) for name in folders if Path(root, name).is_symlink())


def _folders(folder: Path) -> Iterator[Path]:
    for root, folders, _ in os.walk(folder):
        yield from (Path(root, name) for name in folders if not Path(root, name).is_symlink())
