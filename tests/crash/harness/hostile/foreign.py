"""Files that must be refused quickly and in little memory, made by code; each builder says what it makes.

`RUNS` change a whole run directory, `FOREIGN` make a file that `grokscope import` is pointed at.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import resource
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np

ROOM, SECONDS = 500 << 20, 10  # what a process that reads may take beyond what it starts with
GIGABYTES = 1 << 30
GROUPS = 20_000
CHECKPOINT = "checkpoints/00000008.safetensors"


def safetensors(header: dict, body: bytes = b"") -> bytes:
    """A safetensors file of any header, sealed as grokscope seals where it has a place for a seal."""
    text = json.dumps(header, separators=(",", ":")).encode()
    data = len(text).to_bytes(8, "little") + text + body
    if b'"seal":"' + b"0" * 64 in data:
        seal = hashlib.sha256(data).hexdigest().encode()
        data = data.replace(b'"seal":"' + b"0" * 64, b'"seal":"' + seal, 1)
    return data


def header_of(path: Path) -> tuple[dict, bytes]:
    """The header of a checkpoint of grokscope with an empty seal, and the bytes behind it."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header["__metadata__"]["seal"] = "0" * 64
    return header, data[start:]


def rewritten(path: Path, change) -> None:
    """Change the header of a checkpoint or resume file and seal it again: whoever can write can do so."""
    header, body = header_of(path)
    changed = change(header, body)
    path.write_bytes(safetensors(header, body if changed is None else changed))


def sparse(path: Path, size: int, start: bytes = b"") -> None:
    """A file of `size` bytes that takes next to nothing on disk."""
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)


def sparse_checkpoint(run: Path) -> None:
    """A whole safetensors file of one tensor of 3 GB of zeros, all holes."""
    size = 3 * GIGABYTES
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    start = safetensors({"w": entry})
    sparse(run / CHECKPOINT, len(start) + size, start)


def sparse_resume(run: Path) -> None:
    """A resume state of 7 GB of holes."""
    sparse(run / "resume.safetensors", 7 * GIGABYTES, (run / "resume.safetensors").read_bytes())


def sparse_index(run: Path) -> None:
    """An index of 2 GB of holes after a whole one."""
    sparse(run / "index.h5", 2 * GIGABYTES - 1, (run / "index.h5").read_bytes())


def sparse_run_toml(run: Path) -> None:
    """A run.toml of 5 GB of holes."""
    sparse(run / "run.toml", 5 * GIGABYTES, (run / "run.toml").read_bytes())


def many_dimensions(run: Path) -> None:
    """A checkpoint with a tensor of 100 000 dimensions of length 1."""

    def change(header, body):
        header["more"] = {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [len(body), len(body) + 4]}
        return body + bytes(4)

    rewritten(run / CHECKPOINT, change)


def late_curve(run: Path) -> None:
    """A checkpoint whose curve has a point at step 2^70."""

    def change(header, body):
        header["__metadata__"]["curve"] = f"[[{2**70},0,0,0,0]]"

    rewritten(run / CHECKPOINT, change)


def deep_name(run: Path) -> None:
    """A run.toml with one name of 200 000 parts, 400 kB."""
    path = run / "run.toml"
    path.write_text(path.read_text() + "\n[more]\n" + ".".join("a" * 200_000) + " = 1\n")


def deep_unset(run: Path) -> None:
    """A run.toml that lists as unset a name of 200 000 parts."""
    path = run / "run.toml"
    path.write_text(
        path.read_text().replace("unset = [", 'unset = ["task.' + ".".join("a" * 200_000) + '",', 1)
    )


def store(run: Path, image: bytes) -> None:
    """Put an HDF5 file among the results, under the name that its bytes ask for."""
    (run / "results").mkdir(exist_ok=True)
    (run / "results" / f"{hashlib.sha256(image).hexdigest()}.h5").write_bytes(image)


def built(fill) -> bytes:
    """An HDF5 file made without grokscope's own writer."""
    with h5py.File("x", "w", driver="core", backing_store=False, libver="latest") as file:
        file.attrs["format"] = 1
        fill(file)
        file.flush()
        return file.id.get_file_image()


WHOLE = ("cell", "row", "step", "position", "version")
NAMES = (
    *("cell", "row", "step", "measure", "label", "column", "kind", "value", "text", "position"),
    *("version", "parameters", "checkpoint", "data", "noise"),
)


def rows(count: int, width: int = 8) -> np.ndarray:
    """The records of `count` results, as grokscope writes them."""
    kinds = [(n, "<i8" if n in WHOLE else "<f8" if n == "value" else f"S{width}") for n in NAMES]
    table = np.zeros(count, kinds)
    table["cell"] = np.arange(count)
    table["kind"], table["label"], table["column"], table["measure"] = b"number", b"[]", b"x", b"a:b"
    return table


def packed(file, table: np.ndarray, chunk: int, count: int | None = None) -> None:
    """Write the records, or make room for `count` like them."""
    packing = {"chunks": (chunk,), "compression": "gzip", "compression_opts": 1, "shuffle": True}
    data = {"data": table} if count is None else {"shape": (count,), "dtype": table.dtype}
    file.create_dataset("rows", **data, **packing)
    file.require_group("arrays")


def many_records(run: Path) -> None:
    """A segment of 0.5 MB with 500 000 records."""
    store(run, built(lambda file: packed(file, rows(500_000), 500)))


