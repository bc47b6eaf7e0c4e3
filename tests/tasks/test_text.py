import csv
import io
import os
import re
import runpy
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from grokscope.errors import DataError
from grokscope.tasks import TASKS, imdb
from grokscope.tasks import reviews as reviews_task
from grokscope.tasks.text import frequent_words, padded, stratified_split, tokenise, write_csv

SMALL = {"train_size": 28, "test_size": 12, "words": 15, "length": 12}
CSV = "IMDB Dataset.csv"


def build(folder, **settings):
    return imdb.build(**{"data_dir": str(folder), **SMALL, **settings})


def refusal(folder, **settings):
    with pytest.raises(DataError) as caught:
        build(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A GREAT film", ["great", "film"]),
        ("don't won't isn't it's", []),
        ("well-made, 10/10 'classic'!", ["wellmade", "classic"]),
        ("end.<br /><br />Start", ["end", "start"]),
        ("Amélie", ["amélie"]),
        ("... 123 <br>", []),
    ],
)
def test_words_are_lower_case_without_punctuation_digits_and_stop_words(text, words):
    assert tokenise(text) == words


def test_words_are_numbered_by_frequency_and_equals_by_who_comes_first():
    reviews = [["b", "a", "c"], ["a", "d", "b"], ["a"]]
    assert frequent_words(iter(reviews), 3) == {"a": 1, "b": 2, "c": 3}


def test_short_reviews_are_padded_on_the_left_and_long_ones_cut_at_the_end():
    vocabulary = {"a": 1, "b": 2}
    assert padded(["a", "?", "b"], vocabulary, 5).tolist() == [0, 0, 0, 1, 2]
    assert padded(["a", "b", "b", "a"], vocabulary, 3).tolist() == [1, 2, 2]
    assert padded([], vocabulary, 2).tolist() == [0, 0]


@pytest.mark.parametrize("positive", [500, 501, 333, 3])
def test_each_split_has_its_share_of_each_class(positive):
    labels = [1] * positive + [0] * (1000 - positive)
    train, test = stratified_split("imdb", labels, 250, split_seed=0)
    assert (len(train), len(test)) == (750, 250)
    assert sorted(torch.cat([train, test]).tolist()) == list(range(1000))
    assert abs(sum(labels[index] for index in test.tolist()) - positive / 4) < 1


def test_the_split_comes_from_its_seed_alone():
    labels = [0, 1] * 50
    assert torch.equal(stratified_split("imdb", labels, 25, 0)[0], stratified_split("imdb", labels, 25, 0)[0])
    assert not torch.equal(
        stratified_split("imdb", labels, 25, 0)[0], stratified_split("imdb", labels, 25, 1)[0]
    )


def test_a_csv_file_gives_its_first_rows(csv_folder, reviews):
    task = build(csv_folder, train_size=20, test_size=10)
    assert task.labels.tolist() == [label for _, label in reviews[:30]]
    assert (task.name, task.kind, task.classes) == ("imdb", "text", 2)
    assert (task.inputs.shape, task.inputs.dtype, task.labels.dtype) == ((30, 12), torch.int64, torch.int64)
    assert 0 < task.inputs.max() < task.vocabulary == 16
    assert TASKS["imdb"] is imdb


def test_only_words_of_training_reviews_are_known(csv_folder, reviews):
    task = build(csv_folder, words=1000)
    training = {word for index in task.train.tolist() for word in tokenise(reviews[index][0])}
    assert task.vocabulary == len(training) + 1
    assert len(task.inputs[task.train].unique()) == task.vocabulary  # 0 too: every review is padded
    assert (task.inputs[:, -1] > 0).all()


def test_a_folder_gives_as_many_drawn_reviews_of_both_classes(tree_folder):
    task = build(tree_folder, train_size=20, test_size=10)
    assert 0 < task.labels.sum() < 30
    assert task.labels.tolist() != sorted(task.labels.tolist())
    inside = build(tree_folder / "aclImdb", train_size=20, test_size=10)
    assert inside.data_sha256 == task.data_sha256
    assert build(tree_folder, train_size=20, test_size=10, split_seed=1).data_sha256 != task.data_sha256


