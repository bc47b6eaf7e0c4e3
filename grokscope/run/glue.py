"""The fingerprints of the user's own code that a run was last measured with, and its losses computed with."""

from __future__ import annotations

import json

from grokscope.errors import DamagedFile, StorageError
from grokscope.run.sites import Site
from grokscope.run.store import atomic_write, read_bytes

FILE = "code.json"
NETWORK = "@network"  # in a key's parameters: the fingerprint of the code that made the network
_CAP = 1 << 16


def remember(run: Site, fingerprint: str, losses: str = "") -> None:
    """Write down the fingerprint, durably, and that of the run's losses where it is given.

    Raises StorageError.
    """
    words = {"fingerprint": fingerprint, "losses": losses or of_losses(run)}
    atomic_write(run / FILE, json.dumps(words).encode())


def remembered(run: Site) -> str:
    """Return the fingerprint; "" where there is none, or it cannot be read."""
    return _read(run, "fingerprint")


def of_losses(run: Site) -> str:
    """Return the fingerprint of the code that the losses and accuracies in the run are of; "" if unknown."""
    return _read(run, "losses")


def _read(run: Site, word: str) -> str:
    try:
        found = json.loads(read_bytes(run / FILE, _CAP))[word]
    except (FileNotFoundError, DamagedFile, StorageError, ValueError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""
