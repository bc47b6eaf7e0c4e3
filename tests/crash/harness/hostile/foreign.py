"""Files of somebody else that `grokscope import` is pointed at, and the table of those it linked."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

from harness.hostile.making import GIGABYTE, case, safetensors, sparse, zipped

LINKED = Path(__file__).parents[3] / "run" / "data" / "linked"
DOUBLED = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))


def theirs(run):
    """The file that is imported, whatever its name says of it."""
    return run.parent / "theirs.pt"


def pickled(run, content):
    theirs(run).write_bytes(zipped(content))


class Bomb:
    """A pickle that runs code when it is read."""

    def __reduce__(self):
        return __import__, ("canary",)


@case
def pickle_that_runs_code(run):
    pickled(run, pickle.dumps({"w": Bomb()}, 2))


@case
def pickle_of_nested_keys(run):
    pickled(run, b"\x80\x02}" + b"(" + b")" + b"\x85" * 150 + b"K\x01u.")


@case
def pickle_cut_off(run):
    pickled(run, pickle.dumps({"w": [1.0] * 100}, 2)[:40])


@case
def pickle_of_doubled_lists(run):
    """Each list holds the one before twice: 2 to the 60th elements in some hundred bytes."""
    pickled(run, b"\x80\x02]" + b"".join(b"q%c](h%ch%ce" % (n, n, n) for n in range(60)) + b".")


@case
def pickle_of_a_doubled_key(run):
    """300 bytes: a dict whose key is a tuple of tuples, 2^60 values deep."""
    pickled(run, b"\x80\x02}K\x01q\x00" + b"0" + DOUBLED + b"K\x01s.")


@case
def pickle_of_a_doubled_set(run):
    """A set made of a list with such a tuple in it."""
    pickled(run, b"\x80\x02cbuiltins\nset\n](K\x01q\x00" + b"0" + DOUBLED + b"e\x85R.")


@case
def pickle_of_costly_calls(run):
    """300 kB that make a set of a long list again and again."""
    many = b"(" + b"K\x01" * 50_000 + b"e"
    pickled(run, b"\x80\x02]" + many + b"\x85q\x000" + b"cbuiltins\nset\nh\x00R0" * 10_000 + b"N.")


@case
def pickle_of_many_dimensions(run):
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
    with zipfile.ZipFile(theirs(run), "w") as archive:
        for name, part in data.items():
            archive.writestr(name, part)


@case
def import_of_many_dimensions(run):
    """A foreign safetensors file with a tensor of 100 000 dimensions."""
    theirs(run).write_bytes(
        safetensors({"w": {"dtype": "F32", "shape": [1] * 100_000, "data_offsets": [0, 4]}}, bytes(4))
    )


@case
def import_sparse(run):
    """A foreign safetensors file of 6 GB of holes."""
    size = 6 * GIGABYTE
    start = safetensors({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}})
    sparse(theirs(run), len(start) + size, start)


@case
def pickle_of_many_records(run):
    """A zip file whose directory has two million records, 100 MB."""
    entry = (
        b"PK\x01\x02" + struct.pack("<6H3L5H2L", 20, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0) + b"name"
    )
    count = 2_000_000
    end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 0, 0)
    theirs(run).write_bytes(b"PK\x03\x04" + entry * count + end)


@case
def pickle_that_makes_a_folder(run):
    """A folder appears beside it when it is read."""

    class Folder:
        def __reduce__(self):
            return os.mkdir, (str(run.parent / "made"),)

    pickled(run, pickle.dumps({"w": Folder()}, 2))


@case
def imports_table_huge(run):
    """A run of links whose imported.json has 180 MB."""
    shutil.rmtree(run)
    shutil.copytree(LINKED, run)
    table = json.loads((run / "imported.json").read_text())
    row = json.dumps(table["checkpoints"][0])
    text = json.dumps({**table, "checkpoints": []})[:-2]
    with open(run / "imported.json", "w") as file:
        file.write(text)
        for _ in range(180_000_000 // len(row) // 1000):
            file.write(",".join([row] * 1000) + ",")
        file.write(row + "]}")
