"""Segments of one writer are joined; where they cannot be deleted it is said, and results count once."""

from pathlib import Path

from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run, segments


def cell(run, number):
    key = CellKey(run.checkpoints[0].sha256, f"a:m{number}", 1, "{}", run.data_hash, run.noise_seed)
    return Cell(key, 0, (Row((), {"value": float(number)}, {}),))


def test_segments_that_cannot_be_deleted(run, monkeypatch):
    unlink = Path.unlink

    def refuse(path, missing_ok=False):
        if path.suffix == ".h5":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for number in range(70):
        run.store([cell(run, number)])
    [remark] = run.remarks
    assert "cannot be deleted (Operation not permitted); nothing is lost" in remark
    assert run.problems == []
    assert len(list((run.path / "results").glob("*.h5"))) == 71  # one union, not one for every store
    monkeypatch.undo()
    again = Run.open(run.path)
    assert len(again.cells()) == 70
    assert again.conflicts == []


def test_what_one_writer_stored_bit_by_bit_is_joined_when_it_ends(run):
    other = Run.open(run.path)
    other.store([cell(run, 100)])
    for number in range(segments.GATHER_AT - 1):
        run.store([cell(run, number)])
    run.gather()  # so few stay as they are
    assert len(run._segments.names()) == segments.GATHER_AT
    for number in range(segments.GATHER_AT):
        run.store([cell(run, 10 + number)])
    run.gather()
    assert len(run._segments.names()) == segments.GATHER_AT + 1
    assert Run.open(run.path).cells().keys() == {
        cell(run, number).key for number in (100, *range(7), *range(10, 18))
    }
