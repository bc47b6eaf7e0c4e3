"""Which checkpoints of a run in an object store are those that are known already, told unread.

Whoever copies a run gives its objects other times than its files had. A checkpoint's header says whose it is,
and its losses to the last bit: where it says what the index says, the index is believed, until the checkpoint
itself is read and must have the sha256 in the index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from grokscope.run.curves import CURVE_COLUMNS, curve_text
from grokscope.run.index import Listed
from grokscope.run.remote import read_starts
from grokscope.run.sites import Site, Url

START = 1 << 16  # bytes, in which most headers end; a checkpoint with a longer one is read whole


def unchanged(
    run: Site,
    files: Sequence[tuple[str, Any]],
    known: Mapping[str, Listed],
    stamp: Callable[[int], Mapping[str, str]],
) -> dict[str, Listed]:
    """Return the checkpoints that are as they are known, with the times that they have.

    Args:
        run: where it lies; files of this machine keep their times, so that nobody has to ask.
        files: what is there, with size and time.
        known: what the index says, or this process has written, by name.
        stamp: returns what the header of a step's checkpoint must say.
    """
    if not isinstance(run, Url):
        return {}
    there = [(known[file], status) for file, status in files if file in known]
    there = [(entry, status) for entry, status in there if entry.info.size == status.st_size]
    sure = {entry.info.file: entry for entry, status in there if entry.mtime_ns == status.st_mtime_ns}
    doubted = [
        entry._replace(mtime_ns=status.st_mtime_ns) for entry, status in there if entry.info.file not in sure
    ]
    starts = read_starts([run / entry.info.file for entry in doubted], START)
    return sure | {
        entry.info.file: entry
        for entry, start in zip(doubted, starts, strict=True)
        if _says(start, {**stamp(entry.info.step), **_words(entry)})
    }


def _words(entry: Listed) -> dict[str, str]:
    """Return what the header of a checkpoint says of its losses and accuracies."""
    point = {name: repr(getattr(entry.info, name)) for name in CURVE_COLUMNS}
    return {**point, "curve": curve_text(entry.curve)}


def _says(start: bytes, words: Mapping[str, str]) -> bool:
    """Whether a safetensors file that begins so has these words, and the mark of ours, in its header."""
    end = 8 + int.from_bytes(start[:8], "little")
    if not 8 < end <= len(start):
        return False
    try:
        found = json.loads(start[8:end])["__metadata__"]
        return "seal" in found and all(found.get(name) == word for name, word in words.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
