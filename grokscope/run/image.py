"""HDF5 only as bytes in memory: how an image is made, and the guard that stands before any dataset is read.

No call here opens a file on disk, so HDF5's locks, torn files and crashes on a full disk do not occur.

The format is the earliest that HDF5 knows. HDF5 1.14 (h5py 3.11 to 3.15) gives an image that begins with a
later superblock a wrong checksum, so that nothing opens it (HDFGroup/hdf5 #1915): of the pairs of bounds that
libver takes, all whose lower one is `earliest` were written and read by h5py 3.11, 3.14 and 3.16 in all nine
combinations, and none whose lower one is `v108` or `v110` when 3.11 or 3.14 wrote it. With the upper bound
`v108` also HDF5 1.8 and 1.10 tools read it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grokscope.errors import DamagedFile, reason_of

if TYPE_CHECKING:
    import h5py
    import numpy as np

DECLARED_CAP = 4 << 30  # bytes that all datasets of a file may take in memory
RATIO_CAP = 1000  # declared size over stored size: deflate cannot do better than 1032
CHUNK = 1 << 16  # bytes per chunk: small enough that deflate's fixed cost keeps the ratio below 830
CHUNK_CAP = 64 << 20
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
PACKED_CAP = 1 << 20  # bytes of a packed chunk: to read a part of it, all is unpacked
OBJECT_CAP = 6_000  # groups and datasets: each costs 0.15 ms to look at
BOUNDS = ("earliest", "v108")
IN_PLACE = 0x0002 | 0x0004  # HDF5's FILE_IMAGE_DONT_COPY and DONT_RELEASE: a copy takes longer than all else


def build(fill: Callable[[h5py.File], None]) -> bytes:
    """Return the HDF5 file, readable by HDF5 1.10 tools, that `fill` writes into; it is never on disk."""
    import h5py

    with h5py.File(
        "grokscope", "w", driver="core", backing_store=False, libver=BOUNDS, locking=False
    ) as file:
        fill(file)
        file.flush()
        return file.id.get_file_image()


def is_hdf5(data: bytes) -> bool:
    """Return whether `data` begins as HDF5 does."""
    return data.startswith(_SIGNATURE)


def is_held(data: bytes) -> bool:
    """Return whether a program has the file open for writing, as far as the earliest superblock says."""
    return is_hdf5(data) and data[20:21] != b"\0"


def end_of(data: bytes) -> int:
    """Return how many bytes of `data` are HDF5's, as the earliest superblock says; 0 where there is none."""
    return int.from_bytes(data[40:48], "little") if is_hdf5(data) and data[8:9] == b"\0" else 0


@contextmanager
def opened(data: bytes, where: object, only: Collection[str] | None = None) -> Iterator[h5py.File]:
    """Open HDF5 `data` in memory, guarded: all that it holds, or `only` the datasets that may be read.

    Whatever goes wrong while it is open is a DamagedFile.
    """
    import h5py

    try:
        if not is_hdf5(data):
            raise DamagedFile("it is no HDF5 file")
        with h5py.File(h5py.h5f.open_file_image(data, IN_PLACE)) as file:
            _guard(file.id, len(data), only)
            yield file
    except DamagedFile as error:
        raise DamagedFile(f"{where} is damaged: {error}") from error
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, LookupError, MemoryError) as error:
        raise DamagedFile(f"{where} is damaged: {reason_of(error)}") from error


def write_array(group: h5py.Group, name: str, array: np.ndarray, about: str) -> None:
    """Write `array`; a small one lies there as it is, because an index of its one chunk takes 2 KB."""
    if 0 < array.nbytes <= CHUNK:
        describe(group.create_dataset(name, data=array), about=about)
    else:
        write_table(group, name, array, about)


def write_table(group: h5py.Group, name: str, table: np.ndarray, about: str, compress: bool = False) -> None:
    """Write `table` as a chunked dataset with checksums; `about` tells a reader in HDFView what it is."""
    chunks = _chunks(table)
    small = chunks is not None and math.prod(chunks) * table.dtype.itemsize <= CHUNK
    packing = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compress and small else {}
    checks = {"chunks": chunks, "fletcher32": True, **packing} if chunks else {}
    dataset = group.create_dataset(name, data=table, **checks)
    describe(dataset, about=about)


def describe(place: Any, **words: str | int) -> None:
    """Set attributes of a file or dataset. Only `read_number` ever reads one back."""
    for name, value in words.items():
        place.attrs[name] = value


def read_table(group: h5py.Group, name: str, fields: Sequence[str]) -> np.ndarray:
    """Return the table `name`, which must have exactly `fields`. Raises DamagedFile."""
    return find_table(group, name, fields)[()]


def find_table(group: h5py.Group, name: str, fields: Sequence[str]) -> h5py.Dataset:
    """Return the dataset `name`, not read yet, which must be a table of `fields`. Raises DamagedFile."""
    import h5py

    table = group[name]
    if not isinstance(table, h5py.Dataset) or table.ndim != 1 or table.dtype.names != tuple(fields):
        raise DamagedFile(f"{name} must be a table with the columns {', '.join(fields)}")
    return table


