import math
import random
import shutil
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from grokscope.errors import RunError, SettingError, StorageError, TrainingError
from grokscope.models.factories import mlp
from grokscope.run import Run
from grokscope.surroundings import flushes_denormals
from grokscope.tasks import modadd
from grokscope.training import is_finished, loop, train

KINDS = [(model, batch) for model in ("mlp", "transformer") for batch in (0, 16)]
BESIDE = [
    {"perturb": "0.5,0.2"},
    {"abelian": 1},
    {"anti_norm": 1e-4},
    {"dropout": 0.3},
    {"constrain_norm": "all"},
    {"constrain_norm": "weights", "init_scale": 2, "init_scale_only": "weights", "init_zero": "last_layer"},
    {"masked_units": [0, 5, 6]},
    {"dropped_units": [0, 5, 6], "synergistic_dropout_share": 0.3},
    {"grokfast_ema": "0.98,2"},
    {"grokfast_ma": "7,5"},
    {"orthogonal_gradient": "tensor"},
    {"loss": "stablemax_cross_entropy"},
    {"loss_dtype": "float64"},
]
OPTIMIZERS = [
    {"optimizer": "adam"},
    {"optimizer": "sgd", "momentum": 0},
    {"optimizer": "sgd", "nesterov": True},
    {"optimizer": "muon", "warmup_steps": 5},
]


def files(run, folder="checkpoints"):
    return {path.name: path.read_bytes() for path in (run.path / folder).iterdir()}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def plain_loop(settings, steps):
    """The textbook loop in float64: one-hot inputs, unfused AdamW, a LambdaLR warm-up."""
    torch.manual_seed(settings["seed"])
    task = modadd.build(p=11)
    network = mlp.build(task, hidden=[12], last_bias=False).double()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings["lr"], betas=(0.9, 0.98), weight_decay=settings["weight_decay"]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 4, 1))
    inputs, labels = task.examples("train")
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network.trace(network.encode(inputs))["logits"], labels).backward()
        optimizer.step()
        schedule.step()
    return network


def test_training_is_the_textbook_loop(trainer):
    settings = {"seed": 3, "lr": 0.02, "weight_decay": 1.5}
    given = {f"training__{name}": value for name, value in settings.items()}
    run = trainer(**given, training__warmup_steps=4, training__dtype="float64")
    expected = plain_loop(settings, 30).state_dict()
    for name, value in run.weights(30).items():
        assert (value - expected[name]).abs().max() < 1e-11


def test_checkpoints_and_the_finer_curve_are_where_they_should_be(whole):
    assert whole.steps == (0, 10, 20, 30)
    assert whole.curves["step"].tolist() == [0, 3, 6, 9, 10, 12, 15, 18, 20, 21, 24, 27, 30]
    assert is_finished(whole)


def test_recorded_losses_and_accuracies_are_those_of_the_weights(trainer):
    run = trainer(training__dtype="float64")
    task = modadd.build(p=11)
    network = mlp.build(task, hidden=[12], last_bias=False).double()
    for info in run.checkpoints:
        network.load_state_dict(run.weights(info.step))
        for split in ("train", "test"):
            inputs, labels = task.examples(split)
            logits = network(inputs)
            log_p = logits - logits.logsumexp(dim=1, keepdim=True)
            loss = -log_p[torch.arange(len(labels)), labels].mean().item()
            assert getattr(info, f"{split}_loss") == pytest.approx(loss, rel=1e-12)
            right = (logits.argmax(dim=1) == labels).double().mean().item()
            assert getattr(info, f"{split}_accuracy") == right


@pytest.fixture
def known(monkeypatch):
    """Whether each evaluation was given the training logits, in order."""
    whole, seen = loop.evaluate, []

    def evaluate(network, task, judged, trained):
        seen.append(trained is not None)
        return whole(network, task, judged, trained)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    return seen


@pytest.mark.parametrize("model", ["mlp", "transformer"])
def test_evaluating_gives_the_next_step_its_logits_and_changes_no_bit(trainer, known, monkeypatch, model):
    ahead = trainer("ahead", model=model)
    assert known == [True] * (len(known) - 1) + [False]  # no step follows the last
    known.clear()
    monkeypatch.setattr(loop.Loop, "_can_look_ahead", lambda self, inputs: False)
    apart = trainer("apart", model=model)
    assert not any(known)
    assert files(ahead) == files(apart)
    assert ahead.curves["test_loss"].tolist() == apart.curves["test_loss"].tolist()


