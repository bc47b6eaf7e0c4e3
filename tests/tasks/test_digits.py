import builtins

import pytest
import torch
from sklearn.datasets import load_digits

from grokscope.errors import DataError, SettingError
from grokscope.tasks import TASKS, digits


def test_they_are_scikit_learns_images_in_zero_to_one():
    task = digits.build()
    pixels, labels = load_digits(return_X_y=True)
    assert torch.equal(task.inputs * 16, torch.from_numpy(pixels).float())
    assert task.labels.tolist() == labels.tolist()
    assert (task.inputs.min(), task.inputs.max()) == (0, 1)
    assert (task.name, task.kind, task.classes, task.vocabulary) == ("digits", "images", 10, 0)
    assert (task.inputs.dtype, task.labels.dtype) == (torch.float32, torch.int64)
    assert TASKS["digits"] is digits


def test_the_split_has_the_size_asked_for_and_comes_from_its_seed_alone():
    task = digits.build(train_size=300)
    assert len(task.train) == 300
    assert sorted(torch.cat([task.train, task.test]).tolist()) == list(range(1797))
    torch.manual_seed(5)
    assert torch.equal(task.train, digits.build(train_size=300).train)
    assert not torch.equal(task.train, digits.build(train_size=300, split_seed=1).train)


def test_every_image_training_is_refused():
    with pytest.raises(SettingError, match="train_size must leave some of the 1797 images"):
        digits.build(train_size=1797)


def test_other_images_than_recorded_are_refused():
    task = digits.build()
    assert digits.build(data_sha256=task.data_sha256).data_sha256 == task.data_sha256
    with pytest.raises(
        DataError, match=r"must be that with data_sha256 0000.*, got " + task.data_sha256[:12]
    ):
        digits.build(data_sha256="0" * 64)


def test_without_scikit_learn_it_says_how_to_get_it(monkeypatch):
    importing = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name, name=name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"needs scikit-learn.*pip install 'grokscope\[data\]'"):
        digits.build()
