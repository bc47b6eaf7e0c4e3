import gzip
import os
import shutil
import struct
import sys
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch

from grokscope.errors import DataError, SettingError
from grokscope.tasks import TASKS, mnist
from grokscope.tasks.images import FILES

IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = FILES


def build(folder, **settings):
    return mnist.build(**{"data_dir": str(folder), "train_size": 50, "test_size": 40, **settings})


@pytest.fixture
def refusal(mnist_folder):
    """Change one file by a function of its bytes; return the sentence that refuses it."""

    def change(name, edit, **settings):
        folder = mnist_folder()
        (folder / name).write_bytes(edit((folder / name).read_bytes()))
        with pytest.raises((DataError, SettingError)) as caught:
            build(folder, **settings)
        message = str(caught.value)
        assert "\n" not in message
        assert isinstance(caught.value, SettingError) or str(folder / name) in message
        return message

    return change


def test_the_first_images_of_both_files_are_taken(mnist_folder):
    folder = mnist_folder()
    task = build(folder)
    raw = torch.frombuffer(bytearray((folder / TEST_IMAGES).read_bytes()[16:]), dtype=torch.uint8)
    assert torch.equal((task.inputs[task.test] * 255).round().byte(), raw.view(40, 784))
    labels = (folder / LABELS).read_bytes()[8:]
    assert task.labels[task.train].tolist() == list(labels[:50])
    assert (task.train.tolist(), task.test.tolist()) == (list(range(50)), list(range(50, 90)))
    assert 0 <= task.inputs.min() < task.inputs.max() <= 1
    assert (task.name, task.kind, task.classes, task.vocabulary) == ("mnist", "images", 10, 0)
    assert (task.inputs.dtype, task.labels.dtype) == (torch.float32, torch.int64)
    assert TASKS["mnist"] is mnist


def test_packed_files_are_the_same_data(mnist_folder):
    plain, packed = build(mnist_folder("plain")), build(mnist_folder("packed", packed=True))
    assert plain.data_sha256 == packed.data_sha256
    assert torch.equal(plain.inputs, packed.inputs)


def test_packed_files_without_their_ending_are_unpacked_too(mnist_folder):
    folder = mnist_folder(packed=True)
    for path in folder.iterdir():
        path.rename(path.with_suffix(""))
    assert build(folder).data_dir == str(folder)


@pytest.mark.parametrize("place", ["MNIST/raw", "mnist", ""])
def test_the_usual_places_are_searched(mnist_folder, tmp_path, place):
    mnist_folder(os.path.join("data", place))
    assert build(tmp_path / "data").data_dir == str(tmp_path / "data")


