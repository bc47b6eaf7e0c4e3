"""The tasks that are drawn: what their labels are, and that the same settings draw the same examples."""

import math
from itertools import permutations

import pytest
import torch

from grokscope.errors import SettingError
from grokscope.tasks import permutation, polynomial, xor


def test_permutations_are_composed():
    task, elements = permutation.build(n=3), list(permutations(range(3)))
    for (a, b), label in zip(task.inputs.tolist(), task.labels.tolist(), strict=True):
        assert elements[label] == tuple(elements[a][i] for i in elements[b])
    table = task.labels.view(6, 6)
    assert not table.equal(table.T)
    assert not task.symmetric
    assert (task.vocabulary, task.classes, len(task.train), len(task.test)) == (6, 6, 25, 11)
    with pytest.raises(SettingError, match=r"task\.train_fraction must be above 0, below 1 and"):
        permutation.build(n=3, train_fraction=0.01)


def test_the_label_of_a_cluster_is_the_xor_of_its_two_directions():
    task = xor.build(dimension=6, distance=20, flipped=0, train_size=300, test_size=100)
    right = (task.inputs[:, 0].abs() > task.inputs[:, 1].abs()).long()
    assert torch.equal(task.labels, right)
    centres = torch.zeros_like(task.inputs)
    centres[torch.arange(400), 1 - right] = 20 * task.inputs[torch.arange(400), 1 - right].sign()
    noise = task.inputs - centres
    assert noise.std() == pytest.approx(1, abs=0.05)
    signs = task.inputs[:, :2][torch.arange(400), 1 - right] > 0
    counts = torch.bincount(2 * right + signs)
    assert counts.tolist() == pytest.approx([100] * 4, abs=4 * math.sqrt(75))


def test_the_share_of_training_labels_is_flipped_and_no_test_label():
    clean, noisy = (
        xor.build(dimension=6, flipped=share, train_size=300, test_size=100) for share in (0, 0.2)
    )
    assert torch.equal(clean.inputs, noisy.inputs)
    differs = clean.labels != noisy.labels
    assert (differs[clean.train].sum(), differs[clean.test].sum()) == (60, 0)


@pytest.mark.parametrize("degree", [2, 3])
def test_the_numbers_are_a_power_of_one_direction(degree):
    task = polynomial.build(dimension=5, degree=degree, train_size=400, test_size=100)
    roots = (task.labels[:, 0] * math.factorial(degree)).abs() ** (1 / degree)
    signs = task.labels[:, 0].sign() if degree % 2 else 1
    wanted = roots * signs
    if degree % 2:
        beta = torch.linalg.lstsq(task.inputs, wanted[:, None]).solution
        torch.testing.assert_close(task.inputs @ beta, wanted[:, None], rtol=1e-3, atol=1e-4)
    else:
        pairs = (task.inputs[:, :, None] * task.inputs[:, None]).flatten(1)
        form = torch.linalg.lstsq(pairs, wanted[:, None] ** 2, driver="gelsd").solution.view(5, 5)
        assert torch.linalg.matrix_rank(form, rtol=1e-3) == 1
    assert (task.labels.shape, task.classes, task.outputs) == ((500, 1), 0, 1)


@pytest.mark.parametrize("make", [xor, polynomial], ids=lambda make: make.name)
def test_examples_come_from_their_seed_alone(make):
    torch.manual_seed(5)
    one, same, other = make.build(), make.build(), make.build(data_seed=1)
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.labels, same.labels)
    assert not torch.equal(one.inputs, other.inputs)
    assert (len(one.train), len(one.test)) == (one.train[-1] + 1, len(one.inputs) - len(one.train))
