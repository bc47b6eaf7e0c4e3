"""Outputs go where they are sent: files whole and with their mode, links through, pipes and devices into."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from grokscope.errors import ReaderGone, StorageError
from grokscope.run.outputs import is_stream, write_output


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_that_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write_output(tmp_path / "a", b"one")
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert mode(tmp_path / "a") == 0o640


@pytest.mark.parametrize("kept", [0o600, 0o640, 0o755, 0o666])
def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path, kept):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(kept)
    with path.open("rb") as reader:
        write_output(path, b"new")
        assert reader.read() == b"old"  # whoever reads it meanwhile reads the old one
    assert path.read_bytes() == b"new"
    assert mode(path) == kept
    assert os.listdir(tmp_path) == ["a"]


def test_while_it_is_written_nobody_else_can_read_a_private_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o600)
    seen = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append(stat.S_IMODE(os.fstat(fd).st_mode)), sync(fd)))
    write_output(tmp_path / "a", b"new")
    assert seen[0] == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_s_file_stays_another_s(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    os.chown(tmp_path / "a", 65534, 65533)
    write_output(tmp_path / "a", b"new")
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_gid) == (65534, 65533)


def test_access_lists_are_kept(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    # version 2; user, user 65534 and mask may read and write, group and others nothing
    entries = ((1, 6, -1), (2, 6, 65534), (4, 0, -1), (16, 6, -1), (32, 0, -1))
    access = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, bits, who in entries
    )
    try:
        os.setxattr(path, "system.posix_acl_access", access)
    except (OSError, AttributeError):
        pytest.skip("this file system keeps no access lists")
    write_output(path, b"new")
    assert os.getxattr(path, "system.posix_acl_access") == access


@pytest.mark.parametrize("there", [True, False])
def test_links_are_written_through(tmp_path, there):
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "x"
    if there:
        target.write_bytes(b"old")
        target.chmod(0o600)
    (tmp_path / "link").symlink_to("real/x")
    (tmp_path / "second").symlink_to(tmp_path / "link")
    write_output(tmp_path / "second", b"new")
    assert (tmp_path / "second").is_symlink()
    assert (tmp_path / "link").is_symlink()
    assert target.read_bytes() == b"new"
    assert not there or mode(target) == 0o600
    assert os.listdir(tmp_path / "real") == ["x"]


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_output(tmp_path / "pipe", b"x" * 200_000)
    reader.join()
    assert read == [b"x" * 200_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_pipe_whose_reader_has_gone(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    def one_byte():
        with (tmp_path / "pipe").open("rb", buffering=0) as pipe:
            pipe.read(1)

    reader = threading.Thread(target=one_byte)
    reader.start()
    with pytest.raises(ReaderGone):
        write_output(tmp_path / "pipe", b"x" * 2_000_000)
    reader.join()


def test_devices_are_written_to(tmp_path):
    for device in ("/dev/null", "/dev/full"):
        if not os.path.exists(device):
            pytest.skip("no such device")
    link = tmp_path / "nothing.csv"
    link.symlink_to("/dev/null")
    before = os.stat("/dev/null")
    write_output("/dev/null", b"gone")
    write_output(link, b"gone")
    with pytest.raises(StorageError, match=r"/dev/full cannot be written: the disk is full"):
        write_output("/dev/full", b"gone")
    assert os.path.samestat(os.stat("/dev/null"), before)


BEHIND = """
import sys
from grokscope.run.outputs import write_output
print("before")
write_output(sys.argv[1], b"output\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_an_open_descriptor_is_written_to_where_it_stands(tmp_path, name):
    if name == "link":
        name = tmp_path / "link"
        name.symlink_to("/dev/stdout")
    with (tmp_path / "out").open("wb") as out:
        out.write(b"first\n")
        out.flush()
        subprocess.run([sys.executable, "-c", BEHIND, str(name)], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"first\nbefore\noutput\nafter\n"
    piped = subprocess.run([sys.executable, "-c", BEHIND, str(name)], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"before\noutput\nafter\n"


def test_what_streams_are(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("pipe")
    for stream in ("/dev/stdout", "/dev/null", "/dev/fd/77", tmp_path / "pipe", tmp_path / "link"):
        assert is_stream(stream)
    for other in (tmp_path, tmp_path / "file", tmp_path / "none", "/dev/fd", "1"):
        assert not is_stream(other)


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("none/x")
    for name, words in (
        (".", "Is a directory"),
        ("none/x", "there is no directory"),
        ("lost", f"there is no directory {tmp_path / 'none'}"),
        ("loop", "symbolic links"),
    ):
        with pytest.raises(StorageError, match="cannot be written") as refused:
            write_output(tmp_path / name, b"")
        assert words in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == ["loop", "lost"]


@pytest.fixture
def nobody():
    """A folder of one's own; whoever is root, whom no mode stops, is somebody else meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)
        if root:
            os.seteuid(0)


def test_a_write_protected_file_is_left_as_it_is(nobody):
    path = nobody / "x"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(StorageError, match="x cannot be written: Permission denied"):
        write_output(path, b"new")
    assert path.read_bytes() == b"old"


def test_in_a_folder_that_lets_nothing_be_made_a_file_is_written_in_place(nobody):
    path = nobody / "x"
    path.write_bytes(b"old and longer")
    nobody.chmod(0o555)
    write_output(path, b"new")
    assert path.read_bytes() == b"new"
    with pytest.raises(StorageError, match="y cannot be written: Permission denied"):
        write_output(nobody / "y", b"new")


@pytest.mark.parametrize("reason", [errno.EBUSY, errno.EPERM])
def test_a_file_that_cannot_be_replaced_is_written_in_place(tmp_path, monkeypatch, reason):
    (tmp_path / "x").write_bytes(b"old and longer")

    def refuse(*_):
        raise OSError(reason, "no")

    monkeypatch.setattr(os, "replace", refuse)  # as where the file is a mount, or another's in /tmp
    write_output(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="x cannot be written: the disk is full"):
        write_output(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_temporary_files_of_killed_writers_are_swept(tmp_path, abandoned):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.csv").symlink_to("real/x.csv")
    dead = abandoned(tmp_path / "real")
    (tmp_path / "real" / "notes.tmp").touch()
    write_output(tmp_path / "link.csv", b"new")
    assert sorted(os.listdir(tmp_path / "real")) == ["notes.tmp", "x.csv"], dead