def read_number(file: h5py.File, name: str) -> int:
    """Return the whole number that attribute `name` of the file holds. Raises DamagedFile."""
    import h5py

    attribute = h5py.h5a.open(file.id, name.encode())
    if attribute.get_type().get_class() != h5py.h5t.INTEGER or attribute.shape != ():
        raise DamagedFile(f"attribute {name} must be a whole number")
    return int(file.attrs[name])


def _chunks(table: np.ndarray) -> tuple[int, ...] | None:
    """Return a chunk shape of at most CHUNK bytes, or one item; None when there is nothing to store."""
    if table.size == 0:
        return None
    left = max(1, CHUNK // table.dtype.itemsize)
    shape: list[int] = []
    for length in reversed(table.shape):
        shape.insert(0, min(length, left))
        left = max(1, left // length)
    return tuple(shape)


def _guard(root: Any, size: int, only: Collection[str] | None) -> None:
    """Refuse whatever could read another file, or take far more memory or time than the file is long."""
    declared = stored = 0
    for found in _objects(root, only):
        taken = _check_dataset(found)
        declared, stored = declared + taken[0], stored + taken[1]
    if declared > DECLARED_CAP or stored > size:
        raise DamagedFile(f"it declares {declared} bytes of data in {stored} stored, in a file of {size}")


def _objects(root: Any, only: Collection[str] | None) -> Iterator[Any]:
    """Yield every dataset, or those of the root that are called as in `only`, by hard links only."""
    import h5py

    seen, groups, count = set(), [h5py.h5g.open(root, b"/")], 0
    while groups:
        group = groups.pop()
        names = group if only is None else [name.encode() for name in only if name.encode() in group]
        count += group.get_num_objs() if only is None else len(names)
        if count > OBJECT_CAP:
            raise DamagedFile(f"it must hold at most {OBJECT_CAP} objects, got {count}")
        for name in names:
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                told = repr(name.decode(errors="replace"))
                raise DamagedFile(f"it holds a link that is not a hard one: {told}")
            found = h5py.h5o.open(group, name)
            place = h5py.h5o.get_info(found).addr
            if place in seen:
                raise DamagedFile(f"it holds the same object twice: {name!r}")
            seen.add(place)
            if isinstance(found, h5py.h5d.DatasetID):
                yield found
            elif isinstance(found, h5py.h5g.GroupID) and only is None:
                groups.append(found)
            else:
                raise DamagedFile(f"it holds something that is neither group nor dataset: {name!r}")


def _check_dataset(dataset: Any) -> tuple[int, int]:
    """Return declared and stored bytes of `dataset`. Raises DamagedFile for what grokscope never writes."""
    properties, item = dataset.get_create_plist(), dataset.get_type().get_size()
    _check_type(dataset.get_type())
    _check_layout(properties, item)
    _check_filters(properties)
    declared = math.prod(dataset.shape) * item
    stored = dataset.get_storage_size()
    if declared > (RATIO_CAP if _is_packed(properties) else 1) * stored:
        raise DamagedFile(f"a dataset declares {declared} bytes but stores {stored}")
    return declared, stored


def _check_layout(properties: Any, item: int) -> None:
    import h5py

    layout = properties.get_layout()
    if layout not in (h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS) or properties.get_external_count():
        raise DamagedFile("a dataset lies in another file or is virtual")
    cap = PACKED_CAP if _is_packed(properties) else CHUNK_CAP
    if layout == h5py.h5d.CHUNKED and math.prod(properties.get_chunk()) * item > cap:
        raise DamagedFile(f"a dataset's chunks take more than {cap} bytes")


def _is_packed(properties: Any) -> bool:
    import h5py

    return h5py.h5z.FILTER_DEFLATE in _filters(properties)


def _filters(properties: Any) -> list[int]:
    return [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]


def _check_filters(properties: Any) -> None:
    import h5py

    allowed = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    used = _filters(properties)
    if not allowed.issuperset(used) or len(set(used)) < len(used):
        raise DamagedFile(f"a dataset is packed by filters {used}; allowed: deflate, shuffle, fletcher32")


def _check_type(kind: Any) -> None:
    """Accept numbers, fixed-length texts, and compounds and enumerations of them."""
    import h5py

    found = kind.get_class()
    if found == h5py.h5t.COMPOUND:
        for number in range(kind.get_nmembers()):
            _check_type(kind.get_member_type(number))
    elif found == h5py.h5t.ENUM:
        _check_type(kind.get_super())
    elif found == h5py.h5t.STRING and kind.is_variable_str():
        raise DamagedFile("a dataset holds texts of variable length")
    elif found not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING):
        raise DamagedFile("a dataset holds values that are neither numbers nor texts")
