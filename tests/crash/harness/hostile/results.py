"""Segments of results and indexes as no measuring writes them."""

import h5py
import numpy as np

from harness.hostile.making import ESCAPE, GIGABYTE, add_segment, canary_of, case, fifo, hdf5, linked, sparse

GROUPS = 20_000
WHOLE = ("cell", "row", "step", "position", "version")
FIELDS = (
    *("cell", "row", "step", "measure", "label", "column", "kind", "value", "text", "position"),
    *("version", "parameters", "checkpoint", "data", "noise"),
)


def records(count, width=8):
    """The records of `count` results, as grokscope writes them."""
    kinds = [(n, "<i8" if n in WHOLE else "<f8" if n == "value" else f"S{width}") for n in FIELDS]
    table = np.zeros(count, kinds)
    table["cell"] = np.arange(count)
    table["kind"], table["label"], table["column"], table["measure"] = b"number", b"[]", b"x", b"a:b"
    return table


def packed(file, table, chunk, count=None):
    """Write the records, or make room for `count` like them."""
    packing = {"chunks": (chunk,), "compression": "gzip", "compression_opts": 1, "shuffle": True}
    data = {"data": table} if count is None else {"shape": (count,), "dtype": table.dtype}
    file.create_dataset("rows", **data, **packing)
    file.require_group("arrays")


def many_groups(group):
    for number in range(GROUPS):
        h5py.h5g.create(group.id, b"%d" % number)


def segment(run, fill):
    """Add a segment whose contents `fill(file)` writes."""
    add_segment(run, hdf5(fill))


def stored(run, **changes):
    """Add a segment of a sound cell whose key is changed."""
    from grokscope.run import Run, results

    cell = next(iter(Run.open(run).cells().values()))
    add_segment(run, results.encode([cell._replace(key=cell.key._replace(**changes))]))


@case
def segment_of_noise(run):
    add_segment(run, bytes(range(256)) * 100)


@case
def segment_under_another_name(run):
    (run / "results" / f"{'0' * 64}.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)


@case
def segment_with_a_link_out(run):
    def fill(file):
        file["rows"] = h5py.ExternalLink(str(canary_of(run)), "/")
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_stored_elsewhere(run):
    def fill(file):
        file.create_dataset("rows", (10,), "u1", external=[(str(canary_of(run)), 0, 10)])
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_that_is_virtual(run):
    def fill(file):
        layout = h5py.VirtualLayout((10,), "u1")
        layout[:] = h5py.VirtualSource(str(canary_of(run)), "x", (10,))
        file.create_virtual_dataset("rows", layout)
        file.create_group("arrays")

    add_segment(run, hdf5(fill, newest="v110"))  # older formats have none


@case
def segment_of_many_groups(run):
    """20 000 groups beside one record."""

    def fill(file):
        packed(file, records(1), 1)
        many_groups(file["arrays"])

    segment(run, fill)


@case
def segment_that_takes_gigabytes(run):
    def fill(file):
        file.create_dataset("rows", (3 << 30,), "u1", chunks=(1 << 22,), compression="gzip", fillvalue=1)
        file.create_group("arrays")

    segment(run, fill)


@case
def segment_of_a_later_format(run):
    segment(run, lambda file: file.attrs.__setitem__("format", 999))


@case
def segment_fifo(run):
    fifo(run / "results" / f"{'1' * 64}.h5")


@case
def segment_sparse(run):
    sparse(run / "results" / f"{'2' * 64}.h5", 900 << 20)


@case
def segment_link_out(run):
    linked(run / "results" / f"{'3' * 64}.h5", canary_of(run))


@case
def result_whose_parameters_are_no_json(run):
    stored(run, parameters="]")


@case
def result_whose_parameters_are_no_object(run):
    stored(run, parameters="[1,2]")


@case
def result_whose_parameters_are_deep(run):
    stored(run, parameters="[" * 100_000)


@case
def result_of_a_measure_with_control_characters(run):
    stored(run, measure=f"robustness:{ESCAPE}")


@case
def results_is_a_link(run):
    (run / "results").rename(run.parent / "elsewhere")
    (run / "results").symlink_to(run.parent / "elsewhere")


@case
def quarantine_is_a_link(run):
    (run.parent / "elsewhere").mkdir()
    (run / "results" / "quarantine").symlink_to(run.parent / "elsewhere")
    segment_under_another_name(run)


@case
def index_of_noise(run):
    (run / "index.h5").write_bytes(bytes(range(256)) * 100)


@case
def index_flipped(run):
    data = bytearray((run / "index.h5").read_bytes())
    for at in range(len(data) // 3, len(data), len(data) // 7):
        data[at] ^= 0x10
    (run / "index.h5").write_bytes(data)


@case
def index_forged(run):
    """Every stored number is another one, with checksums that fit."""
    with h5py.File(run / "index.h5", "r+") as file:
        table = file["results/rows"][()]
        table["value"] = 42.0
        file["results/rows"][...] = table


@case
def index_sparse(run):
    """2 GB of holes after what was there."""
    sparse(run / "index.h5", 2 * GIGABYTE - 1, (run / "index.h5").read_bytes())


@case
def index_of_many_groups(run):
    """Its list of checkpoints stands beside 20 000 groups."""

    def fill(file):
        file.create_dataset("checkpoints", data=np.zeros(1))
        many_groups(file)

    (run / "index.h5").write_bytes(hdf5(fill))


@case
def index_fifo(run):
    fifo(run / "index.h5")


@case
def index_link_out(run):
    linked(run / "index.h5", canary_of(run))


@case
def index_folder(run):
    (run / "index.h5").unlink()
    (run / "index.h5").mkdir()


@case
def segment_of_many_records(run):
    """0.5 MB with 500 000 records."""
    segment(run, lambda file: packed(file, records(500_000), 500))


@case
def segment_of_wide_records(run):
    """0.5 MB whose records declare 324 MB."""

    def fill(file):
        some = records(1_000, 3_000)
        packed(file, some, 2, count=12_000)
        for start in range(0, 12_000, 1_000):
            file["rows"][start : start + 1_000] = some

    segment(run, fill)


@case
def segment_of_a_repeated_array(run):
    """5 MB in which ten thousand results have the same array of 4 MB."""

    def fill(file):
        table = records(10_000, 16)
        table["kind"], table["text"] = b"array", b"0000_a"
        packed(file, table, 200)
        file["arrays"].create_dataset("0000_a", data=np.random.default_rng(0).random((1, 500_000)))

    segment(run, fill)