def test_the_environment_says_where_when_nobody_else_does(mnist_folder, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_DATA_DIR", str(mnist_folder("elsewhere")))
    assert build("").data_dir.endswith("elsewhere")
    assert build(mnist_folder("told")).data_dir.endswith("told")


def test_other_contents_have_another_digest(mnist_folder):
    one = build(mnist_folder("one"))
    folder = mnist_folder("other")
    data = bytearray((folder / TEST_LABELS).read_bytes())
    data[-1] = (data[-1] + 1) % 10
    (folder / TEST_LABELS).write_bytes(data)
    assert build(folder).data_sha256 != one.data_sha256
    with pytest.raises(DataError, match=r"other must be that with data_sha256 .*`data_dir`"):
        build(folder, data_sha256=one.data_sha256)


def test_missing_files_are_named_with_where_and_how_to_get_them(mnist_folder, tmp_path):
    folder = mnist_folder()
    (folder / LABELS).unlink()
    with pytest.raises(DataError) as caught:
        build(folder)
    message = str(caught.value)
    assert f"needs {LABELS} (each also with .gz) in {folder}; get them from https://" in message
    assert "`data_dir`" in message
    assert "`download`" in message
    assert IMAGES not in message
    with pytest.raises(DataError, match=", ".join(FILES)):
        build(tmp_path / "nowhere")


def fake_torchvision(monkeypatch, mnist):
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", SimpleNamespace(MNIST=mnist))


def test_a_download_puts_the_files_where_they_are_found(mnist_folder, tmp_path, monkeypatch):
    source, asked = mnist_folder("server"), []

    def fetch(root, download):
        asked.append(root)
        shutil.copytree(source, os.path.join(root, "MNIST", "raw"))

    fake_torchvision(monkeypatch, fetch)
    with pytest.raises(DataError, match="`download`"):
        build(tmp_path / "new")
    assert asked == []
    assert build(tmp_path / "new", download=True).data_sha256 == build(source).data_sha256
    assert build(tmp_path / "new", download=True).data_dir == asked.pop() == str(tmp_path / "new")
    assert asked == []  # once is enough


def test_a_download_that_fails_gets_one_sentence(tmp_path, monkeypatch):
    def fetch(root, download):
        raise URLError("no network")

    fake_torchvision(monkeypatch, fetch)
    with pytest.raises(DataError, match=r"^MNIST cannot be downloaded to .*no network"):
        build(tmp_path, download=True)


def test_a_download_without_torchvision_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(DataError, match=r"`download` needs torchvision: pip install 'grokscope\[data\]'"):
        build(tmp_path, download=True)


def test_nothing_is_downloaded_when_the_files_are_there(mnist_folder, monkeypatch):
    monkeypatch.setattr("grokscope.tasks.images.download_mnist", lambda folder: pytest.fail("it downloads"))
    assert build(mnist_folder(), download=True).classes == 10


def test_truncated_files_are_refused(refusal):
    assert "must hold 47040 bytes behind its header, as that says, got 47030" in refusal(
        IMAGES, lambda data: data[:-10]
    )


def test_a_header_alone_is_refused(refusal):
    assert "got 0;" in refusal(LABELS, lambda data: data[:8])


def test_bytes_too_many_are_refused(refusal):
    assert "must hold 60 bytes behind its header" in refusal(LABELS, lambda data: data + b"x")


def test_empty_files_are_refused(refusal):
    assert "header of 16 bytes, got 0 bytes in all" in refusal(TEST_IMAGES, lambda data: b"")


def test_labels_in_place_of_images_are_refused(refusal):
    wrong = struct.pack(">II", 2049, 60) + bytes(60)
    assert "must have the magic number of images, 2051, got 2049, that of labels" in refusal(
        IMAGES, lambda data: wrong
    )


def test_images_in_place_of_labels_are_refused(refusal):
    wrong = struct.pack(">IIII", 2051, 60, 28, 28) + bytes(60 * 784)
    assert "magic number of labels, 2049, got 2051, that of images" in refusal(LABELS, lambda data: wrong)


def test_any_other_file_is_refused(refusal):
    assert "magic number" in refusal(IMAGES, lambda data: b"<!DOCTYPE html><html>not found</html>")


def test_more_labels_than_images_are_refused(refusal):
    wrong = struct.pack(">II", 2049, 61) + bytes(61)
    assert f"a label for each of the 60 images in {IMAGES}, got 61" in refusal(LABELS, lambda data: wrong)


def test_images_of_another_size_are_refused(refusal):
    wrong = struct.pack(">IIII", 2051, 60, 32, 32) + bytes(60 * 1024)
    assert "images of 28 x 28 pixels, got 32 x 32" in refusal(IMAGES, lambda data: wrong)


def test_labels_above_nine_are_refused(refusal):
    assert "labels from 0 to 9, got 200" in refusal(TEST_LABELS, lambda data: data[:-1] + b"\xc8")


def test_a_damaged_gzip_file_is_refused(refusal):
    whole = "must be a whole gzip file"
    assert whole in refusal(IMAGES, lambda data: gzip.compress(data)[:-200])


def test_a_gzip_file_with_a_flipped_bit_is_refused(refusal):
    def flip(data):
        packed = bytearray(gzip.compress(data))
        packed[-6] ^= 1  # the checksum
        return bytes(packed)

    assert "must be a whole gzip file" in refusal(IMAGES, flip)


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(refusal, monkeypatch):
    monkeypatch.setattr("grokscope.tasks.images.CAP", 50_000)
    assert "at most 50000 bytes" in refusal(IMAGES, lambda data: gzip.compress(data + bytes(10_000)))


def test_more_images_than_there_are_are_refused(refusal):
    assert "mnist.train_size must be at most 60" in refusal(IMAGES, lambda data: data, train_size=61)


@pytest.mark.skipif(
    "GROKSCOPE_TEST_MNIST" not in os.environ, reason="needs MNIST: GROKSCOPE_TEST_MNIST=FOLDER"
)
def test_the_real_files_are_mnist():
    task = mnist.build(train_size=60_000, data_dir=os.environ["GROKSCOPE_TEST_MNIST"])
    assert task.labels[task.train].bincount().tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
