"""Where a task's data lies, how its files are read safely, and whether it is the data that is meant."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from grokscope.errors import DataError

VARIABLE = "GROKSCOPE_DATA_DIR"
DEFAULT = "data"
_GZIP = b"\x1f\x8b"


def data_folder(data_dir: str) -> Path:
    """Return the absolute folder that data is read from: `data_dir`, else $GROKSCOPE_DATA_DIR, else data/."""
    return Path(os.path.abspath(os.path.expanduser(data_dir or os.environ.get(VARIABLE) or DEFAULT)))


def contents(path: Path, cap: int) -> bytes:
    """Return the bytes of the file at `path`, unpacked if it is gzip, whatever it is called.

    Raises DataError when it cannot be read, is damaged, or holds more than `cap` bytes.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            found = file.read(cap + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} must be a whole gzip file: {error}; get it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(found) > cap:
        raise DataError(f"{path} must hold at most {cap} bytes, got more; is it another file?")
    return found


def digest(parts: Iterable[bytes]) -> str:
    """Return the sha256 of `parts`, each preceded by its length."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def check_digest(found: str, wanted: str, where: object) -> None:
    """Raise DataError unless `wanted` is empty or `found`: a run is only what it was on the same data."""
    if wanted and found != wanted:
        raise DataError(
            f"the data in {where} must be that with data_sha256 {wanted[:12]}…, got {found[:12]}…: "
            "it was changed, or is another data set; say where the right one is with `data_dir`"
        )