@pytest.mark.parametrize("beside", [{"batch_size": 16}, {"dropout": 0.3}, {"perturb": "0.5,0.2"}], ids=str)
def test_a_step_that_trains_on_other_logits_is_given_none(trainer, known, beside):
    trainer(stop_at=4, **{f"training__{name}": value for name, value in beside.items()})
    assert known
    assert not any(known)


def test_mse_trains_too(trainer):
    run = trainer(training__loss="mse")
    first, *_, last = run.checkpoints
    assert last.train_loss < first.train_loss < 1


@pytest.mark.parametrize(("model", "batch"), KINDS)
def test_the_same_configuration_gives_the_same_bytes(trainer, model, batch):
    one, other = (trainer(name, model=model, training__batch_size=batch) for name in "ab")
    assert files(one) == files(other)


@pytest.mark.parametrize(("model", "batch"), KINDS)
def test_a_run_stopped_at_random_steps_ends_bit_for_bit_the_same(trainer, model, batch):
    whole = trainer("whole", model=model, training__batch_size=batch)
    randomly = random.Random(f"{model} {batch}")
    sessions = 0
    while True:
        run = trainer("stopped", model=model, training__batch_size=batch, stop_at=randomly.randint(1, 9))
        sessions += 1
        if is_finished(run):
            break
    assert sessions > 3
    assert files(run).items() >= files(whole).items()
    curve, expected = run.curves, whole.curves
    kept = [step in expected["step"] for step in curve["step"]]
    assert all((curve[name][kept] == expected[name]).all() for name in expected)
    assert [told for told in trainer.told if "complete" not in told] == []


def stopped_and_whole(trainer, **settings):
    """The checkpoints of a run stopped at random steps, and of the same run unstopped."""
    whole = trainer("whole", **settings)
    randomly = random.Random(repr(settings))
    while True:
        run = trainer("stopped", stop_at=randomly.randint(6, 14), **settings)
        if is_finished(run):
            break
    assert [told for told in trainer.told if "complete" not in told] == []
    return files(run), files(whole)


@pytest.mark.parametrize("beside", BESIDE + OPTIMIZERS, ids=lambda beside: " ".join(map(str, [*beside])))
def test_every_intervention_and_optimiser_goes_on_bit_for_bit(trainer, beside):
    settings = {f"training__{name}": value for name, value in beside.items()}
    stopped, whole = stopped_and_whole(trainer, **settings)
    assert stopped.items() >= whole.items()


def test_all_interventions_at_once_go_on_bit_for_bit(trainer):
    """In batches, on the transformer; of the two Grokfast filters one."""
    together = {name: value for beside in BESIDE for name, value in beside.items() if name != "grokfast_ema"}
    settings = {f"training__{name}": value for name, value in together.items()}
    stopped, whole = stopped_and_whole(trainer, model="transformer", training__batch_size=16, **settings)
    assert stopped.items() >= whole.items()


def test_stopping_finishes_the_step_and_writes_it(trainer):
    seen = []
    run = trainer(stop_at=7, progress=lambda state: seen.append(state.step))
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert run.steps == (0, 7)
    assert not is_finished(run)


def test_stopping_before_the_first_step_leaves_the_initialisation(trainer, whole):
    run = trainer(stop_at=0)
    assert run.steps == (0,)
    assert files(trainer()) == files(whole)


