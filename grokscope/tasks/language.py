"""Files of text or token ids as data of a causal language model: sequences, and the token after each place.

`text:FILE` is one text; a `.npy` or `.bin` file holds token ids. Two files, `TRAIN,TEST`, are the two splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch

from grokscope.declare import Factory, Param, read_parameters
from grokscope.errors import DataError, SettingError, described
from grokscope.extras import from_extra
from grokscope.tasks.data import contents
from grokscope.tasks.modular import random_split

TEXT, OF_IDS = "text:", (".npy", ".bin")
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
_TEXT_CAP = 1 << 30
_LAST_ID = (1 << 31) - 1


def is_language(name: str) -> bool:
    """Return whether a name of data is one of files of a language."""
    return name.startswith(TEXT) or all(part.endswith(OF_IDS) for part in name.split(","))


def language(name: str) -> Factory:
    """Return what makes (train, test) of `text:FILE`, `FILE.npy` or `FILE.bin`, or of two such files."""

    def data(
        *,
        length: Annotated[int, Param("tokens of a sequence", min=1)] = 128,
        tokens: Annotated[
            Literal["auto", "tokenizer", "bytes", "characters"],
            Param("how text becomes ids: auto is the tokenizer where there is one, and else bytes"),
        ] = "auto",
        tokenizer: Annotated[str, Param("the folder of the tokenizer", local=True)] = "",
        ids: Annotated[
            Literal["uint8", "uint16", "uint32", "int32", "int64"],
            Param("the numbers of a .bin file, little-endian"),
        ] = "uint16",
        train_fraction: Annotated[float, Param("share of the sequences to train on", above=0, below=1)] = 0.8,
        split_seed: Annotated[int, Param("seed of the split", min=0)] = 0,
    ) -> tuple[Sequences, Sequences]:
        streams = _texts(name, tokens, tokenizer) if name.startswith(TEXT) else _ids(name, ids)
        if len(streams) == 2:
            train, test = (Sequences(stream, length, where) for where, stream in streams)
            return train, test
        ((where, stream),) = streams
        return _split(Sequences(stream, length, where), train_fraction, split_seed)

    short = ",".join(Path(part).name for part in name.removeprefix(TEXT).split(","))
    short = TEXT + short if name.startswith(TEXT) else short  # in which folder they are is no part of a run
    return Factory("task", short, data, read_parameters(data, f"data {name}", ""), "", source=data)


class Sequences:
    """Sequences of token ids, each with the token after each of its places: a data set.

    Of a stream, (N,), they are `length` tokens each, one after the other, the rest left out: every token but
    the first is a label at most once. Of a table, (n, t), each row is one, without its last token.
    """

    def __init__(self, ids: np.ndarray, length: int, where: object, chosen: Any = None) -> None:
        self._ids, self._where = ids, where
        self._rows = ids.ndim == 2
        self._length = ids.shape[1] - 1 if self._rows else length
        self._chosen = np.arange(self._count()) if chosen is None else chosen
        if self._length < 1 or not len(self._chosen):
            raise DataError(
                f"{where} must hold a sequence of {length} tokens and the token after it, got an array of "
                f"shape {ids.shape}: give a smaller `task.length`, or more text"
            )

    def _count(self) -> int:
        return len(self._ids) if self._rows else (len(self._ids) - 1) // self._length

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of a sequence and the token after each, (t,) int64 both."""
        number = int(self._chosen[place])
        begin = number * self._length
        found = self._ids[number] if self._rows else self._ids[begin : begin + self._length + 1]
        if found.min() < 0 or found.max() > _LAST_ID:
            raise DataError(f"{self._where} must hold token ids from 0 on, got {found.min()}")
        row = torch.from_numpy(found.astype(np.int64))
        return row[:-1], row[1:]

    def only(self, chosen: Sequence[int]) -> Sequences:
        """Return those of these places."""
        return Sequences(self._ids, self._length, self._where, self._chosen[list(chosen)])


def _split(every: Sequences, train_fraction: float, seed: int) -> tuple[Sequences, Sequences]:
    train, test = random_split(len(every), train_fraction, torch.Generator().manual_seed(seed))
    return every.only(train.tolist()), every.only(test.tolist())


def _files(name: str) -> list[Path]:
    """Return the files that a name stands for: one or, where there is none of that name, two by a comma."""
    names = [name] if Path(name).is_file() else name.split(",")
    if len(names) > 2:
        raise SettingError(f"data must be one file, or TRAIN,TEST, got {len(names)}: {name}")
    for each in names:
        if not Path(each).is_file():
            raise DataError(f"there is no file {each}: data must name a file of text or of token ids")
    return [Path(each) for each in names]


def _ids(name: str, kind: str) -> list[tuple[Path, np.ndarray]]:
    found = []
    for path in _files(name):
        try:
            ids = (
                np.load(path, "r")
                if path.suffix == ".npy"
                else np.memmap(path, f"<{np.dtype(kind).str[1:]}", "r")
            )
        except (OSError, ValueError, EOFError) as error:
            wanted = f"whole {kind} numbers (`task.ids` says which)" if path.suffix == ".bin" else "an array"
            raise DataError(f"{path} must hold {wanted}: {described(error)}") from error
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim not in (1, 2):
            got = f"{ids.dtype} of shape {ids.shape}" if isinstance(ids, np.ndarray) else "several"
            raise DataError(f"{path} must hold token ids, whole numbers (N,) or (n, t), got {got}")
        found.append((path, ids))
    return found


def _texts(name: str, tokens: str, tokenizer: str) -> list[tuple[Path, np.ndarray]]:
    if tokens == "auto":
        tokens = "tokenizer" if tokenizer else "bytes"
    raw = [(path, contents(path, _TEXT_CAP)) for path in _files(name.removeprefix(TEXT))]
    if tokens == "bytes":
        return [(path, np.frombuffer(data, np.uint8)) for path, data in raw]
    texts = [(path, _decoded(path, data)) for path, data in raw]
    if tokens == "characters":
        every = sorted(set("".join(text for _, text in texts)))
        known = {character: number for number, character in enumerate(every)}
        return [(path, np.array([known[each] for each in text], np.int64)) for path, text in texts]
    return _tokenized(texts, tokenizer)


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} must be UTF-8 text, got byte 0x{data[error.start]:02x} at {error.start}: "
            "save it as UTF-8, or take its bytes with `task.tokens` bytes"
        ) from error


def _tokenized(texts: Sequence[tuple[Path, str]], folder: str) -> list[tuple[Path, np.ndarray]]:
    """Return the ids of whole texts, without tokens that no text has."""
    if not has_tokenizer(Path(folder)):
        raise DataError(
            f"there is no tokenizer in {folder or 'the current folder'} ({', '.join(TOKENIZERS)}): name its "
            "folder with `task.tokenizer`, or take `task.tokens` bytes or characters"
        )
    with from_extra("hub", "a tokenizer"):
        from transformers import AutoTokenizer
    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        encode = [found.encode(text, add_special_tokens=False, verbose=False) for _, text in texts]
    except Exception as error:  # files of somebody's own may raise anything there
        raise DataError(f"the tokenizer in {folder} cannot be used: {described(error)}") from error
    return [(path, np.array(ids, np.int64)) for (path, _), ids in zip(texts, encode, strict=True)]


def has_tokenizer(folder: Path) -> bool:
    """Return whether a folder has the files of a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZERS)
