"""Pairs are recognised inside longer sequences and beside other logits, or what is missing is said."""

from dataclasses import replace

import pytest
import torch

from grokscope.errors import NotApplicable
from grokscope.models.plain import Plain
from grokscope.objective import loss
from grokscope.tasks.task import IGNORED, Task
from grokscope.testing import probe_of
from grokscope_abelian.functional import squared_distance
from grokscope_abelian.measures import abelian
from grokscope_mechanistic import functional
from grokscope_mechanistic.measures import fourier

P, PLUS, EQUALS = 4, 4, 5  # numbers are the tokens 0 to 3


def sums(*, shown: bool, by_position: bool, subtract: bool = False) -> Task:
    """`a + b =`, and the result after it where it is `shown`; labelled at `=` alone."""
    a, b = torch.cartesian_prod(torch.arange(P), torch.arange(P)).T
    results = (a - b if subtract else a + b) % P
    plus, equals = torch.full_like(a, PLUS), torch.full_like(a, EQUALS)
    inputs = torch.stack([a, plus, b, equals, *([results] if shown else [])], 1)
    labels = results
    if by_position:
        labels = torch.full_like(inputs, IGNORED)
        labels[:, 3] = results
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(2))
    return Task("mine:sums", "own", inputs, labels, P, order[:9], order[9:], vocabulary=6)


@pytest.fixture
def gpt(own):
    def probe(task):
        torch.manual_seed(1)
        return probe_of(Plain(own["gpt"].make(), task.inputs, task.labels), task)

    return probe


@pytest.mark.parametrize(("shown", "by_position"), [(False, False), (False, True), (True, True)])
def test_addition_in_a_sequence_is_measured(gpt, shown, by_position):
    probe = gpt(sums(shown=shown, by_position=by_position))
    every = probe.model.inner(probe.task.inputs).detach()[:, 3]
    a, _, b = probe.task.inputs.T[:3]
    image = b * P + a  # where (b, a) stands
    test = torch.zeros(P * P, dtype=torch.bool).index_fill(0, probe.task.test, True) & (a != b)
    found = {row["pairs"]: row for row in abelian.function(probe)}
    agrees = every.argmax(1) == every[image].argmax(1)
    assert found["test"]["agreement"] == pytest.approx(agrees[test].double().mean().item())
    distance = squared_distance(every, every[image])[test].mean().item()
    assert found["test"]["logit_distance"] == pytest.approx(distance, rel=1e-4)

    head, *each = fourier.function(probe, probe, keys=1)
    assert head["note"].endswith("; 2 other logits are left out")
    logits, results = every[:, :P], (a + b) % P
    folded = functional.fold(logits, results)
    kept = functional.excluded_logits(logits, results, folded, [each[0]["frequency"]])
    wanted = loss("cross_entropy", kept[probe.task.train], results[probe.task.train]).item()
    assert head["excluded_loss"] == pytest.approx(wanted, rel=1e-4)
    if by_position:
        assert 0 < head["gini_embedding"] < 1


def test_what_is_missing_is_said_in_the_networks_own_terms(gpt):
    task = sums(shown=False, by_position=False)
    some = replace(task, inputs=task.inputs[1:], labels=task.labels[1:], train=torch.arange(9))
    some = replace(some, test=torch.arange(9, 15))
    longer = replace(task, inputs=torch.cat([task.inputs, task.inputs[:, :1]], 1))
    twice = replace(task, inputs=task.inputs.clone())
    twice.inputs[5] = twice.inputs[6]
    many = sums(shown=True, by_position=True)
    many = replace(many, labels=many.inputs)
    for measured, given, words in [
        (abelian, sums(shown=False, by_position=False, subtract=True), "not symmetric: .0, 1. and .1, 0."),
        (abelian, longer, "at two places of the 5 up to the answer; here they differ at places 0, 2, 4"),
        (abelian, twice, "every pair of tokens once, and .* is there 2 times"),
        (abelian, many, "one label for each pair, and labels are one per position, of which 80 count in 16"),
        (fourier, some, "there are 16 of the tokens 0 to 3, and the run has 15"),
        (fourier, replace(task, labels=task.labels.flip(0)), "other operations"),
    ]:
        probe = gpt(given)
        asked = {"baseline": probe, "keys": 1} if measured is fourier else {}
        with pytest.raises(NotApplicable, match=words):
            list(measured.function(probe, **asked))
    probe = gpt(sums(shown=False, by_position=True, subtract=True))
    assert next(iter(fourier.function(probe, probe)))["keys"] == 2