@pytest.mark.parametrize("write", ["save_checkpoint", "save_resume"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_crash_between_any_two_writes_loses_nothing(trainer, whole, monkeypatch, write, nth):
    original, calls = getattr(Run, write), [0]

    def failing(self, *args):
        calls[0] += 1
        if calls[0] == nth:
            raise StorageError("the disk is full")
        original(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Run, write, failing)
        with pytest.raises(StorageError):
            trainer("crashed")
    before = files(Run.open(trainer.folder / "crashed"))
    assert len(before) == (nth - 1 if write == "save_checkpoint" else nth)
    assert before.items() <= files(whole).items()
    assert files(trainer("crashed")) == files(whole)


def test_a_finished_run_is_returned_untouched(trainer):
    run = trainer()
    times = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    again = trainer(progress=lambda _: pytest.fail("it trained"))
    assert again.steps == run.steps
    assert times == {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert trainer.told == [f"{run.path} is complete: all 30 steps are trained"]


@pytest.mark.parametrize("harm", ["missing", "damaged", "foreign", "orphaned"])
def test_without_usable_resume_state_it_starts_again_and_says_so(trainer, whole, harm):
    run = trainer(stop_at=15)
    resume = run.path / "resume.safetensors"
    if harm == "missing":
        resume.unlink()
    elif harm == "damaged":
        data = bytearray(resume.read_bytes())
        data[len(data) // 2] ^= 1
        resume.write_bytes(data)
    elif harm == "foreign":
        shutil.copy(trainer("other", training__seed=1).path / "resume.safetensors", resume)
    else:
        (run.path / "checkpoints" / "00000015.safetensors").unlink()
    kept = {path: path.stat().st_mtime_ns for path in (run.path / "checkpoints").iterdir()}
    trainer.told.clear()
    finished = trainer()
    assert len(trainer.told) == 1
    assert "training starts again from step 0; checkpoints that come out the same stay" in trainer.told[0]
    assert files(finished).items() >= files(whole).items()
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_a_checkpoint_that_comes_out_otherwise_is_replaced_and_that_is_said(trainer, whole):
    run = trainer(stop_at=12)
    (run.path / "resume.safetensors").unlink()
    wrong = {name: value + 1 for name, value in run.weights(10).items()}
    info = next(info for info in run.checkpoints if info.step == 10)
    run.save_checkpoint(10, wrong, {"train_loss": info.train_loss}, {})
    trainer.told.clear()
    assert files(trainer()).items() >= files(whole).items()
    assert trainer.told[1:] == ["checkpoint 10 came out with other weights than before and is replaced"]


def test_a_damaged_checkpoint_is_named_and_written_again(trainer, whole):
    run = trainer(stop_at=12)
    path = run.path / "checkpoints" / "00000012.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    trainer.told.clear()
    assert files(trainer()).items() >= files(whole).items()
    assert str(path) in trainer.told[0]


def test_another_thread_count_is_said(trainer):
    trainer(stop_at=29)  # two threads wait for one another by computing
    trainer(threads=2)
    assert trainer.told == [
        "training goes on under other conditions (threads 1 -> 2, denormal numbers flushed -> kept): "
        "it will not be bit for bit what an uninterrupted run gives"
    ]


@pytest.mark.parametrize(("threads", "flushed"), [(1, True), (2, False)])
def test_one_thread_flushes_denormals_while_it_trains(trainer, threads, flushed):
    seen = []
    trainer(threads=threads, progress=lambda _: seen.append(flushes_denormals()))
    assert set(seen) == {flushed}
    assert not flushes_denormals()


def test_a_run_of_before_is_told_what_is_computed_otherwise_now(trainer):
    run = trainer(stop_at=5)
    tensors, metadata = run.load_resume()
    later = (loop.DENORMALS, loop.ARITHMETIC)
    run.save_resume(tensors, {name: value for name, value in metadata.items() if name not in later})
    trainer()
    assert "(denormal numbers kept -> flushed, arithmetic 1 -> 2)" in trainer.told[0]


def test_another_instruction_set_is_said(trainer, monkeypatch):
    trainer(stop_at=5)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "Z80")
    trainer()
    assert "instruction set" in trainer.told[0]
    assert "-> Z80" in trainer.told[0]


def test_a_loss_that_is_not_finite_stops_with_step_and_last_good_checkpoint(trainer):
    with pytest.raises(TrainingError) as caught:
        trainer(training__lr=1e6, training__checkpoint_every="1", training__weight_decay=2.0)
    run = Run.open(trainer.folder / "run")
    last = run.checkpoints[-1]
    assert f"the last good checkpoint is step {last.step} in {run.path}" in str(caught.value)
    assert f"stopped at step {last.step + 1}: the loss must be finite, got " in str(caught.value)
    assert all(math.isfinite(info.train_loss) for info in run.checkpoints)


@pytest.mark.parametrize("read_at_once", [("cpu",), ()], ids=["read at every step", "read when it logs"])
def test_a_loss_that_is_not_finite_between_checkpoints_stops_at_its_step(trainer, monkeypatch, read_at_once):
    """A device that is read only when it logs names the same step."""
    unstable = {"training__lr": 1e6, "training__weight_decay": 2.0, "training__log_every": 30}
    seen = []
    with pytest.raises(TrainingError):
        trainer("reference", **unstable, progress=seen.append)
    monkeypatch.setattr(loop, "READ_AT_ONCE", read_at_once)
    with pytest.raises(TrainingError) as caught:
        trainer(**unstable, training__checkpoint_every="30")
    assert 1 < len(seen) < 9
    assert f"training stopped at step {len(seen) + 1}: the loss must be finite" in str(caught.value)
    assert "the last good checkpoint is step 0 in" in str(caught.value)


def test_progress_comes_at_every_step_with_what_was_evaluated_last(trainer):
    states = []
    run = trainer(progress=states.append)
    assert [state.step for state in states] == list(range(1, 31))
    assert {state.steps for state in states} == {30}
    at_twenty = next(info for info in run.checkpoints if info.step == 20)
    shown = states[19]
    assert (shown.train_loss, shown.test_accuracy) == (at_twenty.train_loss, at_twenty.test_accuracy)
    assert states[6].train_loss == states[5].train_loss != states[8].train_loss


def test_progress_goes_on_with_what_was_evaluated_before_the_stop(trainer):
    stopped = trainer(stop_at=10).checkpoints[-1]
    states = []
    trainer(progress=states.append)
    assert (states[0].step, states[0].train_loss, states[0].test_accuracy) == (
        11,
        stopped.train_loss,
        stopped.test_accuracy,
    )


def test_torch_is_left_as_it_was(trainer):
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    trainer(threads=2, stop_at=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_draws_the_initialisation_and_not_the_split(trainer):
    one, other = trainer("a", stop_at=0), trainer("b", stop_at=0, training__seed=1)
    assert not same_weights(one.weights(0), other.weights(0))
    assert one.config["task"] == other.config["task"]


def test_both_types_start_from_the_same_numbers(trainer):
    single, double = (trainer(d, stop_at=0, training__dtype=d).weights(0) for d in ("float32", "float64"))
    assert all(value.dtype == torch.float64 for value in double.values())
    assert same_weights({name: value.double() for name, value in single.items()}, double)


def test_init_scale_multiplies_every_parameter(trainer):
    plain, scaled = (trainer(str(s), stop_at=0, training__init_scale=s).weights(0) for s in (1, 8))
    assert same_weights({name: 8 * value for name, value in plain.items()}, scaled)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"training.batch_size": 49},
            "training.batch_size must be at most 48, the number of training examples",
        ),
        ({"training.device": "abacus"}, "training.device must be a device of this machine, got 'abacus'"),
        ({"training.device": "meta"}, "training.device must be a device of this machine, got 'meta'"),
        ({"task.operation": "divide", "task.p": 12}, "p must be prime for divide"),
        ({"task.train_fraction": 1}, "train_fraction must be float > 0, < 1"),
        ({"model.hidden": []}, "model mlp.hidden must name at least one layer"),
    ],
)
def test_impossible_settings_write_nothing(tmp_path, settings, words):
    with pytest.raises(SettingError) as caught:
        train("modadd", settings={"task.p": 11, **settings}, out=tmp_path / "run")
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_another_run_or_of_anything_else_is_untouched(trainer):
    run = trainer(stop_at=3)
    before = files(run)
    with pytest.raises(RunError):
        trainer(training__lr=0.5)
    assert files(run) == before
    foreign = trainer.folder / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(RunError):
        trainer("foreign")
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]


def test_without_out_the_run_is_named_after_its_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"task.p": 5, "training.steps": 2, "training.seed": 4}
    run = train("modadd", settings=settings)
    assert run.path.parent.name == "runs"
    assert run.name.startswith("modadd-clauw-")
    assert run.name.endswith("-s4")
    assert train("modadd", settings=settings).path == run.path


def test_preparing_to_train_imports_no_torch():
    code = "import sys, grokscope.training as t; t.resolve_config('modadd'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
