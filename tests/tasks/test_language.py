"""Text and token ids become sequences with the token after each place, split by a seed."""

import numpy as np
import pytest
import torch

from grokscope.errors import DataError, GrokscopeError, SettingError
from grokscope.models.making import make_task
from grokscope.tasks.language import language

IDS = np.arange(1, 42, dtype=np.uint16)  # 4 sequences of 10 and the token after the last


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("ids.npy", IDS)
    IDS.tofile("ids.bin")
    IDS.astype("<i4").tofile("wide.bin")
    np.save("rows.npy", IDS[:40].reshape(4, 10))
    (tmp_path / "a.txt").write_text("abcab" * 9)
    (tmp_path / "b,c.txt").write_text("xyz")
    return tmp_path


def made(name, most=4000, **settings):
    return make_task(language(name), settings, most)


@pytest.mark.parametrize(
    ("name", "settings"), [("ids.npy", {}), ("ids.bin", {}), ("wide.bin", {"ids": "int32"})]
)
def test_a_stream_is_cut_into_sequences_and_every_token_but_the_first_is_a_label_once(here, name, settings):
    task = made(name, length=10, train_fraction=0.5, **settings)
    assert task.kind == "own"
    assert task.inputs.shape == task.labels.shape == (4, 10)
    assert task.labels.flatten().sort().values.tolist() == list(range(2, 42))
    assert torch.equal(task.inputs[:, 1:], task.labels[:, :-1])
    assert (len(task.train), len(task.test)) == (2, 2)


def test_the_split_is_that_of_its_seed(here):
    first = [made("ids.npy", length=1, split_seed=seed).inputs for seed in (0, 0, 1)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:32] + 1
    assert sorted(first[0][:32, 0].tolist()) == sorted(order.tolist())


def test_rows_of_a_table_are_sequences_and_two_files_are_the_splits(here):
    rows = made("rows.npy", train_fraction=0.5)
    assert sorted(rows.inputs[:, 0].tolist()) == [1, 11, 21, 31]
    assert rows.inputs.shape == (4, 9)
    both = made("ids.npy,ids.bin", length=20)
    assert torch.equal(both.inputs[both.train], both.inputs[both.test])
    assert made("ids.npy", most=3, length=1).inputs.shape == (6, 1)


def test_text_is_bytes_or_characters_where_there_is_no_tokenizer(here):
    assert made("text:a.txt", length=4).vocabulary == ord("c") + 1
    by_character = made("text:a.txt", length=4, tokens="characters")
    assert by_character.vocabulary == 3
    assert made("text:b,c.txt", length=1, train_fraction=0.5).inputs.shape == (2, 1)


def test_the_folders_tokenizer_makes_the_ids(here):
    transformers = pytest.importorskip("transformers", reason="pip install 'grokscope[hub]'")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[U]": 0, "to": 1, "be": 2}, unk_token="[U]"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[U]").save_pretrained("saved")
    (here / "play.txt").write_text("to be or to be " * 4)
    task = made("text:play.txt", length=5, train_fraction=0.5, tokenizer="saved")
    assert {tuple(row) for row in task.labels.tolist()} <= {(2, 0, 1, 2, 1), (2, 0, 1, 2, 0)}


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("none.npy", {}, r"there is no file none\.npy: data must name a file of text or of token ids"),
        ("ids.npy,ids.npy,ids.npy", {}, "must be one file, or TRAIN,TEST, got 3"),
        ("odd.bin", {}, r"odd\.bin must hold whole uint16 numbers \(`task\.ids` says which\)"),
        ("half.npy", {}, r"half\.npy must hold token ids, whole numbers \(N,\) or \(n, t\), got float16"),
        ("objects.npy", {}, r"objects\.npy must hold an array: ValueError: .*Python objects"),
        ("below.npy", {"length": 2}, r"below\.npy must hold token ids from 0 on, got -3"),
        ("ids.npy", {"length": 41}, r"must hold a sequence of 41 tokens .* smaller `task\.length`"),
        ("ids.npy", {"length": 40}, "leave examples to train and to test on"),
        ("text:latin.txt", {"tokens": "characters"}, "must be UTF-8 text, got byte 0xe9 at 1"),
        ("text:a.txt", {"tokens": "tokenizer"}, "there is no tokenizer in the current folder"),
        ("text:a.txt", {"tokens": "words"}, "tokens must be auto | tokenizer | bytes | characters"),
    ],
)
def test_bad_input_is_one_sentence(here, name, settings, words):
    (here / "odd.bin").write_bytes(b"abc")
    np.save("half.npy", np.zeros(9, np.float16))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.save("below.npy", np.full(9, -3))
    (here / "latin.txt").write_bytes(b"h\xe9")
    with pytest.raises(GrokscopeError, match=words) as refusal:
        made(name, **settings)
    assert "\n" not in str(refusal.value)
    assert isinstance(refusal.value, (DataError, SettingError)) or name == "below.npy"
