"""The index is a cache: it never gives a result, its listing is sealed, and others may hold it open."""

import os

import h5py
import numpy as np
import pytest

from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run, image, index, segments


def cell(run, step, value):
    checkpoint = {info.step: info.sha256 for info in run.checkpoints}[step]
    key = CellKey(checkpoint, "a:b", 1, "{}", run.data_hash, run.noise_seed)
    return Cell(key, step, (Row((), {"x": value}),))


def values(run):
    return {found.step: found.rows[0].values["x"] for found in Run.open(run.path).cells().values()}


def test_a_forged_result_in_the_index_is_not_served(run):
    run.store([cell(run, 0, 1.0), cell(run, 10, 2.0)])
    run.refresh_index()
    with h5py.File(run.path / "index.h5", "r+") as file:
        rows = file["results/rows"][()]
        rows["value"] = 99.0
        file["results/rows"][()] = rows
    assert values(run) == {0: 1.0, 10: 2.0}
    assert Run.open(run.path).refresh_index() == ""


def test_a_listing_that_another_program_wrote_is_not_believed(run):
    run.refresh_index()
    with h5py.File(run.path / "index.h5", "r+") as file:
        listed = file["checkpoints"][()]
        listed["test_accuracy"] = 1.0
        file["checkpoints"][()] = listed
    again = Run.open(run.path)
    assert [info.test_accuracy for info in again.checkpoints] == [0.125] * 3
    assert again.refresh_index() == ""


@pytest.mark.parametrize("change", ["one byte", "cut off", "longer", "nothing"])
def test_hdf5_is_not_asked_about_bytes_that_are_not_those_written(run, monkeypatch, change):
    """A changed byte in its first blocks can end the process."""
    run.refresh_index()
    path = run.path / "index.h5"
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[600] ^= 1
    path.write_bytes(
        {"one byte": changed, "cut off": whole[:-1], "longer": whole + b"!", "nothing": b""}[change]
    )
    with monkeypatch.context() as patched:
        patched.delattr(h5py.h5f, "open_file_image")
        again = Run.open(run.path)
        assert len(again.checkpoints) == 3
        assert (
            again.refresh_index()
            == "index.h5 was changed or damaged; it was rebuilt from the checkpoints and results"
        )
    assert path.read_bytes() == whole


def test_zeros_that_became_ones_are_noticed(run):
    """fletcher32 takes 00 00 and ff ff for the same."""
    run.refresh_index()
    path = run.path / "index.h5"
    whole = path.read_bytes()
    truth = Run.open(run.path).checkpoints
    places = [at for at in range(0, len(whole), 2) if whole[at : at + 2] == b"\0\0"]
    for at in places[:: max(1, len(places) // 60)]:
        path.write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
        assert Run.open(run.path).checkpoints == truth


def test_a_listing_whose_seal_was_made_anew_gives_no_result_of_another_step(run):
    """Whoever can write the index can seal it: results swapped so must still not be served."""
    run.store([cell(run, 0, 1.0), cell(run, 10, 2.0)])
    entries = list(run._checkpoints.listed().values())
    swapped = [
        entry._replace(info=entry.info._replace(sha256=other.info.sha256))
        for entry, other in zip(entries, [entries[1], entries[0], entries[2]], strict=True)
    ]
    (run.path / "index.h5").write_bytes(index.encode(swapped, run._segments.names(), [], run.id))
    again = Run.open(run.path)
    assert [info.sha256 for info in again.checkpoints] == [entry.info.sha256 for entry in swapped]
    assert again.cells() == {}
    with pytest.raises(Exception, match="its sha256 is not the recorded one"):
        again.weights(0)


def test_what_is_measured_is_told_without_reading_results(run, monkeypatch):
    run.store([cell(run, 0, 1.0), cell(run, 10, 2.0)])
    run.refresh_index()
    again = Run.open(run.path)
    assert again.refresh_index() == ""
    with monkeypatch.context() as patched:
        patched.delattr(segments, "believed")
        assert again.measured() == {"a:b": 2}
    run.store([cell(run, 20, 3.0), cell(run, 20, 4.0)])
    assert again.measured() == {"a:b": 3}
    assert Run.open(run.path).measured() == {"a:b": 3}
    (run.path / run.checkpoints[0].file).unlink()
    fewer = Run.open(run.path)
    assert fewer.refresh_index() == ""
    assert fewer.measured() == {"a:b": 2}


@pytest.mark.parametrize("libver", [None, "latest"])
def test_an_index_that_another_program_holds_open_is_not_damaged(run, libver):
    run.refresh_index()
    with h5py.File(run.path / "index.h5", "r+", libver=libver) as file:
        assert Run.open(run.path).refresh_index() == ""
        file.attrs["note"] = "mine"
        file.flush()
        assert Run.open(run.path).refresh_index() == ""
    assert Run.open(run.path).refresh_index() == ""
    assert Run.open(run.path).steps == (0, 10, 20)


@pytest.mark.parametrize("sealed", [True, False])
def test_an_index_of_another_format_is_made_anew_without_a_word(run, monkeypatch, sealed):
    run.refresh_index()
    monkeypatch.setattr(index, "FORMAT", 2)
    data = index.encode(run._checkpoints.listed().values(), set(), [], run.id)
    (run.path / "index.h5").write_bytes(data if sealed else data[: -index.SEAL_SIZE])
    monkeypatch.undo()
    assert Run.open(run.path).refresh_index() == ""
    assert index.read_index(run.path / "index.h5").listed.keys() == {info.file for info in run.checkpoints}


def test_an_unreadable_index_is_not_called_damaged(run, monkeypatch):
    run.refresh_index()
    opened = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith("index.h5"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert Run.open(run.path).refresh_index().startswith("index.h5 was unreadable; it was rebuilt")


def test_images_begin_as_every_hdf5_reads_them():
    """HDF5 1.14 gives any later superblock a wrong checksum in an image."""

    def fill(file):
        image.write_table(file, "t", np.zeros(3000, [("a", "<f8")]), "numbers", compress=True)
        image.write_array(file, "small", np.arange(5.0), "as it is")

    data = image.build(fill)
    assert data[8] == 0  # the superblock's version
    with image.opened(data, "x") as file:
        assert file["small"].chunks is None
        assert file["t"].fletcher32
        assert file["small"][()].tolist() == [0, 1, 2, 3, 4]
