"""index.h5, what a user opens with h5py or HDFView: a cache of checkpoints, curves and results.

Of it grokscope itself reads only which checkpoints there were and at how many of them each measure is stored:
results always come from the segments, whose names prove their bytes.

Behind the HDF5 file, where its readers do not look, stands a seal, the sha256 of all before it. Without one
that fits HDF5 is not asked at all: a few changed bytes can make it end the process. A program that writes to
the file cuts the seal off, or leaves one that does not fit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from grokscope.errors import DamagedFile, StorageError
from grokscope.run.checkpoint import CheckpointInfo
from grokscope.run.curves import CURVE_COLUMNS, Point
from grokscope.run.files import sha256_hex
from grokscope.run.image import (
    build,
    describe,
    end_of,
    is_hdf5,
    is_held,
    opened,
    read_number,
    read_table,
    write_table,
)
from grokscope.run.results import Cell, CellKey, write_cells
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

if TYPE_CHECKING:
    import h5py
    import numpy as np

FORMAT = 3  # 1 had no seal, 2 one inside
INDEX_CAP = 2 << 30
_CHECKPOINTS = ("step", "file", "size", "sha256", *CURVE_COLUMNS, "mtime_ns")
_CURVES = ("step", *CURVE_COLUMNS, "checkpoint")
_SEGMENTS = ("name",)
_MEASURED = ("measure", "checkpoints")
_SEAL = b"\nsha256 "
SEAL_SIZE = len(_SEAL) + 64 + 1
_COLUMNS = {
    "checkpoints": _CHECKPOINTS,
    "curves": _CURVES,
    "segments": _SEGMENTS,
    "measured": _MEASURED,
}
_ABOUT = {
    "checkpoints": "one record per checkpoint",
    "curves": "losses and accuracies; checkpoint: whose header holds them",
    "segments": "the segments in results/ whose union results is",
    "measured": "at how many checkpoints each measure is stored",
}


class Listed(NamedTuple):
    """A checkpoint as its folder shows it: its header's numbers and the curve since the checkpoint before."""

    info: CheckpointInfo
    mtime_ns: int
    curve: tuple[Point, ...]

    def stamp(self) -> tuple[str, int, int]:
        """Return what tells that the file is still the one described: name, size, time."""
        return self.info.file, self.info.size, self.mtime_ns

    def own_point(self) -> tuple[Point, ...]:
        """Return the checkpoint's own metrics as a point; none when none was recorded."""
        i = self.info
        metrics = (i.train_loss, i.test_loss, i.train_accuracy, i.test_accuracy)
        return () if all(map(math.isnan, metrics)) else ((i.step, *metrics),)


class Index(NamedTuple):
    """What index.h5 says: checkpoints by file name, and the segments whose union it shows to users.

    `measured` is at how many of the checkpoints each measure is stored in these segments.
    """

    listed: dict[str, Listed]
    segments: frozenset[str]
    measured: dict[str, int]


class OtherFormat(DamagedFile):
    """An index of an earlier or a later grokscope, or one that is in use: made anew without a word."""


class Unsealed(OtherFormat):
    """An index that another program wrote, or wrote to and closed: likewise."""


def encode(listed: Iterable[Listed], segments: Collection[str], cells: Sequence[Cell], run: str) -> bytes:
    """Return the bytes of index.h5."""
    listed = list(listed)
    stored = measured((cell.key for cell in cells), (entry.info.sha256 for entry in listed))
    tables = {
        "checkpoints": _checkpoints(listed),
        "curves": _curves(listed),
        "segments": _names(segments),
        "measured": _counts(stored),
    }

    def fill(file: h5py.File) -> None:
        about = (
            "grokscope run index: a cache of checkpoints/ and results/, rebuilt whenever it does not fit them"
        )
        describe(file, about=about, run=run, format=FORMAT)
        for name, table in tables.items():
            write_table(file, name, table, _ABOUT[name])
        write_cells(file.create_group("results"), cells)

    data = build(fill)
    return data + _seal_of(data)


def _seal_of(data: bytes | memoryview) -> bytes:
    return _SEAL + sha256_hex(data).encode() + b"\n"


def read_index(path: Site) -> Index:
    """Return what `path` says of checkpoints and segments.

    Raises FileNotFoundError when there is none, OtherFormat, DamagedFile, StorageError.
    """
    with opened(read_sealed(path), path, only=_COLUMNS) as file:
        if read_number(file, "format") == FORMAT:
            return _read(file)
    raise OtherFormat(f"{path} has another format")


