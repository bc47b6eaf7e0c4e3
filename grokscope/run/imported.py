"""imported.json, the table of where imported checkpoints came from, and how a linked one is read.

A linked checkpoint is a foreign safetensors file under a checkpoint's name. It has no seal and no header of
ours: it is believed when its sha256 is the one recorded, and only then parsed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from grokscope.declare import canonical_json
from grokscope.errors import DamagedFile, SettingError, StorageError, reason_of
from grokscope.run.checkpoint import Checkpoint, read_header, with_ties
from grokscope.run.config import hash_of
from grokscope.run.curves import CURVE_COLUMNS, LAST_STEP, Point, curve_text, read_curve
from grokscope.run.files import sha256_hex
from grokscope.run.kinds import Kinds, read_kinds
from grokscope.run.rename import arrange, as_type, read_rules, tied
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

FILE = "imported.json"
FORMAT = 2  # 1 did not say which tensors are parameters
_WORDS = ("step", "source", "sha256", "position", "linked", "metrics")
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
        added: whether it came after the first import.
        curve: the finer curve since the checkpoint before; kept here where the file itself cannot have it.
    """

    step: int
    source: str
    sha256: str
    position: int = -1
    linked: bool = False
    metrics: dict[str, str] = field(default_factory=dict)
    added: bool = False
    curve: tuple[Point, ...] = ()

    def is_of(self, sha256: str, position: int) -> bool:
        """Whether it came from that place in a file of that hash."""
        return (self.sha256, self.position) == (sha256, position)

    @property
    def columns(self) -> dict[str, list[float]]:
        """The finer curve by column; empty where there is none."""
        names = ("step", *CURVE_COLUMNS) if self.curve else ()
        return {name: list(column) for name, column in zip(names, zip(*self.curve, strict=True), strict=True)}

    @property
    def row(self) -> dict[str, Any]:
        """What the table holds of it; what a first import of before had no word for is left out."""
        found = {name: getattr(self, name) for name in _WORDS}
        found |= {"added": True} if self.added else {}
        return found | ({"curve": curve_text(self.curve)} if self.curve and self.linked else {})

    @property
    def point(self) -> tuple[float, float, float, float]:
        """The losses and accuracies in the order of CURVE_COLUMNS; NaN where there is none."""
        found = [float(self.metrics.get(name, math.nan)) for name in CURVE_COLUMNS]
        return found[0], found[1], found[2], found[3]


def contents(records: Sequence[Record]) -> str:
    """Return the hash of which contents the first import has at which step: what run.toml holds of it."""
    return hash_of([[record.step, record.sha256, record.position] for record in records if not record.added])


def as_added(record: Record) -> Record:
    """Return the record of a checkpoint that comes after the first import."""
    return replace(record, added=True)


def renewed(record: Record, before: Record) -> Record:
    """Return the record of a checkpoint that is written again, since it was lost."""
    return replace(record, added=before.added, linked=before.linked)


class Table(NamedTuple):
    """What imported.json says: the checkpoints' records by step, and their tensors' kinds."""

    records: dict[int, Record]
    kinds: Kinds | None = None

    @property
    def links(self) -> dict[int, Record]:
        """The records of linked checkpoints."""
        return {step: record for step, record in self.records.items() if record.linked}


def encode(records: Sequence[Record], kinds: Kinds | None) -> bytes:
    """Return the bytes of imported.json. Raises StorageError for more checkpoints than it may have."""
    rows, words = [record.row for record in records], kinds.words() if kinds else {}
    seal = sha256_hex(canonical_json([rows, words]).encode())
    table = {"format": FORMAT, "seal": seal, "kinds": words, "checkpoints": rows}
    data = (json.dumps(table, indent=1) + "\n").encode()
    if len(data) > _CAP:
        raise StorageError(f"{FILE} must be at most {_CAP} bytes, got {len(data)}: import fewer checkpoints")
    return data


def read(path: Site, expected: str) -> Table:
    """Return what `path` says. Raises DamagedFile unless it is whole and its records hash to `expected`."""
    try:
        found = json.loads(read_bytes(path, _CAP))
        rows, words = found["checkpoints"], found.get("kinds", {})
        sealed = rows if found["format"] == 1 else [rows, words]
        if found["format"] not in (1, FORMAT) or found["seal"] != sha256_hex(canonical_json(sealed).encode()):
            raise ValueError("it is not as it was written")
        records = [_record(**row) for row in rows]
        if contents(records) != expected:
            raise ValueError("it belongs to another run")
        return Table({record.step: record for record in records}, read_kinds(words))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise DamagedFile(f"{path} is damaged: {reason_of(error)}") from error


def _record(curve: str = "[]", **row: Any) -> Record:
    record = Record(**row, curve=read_curve(curve))
    kinds = (
        *(("step", int), ("source", str), ("sha256", str), ("position", int)),
        *(("linked", bool), ("added", bool)),
    )
    if any(type(getattr(record, name)) is not kind for name, kind in kinds):
        raise ValueError("a checkpoint's entry is of other types than grokscope writes")
    if not 0 <= record.step <= LAST_STEP:
        raise ValueError(f"a step must be within 0 and {LAST_STEP}")
    record.point  # noqa: B018 - numbers that cannot be read are refused here
    return record


def check_link(data: bytes, path: Site, record: Record) -> None:
    """Check that `data` is the file that was linked, and sound safetensors. Raises DamagedFile."""
    if sha256_hex(data) != record.sha256:
        raise DamagedFile(
            f"{path} is damaged, or {record.source} was changed after it was linked: "
            "its sha256 is not the recorded one"
        )
    read_header(data, path)


def decode_link(
    data: bytes, path: Site, about: Mapping[str, Any], dtype: str, kinds: Kinds | None
) -> Checkpoint:
    """Return the checkpoint in a linked file whose sha256 was checked, under the network's names.

    `about` is the table `imported` of the run's configuration: its `rename`, and `ties` where there are any.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    metadata = read_header(data, path)
    try:
        rules = read_rules(about.get("rename", ()))
        known = {*(rule.old for rule in rules), *(kinds.ties if kinds else ())}
        ties = {name: one for name, one in metadata.items() if name in known}  # runs of before have none
        found = as_type(tied(arrange(with_ties(load(data), ties), rules), about.get("ties", {})), dtype)
        if kinds:
            found = kinds.whole(found)
            kinds.check(kinds.stored(found))
    except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError, SettingError) as error:
        raise DamagedFile(f"{path} is damaged: {reason_of(error)}") from error
    return Checkpoint({}, {name: found[name] for name in sorted(found)}, sha256_hex(data), kinds)
