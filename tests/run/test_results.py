"""Cells come back exactly; the guard stands before what HDF5 would do."""

import math

import h5py
import numpy as np
import pytest

from grokscope.errors import DamagedFile, MeasureError
from grokscope.measure import Row
from grokscope.run import Cell, CellKey, image, results

KEY = CellKey("f" * 64, "oinfo:oinfo", 2, '{"alpha":1.0,"text":"\\u00fc"}', "d" * 64, "noise")
TEXTS = ["", "plain", "ü 中 😀", "\0", "end\0", "\\0\\", "\ud800", '"[/nope]"\n\t\x1b', "=1+1"]
ARRAYS = {
    "nought": np.array(3.5),
    "empty": np.zeros((0, 3), np.int16),
    "flags": np.array([True, False]),
    "half": np.array([1, np.nan, -np.inf], np.float16),
    "complex": np.array([[1 + 2j]], np.complex64),
    "big": np.array([1, 2], ">i4"),
    "whole": np.array([2**64 - 1], np.uint64),
    "large": np.arange(70_000.0).reshape(7, 100, 100),
}


def same(cell, other):
    return cell.key == other.key and results.fingerprint(cell) == results.fingerprint(other)


@pytest.mark.parametrize(
    "cell",
    [
        Cell(KEY, 5, (Row((), {"x": 1.5, "y": math.nan, "z": -math.inf, "w": -0.0, "m": "exact"}),)),
        Cell(KEY, 0, tuple(Row((text,), {"column": text}) for text in TEXTS)),
        Cell(KEY, 0, (Row(tuple(TEXTS), {}),)),
        Cell(KEY, 0, (Row(("a",), {}, ARRAYS), Row(("b",), {"x": 1.0}, {"nought": np.array(4.5)}), Row())),
        Cell(KEY, 99_999_999, (), "not symmetric: \0 \\"),
        Cell(KEY, 0, (), ""),
    ],
    ids=["numbers", "texts", "labels", "arrays", "note", "nothing"],
)
def test_round_trip_is_exact(cell):
    other = Cell(CellKey("0" * 64, "a:b", 1, "{}", "d", "n"), 1, (Row((), {"x": 0.1}),))
    found = results.decode(results.encode([cell, other, cell]), "x")
    assert len(found) == 3
    assert same(found[0], cell)
    assert same(found[1], other)
    assert same(found[2], cell)
    assert [row.labels for row in found[0].rows] == [row.labels for row in cell.rows]
    assert found[0].note == cell.note


def test_no_cells_make_a_segment_too():
    assert results.decode(results.encode([]), "x") == []


def test_an_array_of_words_is_refused():
    with pytest.raises(MeasureError, match="array 'a' must hold numbers"):
        results.encode([Cell(KEY, 0, (Row((), {}, {"a": np.array(["word"])}),))])


def test_equal_cells_are_equal_bytes():
    cell = Cell(KEY, 5, (Row((), {"x": 1.5}),))
    assert results.encode([cell]) == results.encode([cell])
    assert results.encode([cell], nonce="1") != results.encode([cell], nonce="2")


def test_differing_results_are_kept_in_an_order_of_their_own():
    one, two = (Cell(KEY, 5, (Row((), {"x": value}),)) for value in (1.0, 2.0))
    nan = Cell(KEY, 5, (Row((), {"x": math.nan}),))
    assert len(results.merge([nan, Cell(KEY, 5, (Row((), {"x": math.nan}),))])[KEY]) == 1
    assert results.merge([one, two, one]) == results.merge([two, one])
    assert len(results.merge([one, two])[KEY]) == 2


def test_repetition_that_packs_well_is_still_read():
    rows = tuple(Row((f"{n}",), {"x": 0.0}) for n in range(20_000))
    cell = Cell(KEY, 0, rows)
    data = results.encode([cell])
    assert len(data) < 1_000_000
    assert same(results.decode(data, "x")[0], cell)


def test_a_later_format_is_not_called_damaged():
    def fill(file):
        image.describe(file, format=results.FORMAT + 1)

    with pytest.raises(results.NewerFormat, match="update grokscope"):
        results.decode(image.build(fill), "x")


def test_a_user_finds_plain_columns():
    data = results.encode([Cell(KEY, 5, (Row(("layers.0",), {"l2": 1.5}),))])
    with image.opened(data, "x") as file:
        assert "immutable segment" in file.attrs["about"]
        record = file["rows"][0]
        assert (record["step"], record["measure"], record["column"], record["value"]) == (
            5,
            b"oinfo:oinfo",
            b"l2",
            1.5,
        )


def built(fill):
    """Return an image made without grokscope's own writer."""
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        fill(file)
        file.flush()
        return file.id.get_file_image()


def refused(data, why):
    with pytest.raises(DamagedFile, match=why), image.opened(data, "segment") as file:
        file["a"][()]


def test_links_out_of_the_file_are_refused(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = [1]
    refused(built(lambda f: f.__setitem__("a", h5py.ExternalLink(tmp_path / "secret.h5", "/a"))), "link")
    refused(built(lambda f: f.__setitem__("a", h5py.SoftLink("/b"))), "link")
    refused(built(lambda f: f.create_group("g").__setitem__("a", h5py.ExternalLink("x", "/a"))), "link")


def test_external_storage_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"password")
    external = [(str(tmp_path / "secret"), 0, 8)]
    refused(built(lambda f: f.create_dataset("a", (8,), "u1", external=external)), "another file")


def test_virtual_datasets_are_refused(tmp_path):
    layout = h5py.VirtualLayout((1,), "f8")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "a", (1,))
    refused(built(lambda f: f.create_virtual_dataset("a", layout)), "virtual")


def test_more_declared_than_stored_is_refused():
    refused(built(lambda f: f.create_dataset("a", (1 << 40,), "f8", chunks=(1024,))), "declares")
    refused(built(lambda f: f.create_dataset("a", (1 << 40,), "f8")), "declares")
    zeros = np.zeros(1 << 24)
    refused(built(lambda f: f.create_dataset("a", data=zeros, compression=9, chunks=(1 << 17,))), "declares")
    refused(built(lambda f: f.create_dataset("a", (1,), "u1", maxshape=(None,), chunks=(1 << 30,))), "chunks")


def test_other_filters_types_and_hard_link_cycles_are_refused():
    refused(
        built(lambda f: f.create_dataset("a", data=np.zeros(10), chunks=(10,), compression="lzf")), "filters"
    )
    refused(
        built(lambda f: f.create_dataset("a", data=["text"], dtype=h5py.string_dtype())), "variable length"
    )
    refused(built(lambda f: f.create_dataset("a", data=[f.ref], dtype=h5py.ref_dtype)), "neither")
    refused(built(lambda f: f.__setitem__("a", np.dtype("f8"))), "neither group nor dataset")

    def cycle(file):
        file.create_group("a")["b"] = file["/"]
        file["a/b/c"] = file["a"]

    refused(built(cycle), "twice")


def test_what_is_no_hdf5_is_damaged():
    for data in (b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        refused(data, "segment is damaged")
