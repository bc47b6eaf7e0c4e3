"""imported.json, the table of where imported checkpoints came from, and how a linked one is read.

A linked checkpoint is a foreign safetensors file under a checkpoint's name. It has no seal and no header of
ours: it is believed when its sha256 is the one recorded, and only then parsed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokscope.declare import canonical_json
from grokscope.errors import DamagedFile, SettingError, StorageError
from grokscope.run.checkpoint import read_header
from grokscope.run.config import hash_of
from grokscope.run.curves import LAST_STEP, METRICS
from grokscope.run.files import read_bytes, sha256_hex
from grokscope.run.layout import arrange, as_type, read_rules

if TYPE_CHECKING:
    from torch import Tensor

FILE = "imported.json"
FORMAT = 1
_CAP = 16 << 20  # parsed it takes ten times as much; a checkpoint has some 300 bytes


@dataclass(frozen=True)
class Record:
    """Where one checkpoint came from.

    Attributes:
        step: optimiser updates done.
        source: the file's name; only ever shown, never opened.
        sha256: of the file that it came from.
        position: its place in a file that holds several, else -1.
        linked: whether the checkpoint is that file itself.
        metrics: losses and accuracies by name, as text.
    """

    step: int
    source: str
    sha256: str
    position: int = -1
    linked: bool = False
    metrics: dict[str, str] = field(default_factory=dict)

    @property
    def point(self) -> tuple[float, float, float, float]:
        """The losses and accuracies in the order of METRICS; NaN where there is none."""
        found = [float(self.metrics.get(name, math.nan)) for name in METRICS]
        return found[0], found[1], found[2], found[3]


def contents(records: Sequence[Record]) -> str:
    """Return the hash of which contents are at which step: what run.toml holds of the table."""
    return hash_of([[record.step, record.sha256, record.position] for record in records])


def encode(records: Sequence[Record]) -> bytes:
    """Return the bytes of imported.json. Raises StorageError for more checkpoints than it may have."""
    rows = [asdict(record) for record in records]
    seal = sha256_hex(canonical_json(rows).encode())
    data = (json.dumps({"format": FORMAT, "seal": seal, "checkpoints": rows}, indent=1) + "\n").encode()
    if len(data) > _CAP:
        raise StorageError(f"{FILE} must be at most {_CAP} bytes, got {len(data)}: import fewer checkpoints")
    return data


def read(path: Path, expected: str) -> list[Record]:
    """Return the records in `path`. Raises DamagedFile unless they are whole and hash to `expected`."""
    try:
        found = json.loads(read_bytes(path, _CAP))
        rows = found["checkpoints"]
        if found["format"] != FORMAT or found["seal"] != sha256_hex(canonical_json(rows).encode()):
            raise ValueError("it is not as it was written")
        records = [_record(**row) for row in rows]
        if contents(records) != expected:
            raise ValueError("it belongs to another run")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    return records


def _record(**row: Any) -> Record:
    record = Record(**row)
    kinds = (("step", int), ("source", str), ("sha256", str), ("position", int), ("linked", bool))
    if any(type(getattr(record, name)) is not kind for name, kind in kinds):
        raise ValueError("a checkpoint's entry is of other types than grokscope writes")
    if not 0 <= record.step <= LAST_STEP:
        raise ValueError(f"a step must be within 0 and {LAST_STEP}")
    record.point  # noqa: B018 - numbers that cannot be read are refused here
    return record


def check_link(data: bytes, path: Path, record: Record) -> None:
    """Check that `data` is the file that was linked, and sound safetensors. Raises DamagedFile."""
    if sha256_hex(data) != record.sha256:
        raise DamagedFile(
            f"{path} is damaged, or {record.source} was changed after it was linked: "
            "its sha256 is not the recorded one"
        )
    read_header(data, path)


def decode_link(data: bytes, path: Path, rename: Sequence[str], dtype: str) -> dict[str, Tensor]:
    """Return the weights in a linked file whose sha256 was checked, under the network's names."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    read_header(data, path)
    try:
        found = as_type(arrange(load(data), read_rules(rename)), dtype)
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError, SettingError) as error:
        raise DamagedFile(f"{path} is damaged: {error}") from error
    return {name: found[name] for name in sorted(found)}
