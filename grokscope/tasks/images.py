"""MNIST: where its four IDX files may lie, what must be in them, and how they are downloaded when asked."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import torch

from grokscope.errors import DataError, SettingError
from grokscope.extras import from_extra
from grokscope.tasks.data import VARIABLE, check_digest, contents, data_folder, digest
from grokscope.tasks.task import Task

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
FOLDERS = ("", "MNIST/raw", "mnist")  # as torchvision lays them out, and as people do
MAGIC = {"images": 2051, "labels": 2049}
CAP = 1 << 28  # bytes unpacked; MNIST's largest file has 47 MB


def mnist_task(*, train_size: int, test_size: int, data_dir: str, download: bool, data_sha256: str) -> Task:
    """Return the first `train_size` training and the first `test_size` test images, pixels in [0, 1].

    The digest is of the four files' contents, the same whether they are packed or not.

    Raises:
        DataError: a file is missing, damaged or mislabelled, or the data is not that of `data_sha256`.
        SettingError: there are fewer images than asked for.
    """
    folder = data_folder(data_dir)
    if download and _missing(folder):
        download_mnist(folder)
    paths = find_files(folder)
    raw = {name: contents(path, CAP) for name, path in paths.items()}
    found = digest(raw[name] for name in FILES)
    check_digest(found, data_sha256, folder)
    train = read_pair(paths, raw, FILES[0], FILES[1])
    test = read_pair(paths, raw, FILES[2], FILES[3])
    pixels = [_first("train_size", train_size, train[0]), _first("test_size", test_size, test[0])]
    return Task(
        name="mnist",
        kind="images",
        inputs=torch.cat(pixels).float() / 255,
        labels=torch.cat([train[1][:train_size], test[1][:test_size]]),
        classes=10,
        train=torch.arange(train_size),
        test=torch.arange(train_size, train_size + test_size),
        data_sha256=found,
        data_dir=str(folder),
        picture=(1, 28, 28),
    )


def find_files(folder: Path) -> dict[str, Path]:
    """Return where in `folder` each of the four files lies. Raises DataError that names what is missing."""
    missing = _missing(folder)
    if missing:
        raise DataError(
            f"task mnist needs {', '.join(missing)} (each also with .gz) in {folder}; get them from "
            "https://ossci-datasets.s3.amazonaws.com/mnist/, say where they are with `data_dir` or "
            f"{VARIABLE}, or let torchvision fetch them with `download`"
        )
    return {name: path for name in FILES if (path := _find(folder, name))}


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if _find(folder, name) is None]


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / place / (name + ending) for place in FOLDERS for ending in ("", ".gz"))
    return next((path for path in candidates if os.path.isfile(path)), None)


def download_mnist(folder: Path) -> None:
    """Fetch the four files into `folder` by torchvision. Raises DataError without it or a network."""
    by_hand = f"put {', '.join(FILES)} (or .gz) into {folder} yourself"
    with from_extra("data", "`download`", otherwise=by_hand, fault=DataError):
        from torchvision.datasets import MNIST
    try:
        MNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"MNIST cannot be downloaded to {folder}: {error}") from error


def read_pair(
    paths: dict[str, Path], raw: dict[str, bytes], images: str, labels: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pixels (n, 784) uint8 and labels (n,) int64 of two files that belong together."""
    pixels = read_idx(paths[images], raw[images], "images")
    answers = read_idx(paths[labels], raw[labels], "labels")
    if len(pixels) != len(answers):
        raise DataError(
            f"{paths[labels]} must have a label for each of the {len(pixels)} images in "
            f"{paths[images].name}, got {len(answers)}"
        )
    if answers.numel() and int(answers.max()) > 9:
        raise DataError(f"{paths[labels]} must hold labels from 0 to 9, got {int(answers.max())}")
    return pixels, answers.long()


def read_idx(path: Path, raw: bytes, kind: str) -> torch.Tensor:
    """Return the unsigned bytes in an IDX file: images (n, 784) or labels (n,).

    Its header is big-endian: the magic number (2051 for images, 2049 for labels), the count, and for images
    the height and width. Raises DataError for anything else.
    """
    dimensions = 3 if kind == "images" else 1
    length = 4 * (1 + dimensions)
    if len(raw) < length:
        raise DataError(
            f"{path} must begin with an IDX header of {length} bytes, got {len(raw)} bytes in all"
        )
    magic, *sizes = struct.unpack(f">{1 + dimensions}I", raw[:length])
    if magic != MAGIC[kind]:
        hint = next((f", that of {other}" for other, number in MAGIC.items() if number == magic), "")
        raise DataError(f"{path} must have the magic number of {kind}, {MAGIC[kind]}, got {magic}{hint}")
    if sizes[1:] not in ([], [28, 28]):
        raise DataError(f"{path} must hold images of 28 x 28 pixels, got {sizes[1]} x {sizes[2]}")
    width = 784 if kind == "images" else 1
    if len(raw) - length != sizes[0] * width:
        raise DataError(
            f"{path} must hold {sizes[0] * width} bytes behind its header, as that says, got "
            f"{len(raw) - length}; get it again"
        )
    values = torch.frombuffer(bytearray(raw), dtype=torch.uint8)[length:]
    return values.view(-1, width) if kind == "images" else values


def _first(name: str, count: int, images: torch.Tensor) -> torch.Tensor:
    if count > len(images):
        raise SettingError(
            f"task mnist.{name} must be at most {len(images)}, the images there are, got {count}"
        )
    return images[:count]