def test_both_formats_give_the_same_reviews(csv_folder, tree_folder):
    one, other = build(csv_folder), build(tree_folder)
    assert one.labels.sum() == other.labels.sum() == 20
    assert one.vocabulary == other.vocabulary == 16


def test_another_review_is_other_data(csv_folder):
    before = build(csv_folder).data_sha256
    path = csv_folder / CSV
    path.write_text(path.read_text().replace("film", "movie", 1))
    assert build(csv_folder).data_sha256 != before
    assert "must be that with data_sha256" in refusal(csv_folder, data_sha256=before)


def test_what_the_library_fetched_is_found_as_any_csv(tmp_path, reviews):
    write_csv(tmp_path / "new", [(text, "positive" if label else "negative") for text, label in reviews])
    assert build(tmp_path / "new").labels.tolist() == [label for _, label in reviews]


def test_no_corpus_gets_where_and_how(tmp_path):
    message = refusal(tmp_path)
    assert f"needs aclImdb/ (https://ai.stanford.edu/~amaas/data/sentiment/) or Kaggle's '{CSV}'" in message
    assert f"in {tmp_path};" in message
    assert "`data_dir`" in message


def test_a_download_is_shuffled_and_kept_as_a_csv_file(tmp_path, reviews, monkeypatch):
    rows = [{"text": text, "label": int(label)} for text, label in sorted(reviews, key=lambda r: r[1])]
    library = SimpleNamespace(load_dataset=lambda name, split: rows)
    monkeypatch.setitem(sys.modules, "datasets", library)
    fetched = build(tmp_path / "new", download=True, train_size=20, test_size=10)
    assert 0 < fetched.labels.sum() < 30
    monkeypatch.setitem(sys.modules, "datasets", None)
    again = build(tmp_path / "new", train_size=20, test_size=10)
    assert again.data_sha256 == fetched.data_sha256


def test_a_download_that_fails_gets_one_sentence(tmp_path, monkeypatch):
    def load_dataset(name, split):
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert refusal(tmp_path, download=True) == "the IMDB reviews cannot be downloaded: no network"


def test_a_download_without_the_library_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "needs the datasets library: pip install 'grokscope[data]'" in refusal(tmp_path, download=True)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: "", "must begin with the row review,sentiment, got nothing"),
        (lambda text: "review,sentiment\r\n", "must hold at least 40 reviews"),
        (lambda text: text.replace("review,sentiment", "text,label", 1), "got 'text,label'"),
        (lambda text: text.replace("negative", "neutral", 1), "sentiment must be positive or negative"),
        (lambda text: text.replace("negative", "0", 1), "sentiment must be positive or negative, got '0'"),
        (lambda text: text[: text.rindex('"')], "damaged behind row"),
        (lambda text: text[: text.rindex(",")], "row 41: it must have a review and a sentiment"),
        (lambda text: text[: len(text) // 2], "kaggle"),
        (lambda text: text.replace("\r\n", '\r\n" ",positive\r\n', 1), "row 2: the review must have words"),
        (lambda text: text.replace("\r\n", "\r\na,b,positive\r\n", 1), "row 2: it must have a review"),
        (lambda text: "PK\x03\x04" + text, "must begin with the row review,sentiment"),
    ],
)
def test_a_bad_csv_file_is_refused(csv_folder, edit, words):
    path = csv_folder / CSV
    path.write_bytes(edit(path.read_bytes().decode()).encode())
    message = refusal(csv_folder)
    assert words in message
    assert str(path) in message


def test_a_csv_file_that_is_not_utf_8_is_refused(csv_folder):
    path = csv_folder / CSV
    path.write_bytes(path.read_bytes().replace(b"film", b"f\xfflm", 1))
    assert "is damaged behind row" in refusal(csv_folder)


def test_rows_behind_those_that_are_taken_are_not_read(csv_folder):
    with open(csv_folder / CSV, "a", newline="") as file:
        csv.writer(file).writerow(["late", "nonsense"])
    assert build(csv_folder).classes == 2


def test_one_class_alone_cannot_be_split(csv_folder):
    path = csv_folder / CSV
    path.write_text(path.read_text().replace("negative", "positive"))
    assert "got 40 positive and 0 negative" in refusal(csv_folder)


def a_file(folder, side="neg"):
    return sorted((folder / "aclImdb" / "train" / side).iterdir())[0]


