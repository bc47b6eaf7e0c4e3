"""A file appears whole or not at all, and only provable leftovers are deleted."""

import errno
import os

import pytest

from grokscope.errors import DamagedFile, StorageError
from grokscope.run import files


def test_what_is_written_is_read(tmp_path):
    files.atomic_write(tmp_path / "a", b"one")
    files.atomic_write(tmp_path / "a", b"two")
    assert files.read_bytes(tmp_path / "a", 3) == b"two"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_mode_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.atomic_write(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path, monkeypatch, call):
    files.atomic_write(tmp_path / "a", b"old")

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match="a cannot be written: the disk is full; free some space"):
        files.atomic_write(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:2])))
    files.atomic_write(tmp_path / "a", b"seven b")
    assert (tmp_path / "a").read_bytes() == b"seven b"


def test_an_interruption_leaves_no_temporary(tmp_path, monkeypatch):
    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.atomic_write(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == []


def test_only_leftovers_of_ended_processes_are_swept(tmp_path, abandoned):
    dead = abandoned(tmp_path)
    own = files.temporary_name()
    elsewhere = dead.replace(dead[11:27], "0" * 16)
    similar = dead + "x"
    linked = dead[:-8] + "beef.tmp"
    for name in (own, elsewhere, similar, "notes.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / linked).symlink_to(tmp_path / "notes.tmp")
    assert files.sweep(tmp_path) == [dead]
    assert sorted(os.listdir(tmp_path)) == sorted([own, elsewhere, similar, linked, "notes.tmp"])


def test_a_reused_process_number_is_not_taken_for_the_writer(tmp_path):
    machine, start = files._machine(), files._start(os.getpid())
    name = f".grokscope-{machine}-{os.getpid()}-{start + 1}-{'0' * 16}.tmp"
    (tmp_path / name).write_bytes(b"")
    assert files.sweep(tmp_path) == [name]


def test_links_folders_pipes_and_large_files_are_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"four")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DamagedFile, match="a link"):
        files.read_bytes(tmp_path / "link", 10)
    with pytest.raises(DamagedFile, match="regular file"):
        files.read_bytes(tmp_path / "pipe", 10)
    with pytest.raises((DamagedFile, StorageError)):
        files.read_bytes(tmp_path, 10)
    with pytest.raises(DamagedFile, match="at most 3 bytes, got 4"):
        files.read_bytes(tmp_path / "a", 3)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "none", 3)
