"""Seeds trained together are the runs that each would be by itself, to rounding, and are said to be so."""

import subprocess
import sys

import pytest
import torch

from grokscope import Run, StorageError, sweep
from grokscope.models.mlp import MLP
from grokscope.training.sweep.together import Together

PARITY = {"n": 10, "hidden": [20], "train_size": 50, "test_size": 50, "batch_size": 16}
MODADD = {"p": 7, "hidden": [12, 8], "lr": 0.01}
TRANSFORMER = {"p": 7, "model": "transformer", "d_model": 8, "heads": 2, "d_head": 4, "d_mlp": 12}
LONG = {"steps": 200, "checkpoint_every": "100", "log_every": 100, "dtype": "float64"}
SHORT = {**PARITY, "steps": 30, "checkpoint_every": "10", "log_every": 5}


def apart(one, other, step):
    """The largest difference of two runs' weights at a step."""
    mine, theirs = (Run.open(path).weights(step) for path in (one, other))
    return max((mine[name] - theirs[name]).abs().max().item() for name in mine)


def hashes(path):
    return [checkpoint.sha256 for checkpoint in Run.open(path).checkpoints]


def together(path):
    """With how many others' a run's last steps were one computation, itself among them."""
    return int(Run.open(path).load_resume()[1]["seeds together"])


