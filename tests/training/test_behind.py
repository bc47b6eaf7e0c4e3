"""Checkpoints are written while the next steps are computed, in order, and none is lost by that."""

import threading

import pytest
import torch

from grokscope import Run, StorageError
from grokscope.training.behind import Behind


def test_jobs_are_done_in_order_and_the_block_ends_when_all_are_done():
    done, let = [], threading.Event()
    with Behind() as behind:
        behind.give(let.wait)
        behind.give(lambda: done.append(1))
        assert not done
        let.set()
        behind.wait()
        assert done == [1]
        behind.give(lambda: done.append(2))
    assert done == [1, 2]


def test_what_a_job_raises_is_raised_and_those_behind_it_are_not_done():
    done = []

    def fails():
        raise StorageError("full")

    with Behind() as behind:
        behind.give(fails)
        behind.give(lambda: done.append(1))
        for call in (behind.wait, lambda: behind.give(lambda: None)):
            with pytest.raises(StorageError, match="full"):
                call()
        behind._error = None
    with pytest.raises(StorageError, match="full"), Behind() as behind:
        behind.give(fails)
    with pytest.raises(KeyError):  # the block's own error is the one to be told of
        _given_and_left(fails)
    assert not done


def _given_and_left(job):
    with Behind() as behind:
        behind.give(job)
        raise KeyError


def test_steps_are_computed_while_a_checkpoint_is_written_and_it_is_the_one_of_its_step(trainer, monkeypatch):
    plain, reached = trainer("plain"), threading.Event()
    save = Run.save_checkpoint

    def late(run, step, *arguments):
        assert step != 10 or reached.wait(60)
        save(run, step, *arguments)

    monkeypatch.setattr(Run, "save_checkpoint", late)
    run = trainer("behind", progress=lambda state: state.step == 15 and reached.set())
    assert run.steps == plain.steps
    for step in run.steps:
        for name, weight in plain.weights(step).items():
            assert torch.equal(run.weights(step)[name], weight)


def test_a_checkpoint_that_cannot_be_written_ends_training(trainer, monkeypatch):
    def full(run, step, *_):
        raise StorageError(f"no room for {step}")

    monkeypatch.setattr(Run, "save_checkpoint", full)
    with pytest.raises(StorageError, match="no room for 0"):
        trainer()