def read_sealed(path: Site) -> bytes:
    """Return the bytes of `path`, whose seal fits. Raises as `read_index`."""
    data = read_bytes(path, INDEX_CAP)
    end = end_of(data)
    if is_held(data) or (is_hdf5(data) and not end):
        raise OtherFormat(f"{path} has another format, or another program holds it open")
    if 0 < end == len(data):
        raise Unsealed(f"{path} is another program's")
    if len(data) - end != SEAL_SIZE or data[end:] != _seal_of(memoryview(data)[:end]):
        raise DamagedFile(f"{path} is damaged: its bytes are not those that were written")
    return data


def is_earlier(path: Site) -> bool:
    """Return whether an index without a seal is of an earlier grokscope, of whose bytes nothing is proved."""
    try:
        with opened(read_bytes(path, INDEX_CAP), path, only=()) as file:
            return read_number(file, "format") < FORMAT
    except DamagedFile:
        return False


def look_at(path: Site) -> tuple[Index, str]:
    """Return what `path` says and ""; of one that cannot be believed nothing, and what is amiss in a word.

    One of another format is no trouble.
    """
    trouble = ""
    try:
        return read_index(path), trouble
    except FileNotFoundError:
        trouble = "missing"
    except OtherFormat:
        pass
    except DamagedFile:
        trouble = "changed or damaged"
    except StorageError:
        trouble = "unreadable"
    return Index({}, frozenset(), {}), trouble


def measured(keys: Iterable[CellKey], checkpoints: Iterable[str]) -> dict[str, int]:
    """Return at how many of the checkpoints, told by their sha256, each measure has a result, by name."""
    present = frozenset(checkpoints)
    pairs = {(key.measure, key.checkpoint) for key in keys if key.checkpoint in present}
    return dict(sorted(Counter(measure for measure, _ in pairs).items()))


def _read(file: h5py.File) -> Index:
    tables = {name: read_table(file, name, fields) for name, fields in _COLUMNS.items()}
    segments = frozenset(name.decode() for name in tables["segments"]["name"].tolist())
    counts = {name.decode("utf-8", "surrogatepass"): count for name, count in tables["measured"].tolist()}
    return Index(_read_listed(tables), segments, counts)


def _read_listed(tables: Mapping[str, np.ndarray]) -> dict[str, Listed]:
    curves: dict[int, list[Point]] = {}
    for *point, checkpoint in tables["curves"].tolist():
        curves.setdefault(checkpoint, []).append(tuple(point))
    listed = {}
    for step, name, size, digest, *metrics, mtime in tables["checkpoints"].tolist():
        info = CheckpointInfo(step, name.decode(), size, digest.decode(), *metrics)
        if info.file != f"checkpoints/{step:08d}.safetensors":
            raise DamagedFile(f"checkpoint {step} cannot be in {info.file!r}")
        listed[info.file] = Listed(info, mtime, tuple(curves.get(step, ())))
    return listed


def _checkpoints(listed: Sequence[Listed]) -> np.ndarray:
    import numpy as np

    kinds = ["<i8", "S64", "<i8", "S64", *["<f8"] * 4, "<i8"]
    records = [
        (i.step, i.file, i.size, i.sha256, *(getattr(i, name) for name in CURVE_COLUMNS), entry.mtime_ns)
        for entry in listed
        for i in [entry.info]
    ]
    return np.array(records, list(zip(_CHECKPOINTS, kinds, strict=True)))


def _curves(listed: Sequence[Listed]) -> np.ndarray:
    import numpy as np

    kinds = ["<i8", *["<f8"] * 4, "<i8"]
    records = [(*point, entry.info.step) for entry in listed for point in entry.curve]
    return np.array(records, list(zip(_CURVES, kinds, strict=True)))


def _names(segments: Collection[str]) -> np.ndarray:
    import numpy as np

    return np.array([(name,) for name in sorted(segments)], [("name", "S67")])


def _counts(stored: Mapping[str, int]) -> np.ndarray:
    import numpy as np

    records = [(name.encode("utf-8", "surrogatepass"), count) for name, count in stored.items()]
    width = max([1, *(len(name) for name, _ in records)])
    return np.array(records, [("measure", f"S{width}"), ("checkpoints", "<i8")])