@pytest.fixture
def trained(tmp_path):
    """Sweeps into a folder of the test's; what is told is in its list."""

    def train(name="out", task="parity", settings=SHORT, **options):
        options = {"seeds": 3, "together": True, "notify": train.told.append} | options
        return sweep(task, settings=settings, out=tmp_path / name, **options)

    train.told = []
    return train


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("parity", PARITY),
        ("parity", {**PARITY, "optimizer": "sgd", "warmup_steps": 9, "loss": "cross_entropy"}),
        ("modadd", {**MODADD, "optimizer": "sgd", "momentum": 0}),
        ("modadd", {**MODADD, "batch_size": 8, "optimizer": "adam", "init_zero": "last_layer"}),
        pytest.param("modadd", TRANSFORMER, marks=pytest.mark.slow),
        pytest.param(
            "modadd", {**TRANSFORMER, "layers": 2, "norm": "layer", "lr": 1e-3}, marks=pytest.mark.slow
        ),
        pytest.param("digits", {"model": "cnn", "batch_size": 50}, marks=pytest.mark.slow),
        pytest.param("polynomial", {}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_each_seed_is_the_run_that_it_is_by_itself(trained, task, settings):
    options = {"task": task, "seeds": [3, 0], "settings": {**LONG, **settings}}
    alone = trained("alone", **options, together=False)
    joined = trained("joined", **options)
    assert not trained.told
    assert [path.name for path in joined.finished] == [path.name for path in alone.finished]
    for paths in zip(alone.finished, joined.finished, strict=True):
        one, other = map(Run.open, paths)
        assert one.steps == other.steps == (0, 100, 200)
        assert max(apart(*paths, step) for step in one.steps) < 1e-10
        for name, value in one.curves.items():
            torch.testing.assert_close(*map(torch.as_tensor, (value, other.curves[name])), equal_nan=True)
        (mine, said), (theirs, said_too) = (run.load_resume() for run in (one, other))
        assert (said["seeds together"], said_too["seeds together"]) == ("1", "2")
        for name, value in mine.items():  # generators and the place in the order to the bit
            torch.testing.assert_close(theirs[name], value, rtol=0, atol=1e-10, equal_nan=True)


def stop_at(step):
    """Return what says stop after so many steps of all; it is asked before the first too."""
    asked = iter(range(step))
    return lambda: next(asked, None) is None


def test_stopped_and_gone_on_it_is_the_same_to_the_bit(trained):
    whole = trained("whole")
    stopped = trained(stop=stop_at(13))
    assert {Run.open(path).steps for path in stopped.stopped} == {(0, 10, 13)}
    done = trained()
    for path, other in zip(done.finished, whole.finished, strict=True):
        assert together(path) == 3
        assert set(hashes(path)) == {*hashes(other), hashes(path)[2]}
    assert not trained.told


def test_in_other_company_it_goes_on_and_says_so(trained):
    trained(stop=stop_at(13))
    trained(seeds=[0], stop=stop_at(4))
    done = trained()
    assert [together(path) for path in done.finished] == [1, 2, 2]
    changes = ["3 -> 1", "3 -> 2", "3 -> 2"]
    assert [told.partition("(seeds together ")[2][:6] for told in trained.told] == changes
    whole = trained("whole")
    for path, other in zip(done.finished, whole.finished, strict=True):
        assert apart(path, other, 30) < 1e-5


def test_without_a_state_to_go_on_from_they_are_no_company(trained):
    stopped = trained(stop=stop_at(13))
    (stopped.paths[1] / "resume.safetensors").unlink()
    done = trained()
    assert [together(path) for path in done.finished] == [1, 1, 1]
    assert any("one by one: they do not stand at the same step" in told for told in trained.told)


def test_processes_share_the_seeds_evenly(trained):
    done = trained(seeds=4, workers=2)
    assert [together(path) for path in done.finished] == [2] * 4
    pair = trained("pair", seeds=[2, 3])
    assert list(map(hashes, pair.finished)) == list(map(hashes, done.finished[2:]))


@pytest.mark.slow
def test_killed_at_any_moment_each_goes_on_from_its_last_checkpoint(trained, tmp_path, until):
    settings = {**SHORT, "steps": 400, "dtype": "float64"}
    fixed = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    fixed[fixed.index("hidden=[20]")] = "hidden=20"
    command = [sys.executable, "-m", "grokscope", "sweep", "parity", "--seeds", "3", "--workers", "1", *fixed]
    for checkpoints in range(10, 90, 10):
        process = subprocess.Popen([*command, "--together", "--quiet", "--out", str(tmp_path / "out")])
        until(
            lambda: len(list(tmp_path.glob("out/*/checkpoints/*"))) >= checkpoints,  # noqa: B023
            process,
            every=0.001,
        )
        process.kill()
        process.wait()
    done = trained(settings=settings)
    whole = trained("whole", settings=settings)
    assert [path.name for path in done.finished] == [path.name for path in whole.finished]
    for path, other in zip(done.finished, whole.finished, strict=True):
        assert set(Run.open(path).steps) >= set(Run.open(other).steps)
        assert apart(path, other, 400) < 1e-10


def test_a_run_that_fails_costs_no_other(trained, monkeypatch):
    whole, save = trained("whole"), Run.save_checkpoint

    def full(run, step, *others):
        if run.seed == 1 and step == 20:
            raise StorageError("no room")
        save(run, step, *others)

    monkeypatch.setattr(Run, "save_checkpoint", full)
    done = trained()
    assert [str(failure).endswith(": no room") for failure in done.failures] == [True]
    for path in done.finished:
        assert hashes(path) == hashes(whole.paths[0].parent / path.name)
    assert len(done.finished) == 2


def test_a_step_that_breaks_ends_all_and_is_no_end_of_the_sweep(trained, monkeypatch):
    update = Together.update

    def breaking(self, step):
        if step == 15:
            raise MemoryError("so many")
        update(self, step)

    monkeypatch.setattr(Together, "update", breaking)
    done = trained(grid={"lr": [0.1, 0.01]}, seeds=2)
    assert [failure.message for failure in done.failures] == ["MemoryError: so many"] * 4
    assert {Run.open(path).steps for path in done.paths} == {(0, 10)}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"optimizer": "muon", "hidden": [5, 5]}, "training.optimizer muon acts on a network as a whole"),
        ({"clip_norm": 1}, "training.clip_norm 1.0 acts"),
        ({"dropout": 0.5}, "training.dropout 0.5 acts"),
        ({"model": "lstm", "d_state": 4, "layers": 1}, "torch cannot: RuntimeError: Batching rule not"),
    ],
    ids=str,
)
def test_what_cannot_be_one_computation_is_trained_one_by_one(trained, settings, why):
    settings = {"p": 5, "steps": 1, "batch_size": 4, **settings}
    done = trained(task="modadd", settings=settings, seeds=2)
    assert [together(path) for path in done.finished] == [1, 1]
    (said,) = trained.told
    assert said.startswith(f"{done.paths[0].name}: seeds of this setting are trained one by one: {why}")
    trained("unasked", "modadd", settings, seeds=2, together=None)
    assert len(trained.told) == 1


def test_what_torch_computes_otherwise_is_trained_one_by_one(trained, monkeypatch):
    forward = MLP.forward

    def own(network, inputs):  # each network has a factor that is no parameter
        if not hasattr(network, "factor"):
            network.factor = 1 + network.layers[0].weight.sum().item()
        return network.factor * forward(network, inputs)

    monkeypatch.setattr(MLP, "forward", own)
    done = trained(settings={**SHORT, "steps": 2})
    assert [together(path) for path in done.finished] == [1, 1, 1]
    assert "one by one: the gradient by layers.0.weight comes out otherwise" in trained.told[0]


def test_unasked_a_run_on_a_cpu_is_the_one_that_train_makes(trained):
    done = trained(settings={**SHORT, "steps": 1}, together=None)
    assert [together(path) for path in done.finished] == [1, 1, 1]
