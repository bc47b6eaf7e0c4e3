"""index.h5, what a user opens with h5py or HDFView: a cache of checkpoints, curves and results.

Of it grokscope itself reads only which checkpoints there were and at how many of them each measure is stored,
and that only where the seal, a sha256 over these tables, fits: results always come from the segments, whose
names prove their bytes.
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
from grokscope.run.image import build, describe, opened, read_number, read_table, write_table
from grokscope.run.results import Cell, CellKey, write_cells
from grokscope.run.sites import Site
from grokscope.run.store import read_bytes

if TYPE_CHECKING:
    import h5py
    import numpy as np

FORMAT = 3  # 1 had no seal
UNCOUNTED = 2  # the same, but that it does not tell what is measured
INDEX_CAP = 2 << 30
_CHECKPOINTS = ("step", "file", "size", "sha256", *CURVE_COLUMNS, "mtime_ns")
_CURVES = ("step", *CURVE_COLUMNS, "checkpoint")
_SEGMENTS = ("name",)
_MEASURED = ("measure", "checkpoints")
_SEAL = ("sha256",)
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

    `measured` is at how many of the checkpoints each measure is stored in these segments, which an earlier
    grokscope did not write.
    """

    listed: dict[str, Listed]
    segments: frozenset[str]
    measured: dict[str, int] | None = None


class OtherFormat(DamagedFile):
    """An index of an earlier or a later grokscope, or one that is in use: made anew without a word."""


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
        write_table(file, "seal", _sealed(tables), "sha256 of the tables beside it")
        write_cells(file.create_group("results"), cells)

    return build(fill)


def read_index(path: Site) -> Index:
    """Return what `path` says of checkpoints and segments.

    Raises FileNotFoundError when there is none, OtherFormat, DamagedFile, StorageError.
    """
    data = read_bytes(path, INDEX_CAP)
    if not _is_held(data):
        with opened(data, path, only=(*_COLUMNS, "seal")) as file:
            if read_number(file, "format") in (UNCOUNTED, FORMAT):
                return _read_sealed(file)
    raise OtherFormat(f"{path} has another format, or another program holds it open")


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
        trouble = "damaged"
    except StorageError:
        trouble = "unreadable"
    return Index({}, frozenset()), trouble


def measured(keys: Iterable[CellKey], checkpoints: Iterable[str]) -> dict[str, int]:
    """Return at how many of the checkpoints, told by their sha256, each measure has a result, by name."""
    present = frozenset(checkpoints)
    pairs = {(key.measure, key.checkpoint) for key in keys if key.checkpoint in present}
    return dict(sorted(Counter(measure for measure, _ in pairs).items()))


def _is_held(data: bytes) -> bool:
    """Whether a program has the file open for writing; only later superblocks than ours say so."""
    return data[8:9] == b"\x03" and data[11:12] != b"\0"


def _read_sealed(file: h5py.File) -> Index:
    tables = {name: read_table(file, name, fields) for name, fields in _COLUMNS.items() if name in file}
    if read_table(file, "seal", _SEAL).tolist() != _sealed(tables).tolist():
        raise DamagedFile("its tables are not those that were written")
    segments = frozenset(name.decode() for name in tables["segments"]["name"].tolist())
    if "measured" not in tables:
        return Index(_read_listed(tables), segments)
    counts = {name.decode("utf-8", "surrogatepass"): count for name, count in tables["measured"].tolist()}
    return Index(_read_listed(tables), segments, counts)


def _sealed(tables: Mapping[str, np.ndarray]) -> np.ndarray:
    import numpy as np

    parts = [f"{name} {table.dtype};".encode() + table.tobytes() for name, table in tables.items()]
    return np.array([(sha256_hex(b"".join(parts)),)], [("sha256", "S64")])


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
