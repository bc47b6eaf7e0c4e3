"""What a result is, a cell (one measure on one checkpoint), and how cells become an HDF5 table and back."""

from __future__ import annotations

import functools
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from grokscope.errors import DamagedFile, MeasureError, StorageError
from grokscope.measure import Row
from grokscope.run.files import sha256_hex
from grokscope.run.image import build, describe, find_table, opened, read_number, write_array, write_table

if TYPE_CHECKING:
    import h5py
    import numpy as np

FORMAT = 1
SEGMENT_CAP = 1 << 30
FIELDS = (
    *("cell", "row", "step", "measure", "label", "column", "kind", "value", "text", "position"),
    *("version", "parameters", "checkpoint", "data", "noise"),
)
RECORDS, BYTES_PER_RECORD = 200_000, 8  # the records of a segment: so many, or one for so many packed bytes
TABLE_CAP = 256 << 20  # bytes that they may take unpacked
STACKS = 4_000  # datasets of arrays that are written into one segment
_AT = {name: at for at, name in enumerate(FIELDS)}  # a field's place in a record
_ENTRY = ("column", "value", "kind", "text", "position")
PART = 4 << 20  # bytes of records that are read at once
_WHOLE = {"cell", "row", "step", "position", "version"}
_ABOUT = (
    "One record per number, word, array or note of a result. cell: which result; row: which of its rows, -1 "
    "for a note; label: the row's labels (layer, ...) as a JSON list; kind: number (in value), text (in "
    "text), array (text names the dataset in arrays, position its first index), note (text says why it does "
    "not apply), empty (a row without columns). In texts a backslash stands as \\\\ and a NUL as \\0."
)


class CellKey(NamedTuple):
    """What a result depends on, and so what it is found again by.

    Attributes:
        checkpoint: the sha256 of the checkpoint file.
        measure: `plugin:name`.
        version: the measure's version.
        parameters: its parameters as canonical JSON.
        data: the task's hash, `Run.data_hash`.
        noise: the noise seed, `Run.noise_seed`.
    """

    checkpoint: str
    measure: str
    version: int
    parameters: str
    data: str
    noise: str


class Cell(NamedTuple):
    """One measure's result on one checkpoint; `note` says why it does not apply, and `rows` is then empty."""

    key: CellKey
    step: int
    rows: tuple[Row, ...] = ()
    note: str = ""


_OF_CELL = ("cell", "step", *CellKey._fields)
_OF_ENTRY = tuple(name for name in FIELDS if name not in _OF_CELL)
_key_in = operator.itemgetter(*(_AT[name] for name in CellKey._fields))  # of a record


class TooMuch(StorageError):
    """More than one segment may hold: fewer cells fit."""


class NewerFormat(DamagedFile):
    """A file of a later grokscope: not read, and not moved either."""


def encode(cells: Sequence[Cell], nonce: str = "") -> bytes:
    """Return the segment that holds `cells`; equal cells give equal bytes unless `nonce` tells them apart.

    Raises TooMuch for more than `decode` would read.
    """
    table, stacks = _laid_out(cells)
    if len(table) > RECORDS or table.nbytes > TABLE_CAP or len(stacks) > STACKS:
        raise TooMuch(
            f"the result of {cells[0].key.measure} at step {cells[0].step} cannot be stored: it must take at "
            f"most {RECORDS} numbers and {STACKS} shapes of arrays, got {len(table)} and {len(stacks)}"
        )

    def fill(file: h5py.File) -> None:
        describe(file, about="grokscope results: an immutable segment named by its sha256", format=FORMAT)
        if nonce:
            describe(file, nonce=nonce)
        _write(file, table, stacks)

    return build(fill)


def decode(data: bytes, where: object) -> list[Cell]:
    """Return the cells of a segment. Raises DamagedFile, or NewerFormat for a later grokscope's."""
    with opened(data, where) as file:
        if read_number(file, "format") > FORMAT:
            newer = f"{where} was written by a later grokscope; update grokscope to read it"
        else:
            return read_cells(file)
    raise NewerFormat(newer)


