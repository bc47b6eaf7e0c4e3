"""Which files of a run's folder of checkpoints are checkpoints, and which are left out, in a sentence each.

A checkpoint may be a link to a file: so DVC, git-annex and the Hugging Face cache keep data. A folder may
not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from grokscope.errors import RunError, StorageError
from grokscope.run.config import RUN_FILE
from grokscope.run.files import TEMPORARY, first_link
from grokscope.run.remote import Status
from grokscope.run.sites import Site, Url
from grokscope.run.store import scan

FOLDERS = ("checkpoints", "results")
CHECKPOINT = re.compile(r"\d{8}\.safetensors", re.ASCII)


@dataclass
class Found:
    """What a folder of checkpoints holds.

    Attributes:
        files: the checkpoints, sorted by name; size and time are those of the file that a link leads to.
        problems: why checkpoints that should be there are not, a sentence each.
        remarks: which files are no checkpoints by their names, a sentence each.
    """

    files: list[tuple[str, os.stat_result | Status]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def checkpoint_files(run: Site) -> Found:
    """Return what lies in the folder of checkpoints of `run`. Raises StorageError if it cannot be listed."""
    folder, found = run / "checkpoints", Found()
    try:
        with scan(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                _sort(entry, found)
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StorageError(f"{folder} cannot be listed: {error.strerror or error}") from error
    return found


def _sort(entry: os.DirEntry[str], found: Found) -> None:
    if not CHECKPOINT.fullmatch(entry.name):
        if entry.name.endswith(".safetensors") and not entry.name.startswith("."):
            found.remarks.append(
                f"{entry.path} is left out: a checkpoint's name must be its step in eight digits"
            )
        return
    try:
        found.files.append((f"checkpoints/{entry.name}", entry.stat()))
    except OSError as error:
        if entry.is_symlink():
            found.problems.append(
                f"{entry.path} is left out: it is a link, and {_target(entry.path)} cannot be reached "
                f"({error.strerror or error})"
            )


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return "what it leads to"


def check_folders(run: Site) -> None:
    """Raise RunError where a folder of `run` is a link, or no folder: then nothing in it is looked at."""
    if isinstance(run, Url):
        return
    for place in (run / "checkpoints", run / "results", run / "results" / "quarantine"):
        if link := first_link(place, run):
            raise RunError(f"{link} must not be a link, links out of a run are not followed: link the run")
        if os.path.lexists(place) and not os.path.isdir(place):
            raise RunError(f"{place} must be a folder, got a file: move it away")


def refuse_foreign(path: Site) -> None:
    """Raise RunError for what is neither free nor empty, leftovers of a killed `create` aside."""
    if isinstance(path, Path) and not os.path.lexists(path):
        return
    try:
        with scan(path) as entries:
            foreign = [entry.name for entry in entries if not TEMPORARY.fullmatch(entry.name)]
    except OSError as error:
        if isinstance(path, Url) and isinstance(error, FileNotFoundError):
            return
        raise RunError(f"{path} cannot be a run's directory: {error.strerror}") from error
    if foreign:
        raise RunError(
            f"{path} is no run: it has no {RUN_FILE}, but {min(foreign)}; choose another directory"
        )