def test_a_folder_without_one_side_is_refused(tree_folder):
    (tree_folder / "aclImdb" / "train" / "pos").rename(tree_folder / "pos")
    assert "train must have the folders neg and pos, got no pos" in refusal(tree_folder)


def test_a_review_in_the_wrong_folder_is_refused(tree_folder):
    path = a_file(tree_folder)
    path.rename(path.parent / "7_10.txt")
    assert "must be called ID_RATING.txt with a rating of 1 to 4 in neg/" in refusal(tree_folder)


def test_a_file_that_is_no_rated_review_is_refused(tree_folder):
    (a_file(tree_folder).parent / "notes.txt").write_text("x")
    assert "notes.txt must be called ID_RATING.txt" in refusal(tree_folder)


@pytest.mark.parametrize(("data", "words"), [(b"", "got an empty file"), (b"\xff\xfe\xff", "is damaged")])
def test_an_empty_or_undecodable_review_is_refused(tree_folder, data, words):
    path = a_file(tree_folder)
    path.write_bytes(data)
    message = refusal(tree_folder)
    assert words in message
    assert str(path) in message


def test_too_few_reviews_are_refused(tree_folder):
    for path in sorted((tree_folder / "aclImdb" / "train" / "neg").iterdir())[:5]:
        path.unlink()
    assert "must hold at least 40 reviews, as many as task.train_size" in refusal(tree_folder)


@pytest.mark.skipif("GROKSCOPE_TEST_IMDB" not in os.environ, reason="needs IMDB: GROKSCOPE_TEST_IMDB=FOLDER")
def test_the_real_corpus_is_imdb():
    task = imdb.build(data_dir=os.environ["GROKSCOPE_TEST_IMDB"])
    assert task.inputs.shape == (1000, 500)
    assert task.vocabulary == 1001
    assert 400 < task.labels.sum() < 600


def test_reviews_of_ones_own_are_the_same_task_on_another_file(csv_folder):
    whole = build(csv_folder)
    os.rename(csv_folder / CSV, csv_folder / "reviews.csv")
    assert (
        f"task imdb needs aclImdb/ (https://ai.stanford.edu/~amaas/data/sentiment/) or Kaggle's {CSV!r}"
        in (refusal(csv_folder))
    )
    own = reviews_task.build(**{"data_dir": str(csv_folder), **SMALL})
    assert (own.name, own.data_sha256) == ("reviews", whole.data_sha256)
    assert torch.equal(own.inputs, whole.inputs)
    assert torch.equal(own.test, whole.test)


def test_missing_reviews_of_ones_own_say_what_the_file_must_be(tmp_path):
    with pytest.raises(DataError) as caught:
        reviews_task.build(data_dir=str(tmp_path))
    assert str(caught.value) == (
        f"task reviews needs reviews.csv, with the columns review and sentiment, in {tmp_path}; "
        "say where it is with `data_dir` or GROKSCOPE_DATA_DIR"
    )


def packed(name, content):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def test_the_example_makes_reviews_of_rated_sentences(tmp_path, capsys):
    script = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "reviews_csv.py"))
    ratings = [2.5, -1, 0.9, -0.9, 1, -3.2] * 4
    rated = "\r\n".join(f"{i}\t{rating}\tfilm{i} is, er, é" for i, rating in enumerate(ratings))
    inner = packed(script["TEXT"], rated.encode())
    (tmp_path / "made.tar.gz").write_bytes(packed(f"vaderSentiment-3.3.2/{script['INSIDE']}", inner))
    script["main"](str(tmp_path / "made.tar.gz"), str(tmp_path))
    assert capsys.readouterr().out == f"{tmp_path / 'reviews.csv'} 4\n"
    with open(tmp_path / "reviews.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["review", "sentiment"]
    for side, clear in (("positive", lambda rating: rating >= 1), ("negative", lambda rating: rating <= -1)):
        found = [re.findall(r"film(\d+) is, er, é", text) for text, own in rows if own == side]
        assert sorted(map(len, found)) == [3, 5]
        assert sorted(int(film) for films in found for film in films) == [
            film for film, rating in enumerate(ratings) if clear(rating)
        ]
    assert reviews_task.build(data_dir=str(tmp_path), train_size=2, test_size=2).classes == 2
