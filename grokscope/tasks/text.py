"""Film reviews: where a corpus may lie, which reviews are taken, and how words become tokens."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from grokscope.errors import DataError
from grokscope.extras import from_extra
from grokscope.run.files import atomic_write, make_folder
from grokscope.tasks.data import VARIABLE, check_digest, data_folder, digest
from grokscope.tasks.task import Task

CSV_NAMES = ("IMDB Dataset.csv", "imdb.csv")
OWN_NAME = "reviews.csv"
FOLDER = "aclImdb"
FIELDS = ["review", "sentiment"]
SENTIMENTS = {"negative": 0, "positive": 1}
RATINGS = {0: range(1, 5), 1: range(7, 11)}  # stars of negative and positive reviews
_RATED = re.compile(r"\d+_(\d+)\.txt", re.ASCII)

_NLTK = """
a about above after again against ain all am an and any are aren aren't as at be because been before being
below between both but by can couldn couldn't d did didn didn't do does doesn doesn't doing don don't down
during each few for from further had hadn hadn't has hasn hasn't have haven haven't having he her here hers
herself him himself his how i if in into is isn isn't it it's its itself just ll m ma me mightn mightn't more
most mustn mustn't my myself needn needn't no nor not now o of off on once only or other our ours ourselves
out over own re s same shan shan't she she's should should've shouldn shouldn't so some such t than that
that'll the their theirs them themselves then there these they this those through to too under until up ve
very was wasn wasn't we were weren weren't what when where which while who whom why will with won won't wouldn
wouldn't y you you'd you'll you're you've your yours yourself yourselves
"""
STOP_WORDS = frozenset(_NLTK.split())
"""The English stop words of NLTK."""


@dataclass(frozen=True)
class Review:
    """One review: its text, and 1 if it is positive."""

    text: str
    label: int


def review_task(
    name: str,
    read: Callable[[Path, int], tuple[list[Review], Path]],
    *,
    train_size: int,
    test_size: int,
    words: int,
    length: int,
    split_seed: int,
    data_dir: str,
    data_sha256: str,
) -> Task:
    """Return reviews as the numbers of their frequent words, padded on the left with 0 to `length`.

    `train_size` + `test_size` reviews are taken and split so that both splits have their share of each class
    (Omnigrok, Liu et al. 2022). The `words` most frequent words of the training reviews, stop words left
    out, are numbered from 1 by frequency; every other word is dropped, and so are the words of a review
    behind its first `length`.

    Args:
        name: of the task.
        read: so many reviews of what lies in a folder, and where they were: `imdb_reviews`, `own_reviews`.
        train_size, test_size, words, length, split_seed: see above.
        data_dir, data_sha256: the folder, and what was read there before; empty: whatever is there.

    Raises:
        DataError: there is no corpus, too little of it, it is damaged or mislabelled, or it is not that of
            `data_sha256`.
    """
    folder = data_folder(data_dir)
    reviews, source = read(folder, train_size + test_size)
    found = digest(f"{review.label} {review.text}".encode() for review in reviews)
    check_digest(found, data_sha256, source)
    train, test = stratified_split(name, [review.label for review in reviews], test_size, split_seed)
    tokenised = [tokenise(review.text) for review in reviews]
    vocabulary = frequent_words((tokenised[index] for index in train.tolist()), words)
    if not vocabulary:
        raise DataError(f"{source} must have words beside stop words in its training reviews, got none")
    return Task(
        name=name,
        kind="text",
        inputs=torch.stack([padded(review, vocabulary, length) for review in tokenised]),
        labels=torch.tensor([review.label for review in reviews]),
        classes=2,
        train=train,
        test=test,
        vocabulary=len(vocabulary) + 1,
        data_sha256=found,
        data_dir=str(folder),
    )


def tokenise(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation, digits, line breaks and stop words.

    >>> tokenise("It's GREAT,<br />the 2nd best film - don't miss it!")
    ['great', 'nd', 'best', 'film', 'miss']
    """
    words = (re.sub(r"[^\w]|\d", "", word) for word in _no_breaks(text).lower().split())
    return [word for word in words if word and word not in _STOP]


