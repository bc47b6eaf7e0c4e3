"""The fingerprint of the user's own code that a run was last measured with, kept beside its results."""

from __future__ import annotations

import json
from pathlib import Path

from grokscope.errors import DamagedFile, StorageError
from grokscope.run.files import atomic_write, read_bytes

FILE = "code.json"
NETWORK = "@network"  # in a key's parameters: the fingerprint of the code that made the network
_CAP = 1 << 16


def remember(run: Path, fingerprint: str) -> None:
    """Write down the fingerprint, durably. Raises StorageError."""
    atomic_write(run / FILE, json.dumps({"fingerprint": fingerprint}).encode())


def remembered(run: Path) -> str:
    """Return the fingerprint; "" where there is none, or it cannot be read."""
    try:
        found = json.loads(read_bytes(run / FILE, _CAP))["fingerprint"]
    except (FileNotFoundError, DamagedFile, StorageError, ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