def merge(cells: Iterable[Cell]) -> dict[CellKey, list[Cell]]:
    """Return the different results of each key, in an order that does not depend on that of `cells`.

    More than one means that the measure is not deterministic, or that arithmetic was another.
    """
    merged: dict[CellKey, list[Cell]] = {}
    for cell in cells:
        variants = merged.setdefault(cell.key, [])
        if not variants or fingerprint(cell) not in map(fingerprint, variants):
            variants.append(cell)
            if len(variants) > 1:
                variants.sort(key=fingerprint)
    return merged


def in_order(merged: dict[CellKey, list[Cell]]) -> list[Cell]:
    """Return all cells by step, measure and parameters."""
    cells = [cell for variants in merged.values() for cell in variants]
    return sorted(cells, key=lambda cell: (cell.step, cell.key))


def fingerprint(cell: Cell) -> str:
    """Return a hash that two cells share exactly when every label, number, word and array is the same.

    NaN is the same as NaN, 0.0 is not -0.0.
    """
    rows = [
        (
            row.labels,
            sorted(
                (name, value if isinstance(value, str) else repr(float(value)))
                for name, value in row.values.items()
            ),
            sorted((name, a.dtype.str, a.shape, a.tobytes()) for name, a in row.arrays.items()),
        )
        for row in cell.rows
    ]
    return sha256_hex(repr((cell.step, cell.note, rows)).encode())


def write_cells(group: h5py.Group, cells: Sequence[Cell]) -> None:
    """Write `cells` as the table `rows` and the arrays beside it under `arrays`."""
    _write(group, *_laid_out(cells))


def _laid_out(cells: Sequence[Cell]) -> tuple[np.ndarray, _Stacks]:
    """Return the table of records, and the arrays beside it; what a cell's records share is written once."""
    import numpy as np

    stacks, pack, labels = _Stacks(), functools.cache(_pack), functools.cache(_packed_labels)
    entries = [list(_entries(cell, stacks, pack, labels)) for cell in cells]
    heads = [
        (number, cell.step, *(pack(word) if isinstance(word, str) else word for word in cell.key))
        for number, cell in enumerate(cells)
    ]
    counts = [len(own) for own in entries]
    own = _columns(_OF_ENTRY, [entry for own in entries for entry in own])
    shared = {name: np.repeat(column, counts) for name, column in _columns(_OF_CELL, heads).items()}
    found = {name: {**own, **shared}[name] for name in FIELDS}
    table = np.empty(sum(counts), [(name, column.dtype) for name, column in found.items()])
    for name, column in found.items():
        table[name] = column
    return table, stacks