def wide_records(run: Path) -> None:
    """A segment of 0.5 MB whose records declare 324 MB."""

    def fill(file):
        some = rows(1_000, 3_000)
        packed(file, some, 2, count=12_000)
        for start in range(0, 12_000, 1_000):
            file["rows"][start : start + 1_000] = some

    store(run, built(fill))


def repeated_array(run: Path) -> None:
    """A segment of 5 MB in which ten thousand results have the same array of 4 MB."""

    def fill(file):
        table = rows(10_000, 16)
        table["kind"], table["text"] = b"array", b"0000_a"
        packed(file, table, 200)
        file["arrays"].create_dataset("0000_a", data=np.random.default_rng(0).random((1, 500_000)))

    store(run, built(fill))


def many_groups(run: Path) -> None:
    """A segment of 20 000 groups."""

    def fill(file):
        packed(file, rows(1), 1)
        for number in range(GROUPS):
            h5py.h5g.create(file["arrays"].id, b"%d" % number)

    store(run, built(fill))


def one_group_many_names(run: Path) -> None:
    """An index whose list of checkpoints stands beside 20 000 groups."""

    def fill(file):
        file.create_dataset("checkpoints", data=np.zeros(1))
        for number in range(GROUPS):
            h5py.h5g.create(file.id, b"%d" % number)

    (run / "index.h5").write_bytes(built(fill))


RUNS = {
    function.__name__: function
    for function in (
        *(sparse_checkpoint, sparse_resume, sparse_index, sparse_run_toml, many_dimensions, late_curve),
        *(deep_name, deep_unset, many_records, wide_records, repeated_array, many_groups),
        one_group_many_names,
    )
}


def zipped(content: bytes) -> bytes:
    """A file of torch.save with any pickle in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", b"3\n")
    return stream.getvalue()


def nested_key(path: Path) -> None:
    """A pickle of 300 bytes: a dict whose key is a tuple of tuples, 2^60 values deep."""
    doubled = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    path.write_bytes(zipped(b"\x80\x02}K\x01q\x00" + b"0" + doubled + b"K\x01s."))


def nested_set(path: Path) -> None:
    """A pickle that has a set made of a list with such a tuple in it."""
    doubled = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    path.write_bytes(zipped(b"\x80\x02cbuiltins\nset\n](K\x01q\x00" + b"0" + doubled + b"e\x85R."))


def costly_calls(path: Path) -> None:
    """A pickle of 300 kB that makes a set of a long list again and again."""
    many = b"(" + b"K\x01" * 50_000 + b"e"
    path.write_bytes(
        zipped(b"\x80\x02]" + many + b"\x85q\x000" + b"cbuiltins\nset\nh\x00R0" * 10_000 + b"N.")
    )


def many_dimensions_pickled(path: Path) -> None:
    """A tensor of 100 000 dimensions in a file of torch.save."""
    import torch

    stream = io.BytesIO()
    torch.save({"w": torch.ones(1, 1)}, stream)
    with zipfile.ZipFile(io.BytesIO(stream.getvalue())) as archive:
        content = archive.read("archive/data.pkl")
        wide = b"(" + b"K\x01" * 100_000 + b"t"
        assert content.count(b"K\x01K\x01\x86") == 2
        data = {name: archive.read(name) for name in archive.namelist()}
    data["archive/data.pkl"] = content.replace(b"K\x01K\x01\x86", wide)
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in data.items():
            archive.writestr(name, part)


def many_dimensions_foreign(path: Path) -> None:
    """A foreign safetensors file with a tensor of 100 000 dimensions."""
    path.write_bytes(
        safetensors({"w": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}, bytes(4))
    )


def sparse_foreign(path: Path) -> None:
    """A foreign safetensors file of 6 GB of holes."""
    size = 6 * GIGABYTES
    start = safetensors({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    sparse(path, len(start) + size, start)


def many_zip_records(path: Path) -> None:
    """A zip file whose directory has two million records, 100 MB."""
    entry = (
        b"PK\x01\x02" + struct.pack("<6H3L5H2L", 20, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0) + b"name"
    )
    count = 2_000_000
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 0, 0)
    path.write_bytes(b"PK\x03\x04" + entry * count + end)


def code(path: Path) -> None:
    """A pickle that makes a folder `canary` beside itself when it is loaded."""

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / "canary"),)

    path.write_bytes(zipped(pickle.dumps({"w": Malicious()}, 2)))


FOREIGN = {
    function.__name__: function
    for function in (
        *(nested_key, nested_set, costly_calls, many_dimensions_pickled, many_dimensions_foreign),
        *(sparse_foreign, many_zip_records, code),
    )
}


def huge_import_table(run: Path) -> None:
    """For an imported run with links: an imported.json of 180 MB."""
    table = json.loads((run / "imported.json").read_text())
    row = json.dumps(table["checkpoints"][0])
    text = json.dumps({**table, "checkpoints": []})[:-2]
    with open(run / "imported.json", "w") as file:
        file.write(text)
        for _ in range(180_000_000 // len(row) // 1000):
            file.write(",".join([row] * 1000) + ",")
        file.write(row + "]}")


def limited(act):
    """Return what `act` returns in a process that may take 500 MB more and ten seconds."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        try:
            answer = json.dumps(act())
        except BaseException as error:
            answer = json.dumps([f"TRACEBACK {type(error).__name__}: {error}"])
        os.write(write, answer.encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the reading process ended with {status}"
    return json.loads(answer)