def _no_breaks(text: str) -> str:
    return re.sub(r"<br\s*/?>", " ", text)


_STOP = STOP_WORDS | {word.replace("'", "") for word in STOP_WORDS}


def frequent_words(reviews: Iterator[list[str]], count: int) -> dict[str, int]:
    """Return the `count` most frequent words, numbered from 1; among equals the first seen comes first."""
    counted = Counter(word for review in reviews for word in review)
    return {word: rank for rank, (word, _) in enumerate(counted.most_common(count), start=1)}


def padded(words: Sequence[str], vocabulary: dict[str, int], length: int) -> torch.Tensor:
    """Return the numbers of the known words, (length,) int64: 0 on the left, or only the first `length`."""
    tokens = [vocabulary[word] for word in words if word in vocabulary][:length]
    return torch.tensor([0] * (length - len(tokens)) + tokens)


def stratified_split(
    name: str, labels: Sequence[int], test_size: int, split_seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return train and test indices in random order; each class has its share of the test examples.

    Where shares are no whole numbers, the largest remainders are rounded up. Raises DataError when a class
    would be missing from a split.
    """
    generator = torch.Generator().manual_seed(split_seed)
    order = torch.randperm(len(labels), generator=generator).tolist()
    by_class = {label: [index for index in order if labels[index] == label] for label in (0, 1)}
    shares = {label: len(members) * test_size / len(labels) for label, members in by_class.items()}
    counts = {label: int(share) for label, share in shares.items()}
    for label in sorted(shares, key=lambda label: counts[label] - shares[label]):
        counts[label] += sum(counts.values()) < test_size
    if any(not 0 < counts[label] < len(by_class[label]) for label in by_class):
        raise DataError(
            f"task {name} needs positive and negative reviews in both splits, got "
            f"{len(by_class[1])} positive and {len(by_class[0])} negative for {test_size} test reviews"
        )
    test = {index for label, members in by_class.items() for index in members[: counts[label]]}
    return (
        torch.tensor([index for index in order if index not in test]),
        torch.tensor([index for index in order if index in test]),
    )


def imdb_reviews(folder: Path, count: int, *, seed: int, download: bool) -> tuple[list[Review], Path]:
    """Return `count` reviews from what lies in `folder`, and where they were.

    Of a CSV file the first rows are taken (Kaggle's is shuffled, and Omnigrok took these); of a folder of
    text files, which are ordered by label, as many are drawn.
    """
    csv_file = next((folder / name for name in CSV_NAMES if os.path.isfile(folder / name)), None)
    tree = next((path for path in (folder / FOLDER, folder) if os.path.isdir(path / "train")), None)
    if csv_file is None and tree is None:
        if not download:
            raise DataError(
                f"task imdb needs {FOLDER}/ (https://ai.stanford.edu/~amaas/data/sentiment/) or Kaggle's "
                f"{CSV_NAMES[0]!r} in {folder}; say where one is with `data_dir` or {VARIABLE}, or let the "
                "datasets library fetch it with `download`"
            )
        csv_file = download_imdb(folder)
    if csv_file is not None:
        return _enough(list(islice(read_csv(csv_file), count)), count, csv_file), csv_file
    assert tree is not None
    return read_tree(tree, count, seed), tree


def own_reviews(folder: Path, count: int) -> tuple[list[Review], Path]:
    """Return the first `count` reviews of the CSV file in `folder`, and where it is."""
    csv_file = folder / OWN_NAME
    if not os.path.isfile(csv_file):
        raise DataError(
            f"task reviews needs {OWN_NAME}, with the columns {' and '.join(FIELDS)}, in {folder}; "
            f"say where it is with `data_dir` or {VARIABLE}"
        )
    return _enough(list(islice(read_csv(csv_file), count)), count, csv_file), csv_file


def _enough(reviews: list[Review], count: int, source: Path) -> list[Review]:
    if len(reviews) < count:
        raise DataError(
            f"{source} must hold at least {count} reviews, as many as task.train_size + task.test_size say, "
            f"got {len(reviews)}"
        )
    return reviews


def read_csv(path: Path) -> Iterator[Review]:
    """Yield the reviews of a CSV file with the columns review and sentiment (positive or negative).

    Raises DataError, with the row, for anything else; only rows that are asked for are read.
    """
    row = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if header != FIELDS:
                raise DataError(f"{path} must begin with the row {','.join(FIELDS)}, got {_short(header)}")
            for row, fields in enumerate(rows, start=2):
                yield _review(path, row, fields)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged behind row {row}: {error}; get it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _review(path: Path, row: int, fields: list[str]) -> Review:
    if len(fields) != 2:
        raise DataError(f"{path}, row {row}: it must have a review and a sentiment, got {_short(fields)}")
    text, sentiment = fields
    if sentiment not in SENTIMENTS:
        raise DataError(f"{path}, row {row}: sentiment must be positive or negative, got {sentiment[:40]!r}")
    if not text.strip():
        raise DataError(f"{path}, row {row}: the review must have words, got an empty one")
    return Review(text, SENTIMENTS[sentiment])


def _short(fields: Sequence[str]) -> str:
    text = ",".join(fields)
    return repr(text[:40] + "…") if len(text) > 40 else repr(text) if text else "nothing"


def read_tree(tree: Path, count: int, seed: int) -> list[Review]:
    """Return `count` reviews drawn by `seed` from train/ and test/, each with pos/ and neg/, of aclImdb.

    A file is called ID_RATING.txt; 1 to 4 stars are negative, 7 to 10 positive. Raises DataError for a
    missing folder, a file in the wrong one, an empty or undecodable one.
    """
    parts = [part for part in ("train", "test") if (tree / part).is_dir()]
    files = [found for part in parts for found in (*_rated(tree / part, "neg"), *_rated(tree / part, "pos"))]
    chosen = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed))[:count]
    return _enough([_read_rated(*files[index]) for index in chosen.tolist()], count, tree)


def _rated(part: Path, side: str) -> list[tuple[Path, int]]:
    folder, label = part / side, int(side == "pos")
    if not folder.is_dir():
        raise DataError(f"{part} must have the folders neg and pos, got no {side}; unpack aclImdb again")
    found = []
    for name in sorted(path.name for path in folder.glob("*.txt")):
        rated = _RATED.fullmatch(name)
        if rated is None or int(rated[1]) not in RATINGS[label]:
            stars = f"{RATINGS[label][0]} to {RATINGS[label][-1]}"
            raise DataError(
                f"{folder / name} must be called ID_RATING.txt with a rating of {stars} in {side}/"
            )
        found.append((folder / name, label))
    return found


def _read_rated(path: Path, label: int) -> Review:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: {error}; unpack aclImdb again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not text.strip():
        raise DataError(f"{path} must hold a review, got an empty file; unpack aclImdb again")
    return Review(text, label)


def download_imdb(folder: Path) -> Path:
    """Fetch the reviews with the datasets library and keep them in `folder` as a shuffled CSV file.

    Raises DataError without the library or a network.
    """
    by_hand = f"put {FOLDER}/ or {CSV_NAMES[0]!r} into {folder} yourself"
    with from_extra("data", "`download`", otherwise=by_hand, fault=DataError):
        from datasets import load_dataset
    try:
        fetched = load_dataset("stanfordnlp/imdb", split="train")
    except Exception as error:  # the library raises whatever its parts raise
        raise DataError(f"the IMDB reviews cannot be downloaded: {error}") from error
    order = torch.randperm(len(fetched), generator=torch.Generator().manual_seed(0)).tolist()
    words = {label: word for word, label in SENTIMENTS.items()}
    return write_csv(folder, [(fetched[i]["text"], words[fetched[i]["label"]]) for i in order])


def write_csv(folder: Path, rows: Sequence[tuple[str, str]], name: str = CSV_NAMES[1]) -> Path:
    """Write (review, sentiment) rows where the task finds them; return the file."""
    stream = io.StringIO()
    csv.writer(stream).writerows([FIELDS, *rows])
    make_folder(folder)
    atomic_write(folder / name, stream.getvalue().encode())
    return folder / name