def _columns(names: Sequence[str], records: Sequence[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    import numpy as np

    columns = list(zip(*records, strict=True)) or [()] * len(names)
    return {name: np.array(c, _type(name, c)) for name, c in zip(names, columns, strict=True)}


def _write(group: h5py.Group, table: np.ndarray, stacks: _Stacks) -> None:
    write_table(group, "rows", table, _ABOUT, compress=True)
    stacks.write(group.create_group("arrays"))


def read_cells(group: h5py.Group) -> list[Cell]:
    """Return the cells that `write_cells` wrote. Raises DamagedFile, ValueError or KeyError otherwise."""
    table = find_table(group, "rows", FIELDS)
    _check_cost(table)
    reader = _Reader(_Arrays(group["arrays"]))
    for part in _parts(table):
        reader.take(part)
    cells = reader.ended()
    for parameters in {cell.key.parameters for cell in cells}:
        _check_parameters(parameters)
    return cells


def _check_cost(rows: h5py.Dataset) -> None:
    """Refuse a table that takes far more time or memory to read than a file of its size should."""
    records, declared = len(rows), len(rows) * rows.dtype.itemsize
    most = max(RECORDS, rows.id.get_storage_size() // BYTES_PER_RECORD)
    if records > most:
        raise DamagedFile(f"it must hold at most {most} records for its size, got {records}")
    if declared > TABLE_CAP:
        raise DamagedFile(f"its records must take at most {TABLE_CAP} bytes, got {declared}")
    for name in FIELDS:
        kind = "i" if name in _WHOLE else "f" if name == "value" else "S"
        if rows.dtype[name].kind != kind:
            raise DamagedFile(f"its column {name} is of another type than grokscope writes")


def _parts(rows: h5py.Dataset) -> Iterator[np.ndarray]:
    """Yield the table in parts: what is read at once does not grow with it."""
    size = max(1, PART // rows.dtype.itemsize)
    return (rows[start : start + size] for start in range(0, len(rows), size))


class _Reader:
    """Puts the records of a table together, part by part: records of one number are a cell, with its rows."""

    def __init__(self, arrays: _Arrays) -> None:
        self._arrays = arrays
        self._text, self._labels = functools.cache(_unpack), functools.cache(_labels)
        self._cells: list[Cell] = []
        self._number: int | None = None
        self._row = -1
        self._head: tuple[Any, ...] = ()
        self._rows: list[Row] = []

    def take(self, part: np.ndarray) -> None:
        """Take in the records that come next."""
        import numpy as np

        numbers, rows, *entries = (part[name].tolist() for name in ("cell", "row", *_ENTRY))
        names, values = list(map(self._text, entries[0])), entries[1]
        new = (np.diff(part["cell"]) != 0) | (np.diff(part["row"]) != 0)
        starts = np.concatenate([[0], np.flatnonzero(new) + 1])
        plain = np.logical_and.reduceat(part["kind"] == b"number", starts).tolist()
        opens = np.diff(part["cell"][starts], prepend=numbers[0] - 1) != 0
        heads = iter(part[starts[opens]].tolist())
        edges = [*starts.tolist(), len(part)]
        about = zip(edges, edges[1:], part["label"][starts].tolist(), plain, opens.tolist(), strict=False)
        for start, end, label, all_numbers, opening in about:
            if opening:
                self._begin(numbers[start], next(heads))
            if rows[start] < 0:
                continue
            if all_numbers:
                found = dict(zip(names[start:end], values[start:end], strict=True))
                self._add(rows[start], Row(self._labels(label), found, {}))
            else:
                own = zip(names[start:end], *(column[start:end] for column in entries[1:]), strict=True)
                self._add(rows[start], Row(self._labels(label), *self._read(own)))

    def ended(self) -> list[Cell]:
        """Return the cells."""
        self._begin(None, ())
        return self._cells

    def _begin(self, number: int | None, head: tuple[Any, ...]) -> None:
        """Go over to the cell that begins with the record `head`, unless it began in the part before."""
        if number == self._number:
            return
        if self._head:
            text = self._text
            checkpoint, measure, version, *others = _key_in(self._head)
            key = CellKey(text(checkpoint), text(measure), version, *map(text, others))
            note = text(self._head[_AT["text"]]) if self._head[_AT["row"]] < 0 else ""
            self._cells.append(Cell(key, self._head[_AT["step"]], tuple(self._rows), note))
        self._number, self._head, self._rows, self._row = number, head, [], -1

    def _add(self, number: int, row: Row) -> None:
        """Add a row, or what is left of one that began in the part before."""
        if number == self._row:
            before = self._rows.pop()
            row = Row(before.labels, {**before.values, **row.values}, {**before.arrays, **row.arrays})
        self._rows.append(row)
        self._row = number

    def _read(self, entries: Iterable[tuple[Any, ...]]) -> tuple[dict[str, float | str], dict[str, Any]]:
        """Return the numbers and words of a row, and its arrays."""
        found: dict[str, float | str] = {}
        beside: dict[str, Any] = {}
        for name, value, kind, word, position in entries:
            if kind == b"number":
                found[name] = value
            elif kind == b"text":
                found[name] = self._text(word)
            elif kind == b"array":
                beside[name] = self._arrays.take(self._text(word), position)
            elif kind != b"empty":
                raise DamagedFile(f"a record's kind is {kind!r}")
        return found, beside


def _entries(
    cell: Cell, stacks: _Stacks, pack: Callable[[str], bytes], labels: Callable[[tuple[str, ...]], bytes]
) -> Iterator[tuple[Any, ...]]:
    """Yield (row, label, column, kind, value, text, position) of each number, word and array of a cell."""
    if not cell.rows:
        yield -1, b"", b"", b"note", math.nan, pack(cell.note), -1
    for index, row in enumerate(cell.rows):
        label = labels(row.labels)
        for name, value in row.values.items():
            if isinstance(value, str):
                yield index, label, pack(name), b"text", math.nan, pack(value), -1
            else:
                yield index, label, pack(name), b"number", float(value), b"", -1
        for name, array in row.arrays.items():
            dataset, position = stacks.add(cell.key.measure, name, array)
            yield index, label, pack(name), b"array", math.nan, pack(dataset), position
        if not row.values and not row.arrays:
            yield index, label, b"", b"empty", math.nan, b"", -1


class _Arrays:
    """The stored arrays of a segment. Each is handed out once: a few records cannot become gigabytes."""

    def __init__(self, group: h5py.Group) -> None:
        self._arrays = {name.decode(): _read_array(group.id, name) for name in group.id}
        self._taken: set[tuple[str, int]] = set()

    def take(self, name: str, position: int) -> Any:
        """Return the array at `position` of dataset `name`. Raises DamagedFile, KeyError, IndexError."""
        if position < 0 or (name, position) in self._taken:
            raise DamagedFile(f"array {position} of {name!r} belongs to two results, or is none")
        self._taken.add((name, position))
        return self._arrays[name][position, ...].copy()


def _read_array(group: Any, name: bytes) -> np.ndarray:
    import h5py
    import numpy as np

    dataset = h5py.h5d.open(group, name)
    array = np.empty(dataset.shape, dataset.dtype)
    if array.size:
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


class _Stacks:
    """Arrays of one measure, name, type and shape become one dataset, with one more dimension in front."""

    def __init__(self) -> None:
        self._names: dict[tuple[Any, ...], str] = {}
        self._arrays: dict[str, list[np.ndarray]] = {}

    def add(self, measure: str, name: str, array: Any) -> tuple[str, int]:
        """Take in `array`; return its dataset's name and its position there."""
        import numpy as np

        array = np.asarray(array)
        if array.dtype.kind not in "biufc":
            raise MeasureError(f"{measure}: array {name!r} must hold numbers, got {array.dtype}")
        key = (measure, name, array.dtype.str, array.shape)
        dataset = self._names.get(key)
        if dataset is None:
            plain = re.sub(r"[^A-Za-z0-9_]+", "_", f"{measure} {name}")
            dataset = self._names[key] = f"{len(self._names):04d}_{plain}"
        stack = self._arrays.setdefault(dataset, [])
        stack.append(array)
        return dataset, len(stack) - 1

    def __len__(self) -> int:
        return len(self._names)

    def write(self, group: h5py.Group) -> None:
        """Write every stack as a dataset of `group`."""
        import numpy as np

        for (measure, name, dtype, shape), dataset in self._names.items():
            found = self._arrays[dataset]
            stack = np.empty((len(found), *shape), dtype)
            for position, array in enumerate(found):
                stack[position, ...] = array
            write_array(
                group, dataset, stack, f"{name!r} of {measure}; rows says which result each belongs to"
            )


def _type(name: str, column: Sequence[Any]) -> str:
    if name in _WHOLE:
        return "<i8"
    if name == "value":
        return "<f8"
    return f"S{max(map(len, column), default=0) or 1}"


def _is_unicode(words: Iterable[str]) -> bool:
    """False when a word holds half a surrogate pair, which UTF-8 cannot."""
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return False
    return True


def _pack(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace("\0", "\\0").encode("utf-8", "surrogatepass")


def _packed_labels(labels: tuple[str, ...]) -> bytes:
    return _pack(json.dumps(labels, ensure_ascii=not _is_unicode(labels)))


def _unpack(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogatepass")
    return (
        re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], text) if "\\" in text else text
    )


def _check_parameters(text: str) -> None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DamagedFile(f"a result's parameters must be a JSON object, got {text[:60]!r}")


def _labels(raw: bytes) -> tuple[str, ...]:
    return tuple(str(word) for word in json.loads(_unpack(raw)))
