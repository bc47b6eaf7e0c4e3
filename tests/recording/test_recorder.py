import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import grokscope
from grokscope import Run, RunError, UnknownName, UsageError

NUMBERS = (torch.ones(20, 6), torch.ones(20, 2))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stamps(run):
    return {path.name: path.stat().st_mtime_ns for path in (run.path / "checkpoints").iterdir()}


def test_checkpoints_are_the_network_at_the_steps_of_the_schedule_and_at_both_ends(training, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="8") as recorder:
        training.go(recorder, 1, 20)
    run = Run.open(tmp_path / "run")
    assert run.steps == (0, 8, 16, 20)
    assert all(same(run.weights(step), training.states[step]) for step in run.steps)
    assert recorder.last_step == 20
    assert set(run.load_checkpoint(8).kinds.buffers) == {
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
    }


def test_the_training_is_the_same_to_the_last_bit(training, again, tmp_path):
    for step in range(1, 21):
        training.update(step)
    recorded = again()
    with recorded.record(tmp_path / "run", checkpoint_every="1") as recorder:
        recorded.go(recorder, 1, 20)
    assert same(recorded.states[20], training.states[20])
    assert all(part.training for part in recorded.network.modules())


def test_losses_and_accuracies_are_those_of_the_checkpoint_in_evaluation_mode(training, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 10)
    for info in recorder.run.checkpoints:
        training.network.load_state_dict(training.states[info.step])
        training.network.eval()
        for split, (inputs, labels) in {
            "train": training.examples("train"),
            "test": training.examples("test"),
        }.items():
            with torch.no_grad():
                logits = training.network(inputs)
            expected = F.cross_entropy(logits.double(), labels).item()
            assert math.isclose(getattr(info, f"{split}_loss"), expected, rel_tol=1e-12)
            right = (logits.argmax(dim=1) == labels).double().mean().item()
            assert getattr(info, f"{split}_accuracy") == right


def test_where_a_loop_does_not_begin_at_1_its_start_is_not_recorded_and_said(training, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="5", notify=said.append) as recorder:
        training.go(recorder, 7, 10)
    assert recorder.run.steps == (10,)
    assert "the first step told is 7" in said[0]
    assert "recorder.step(0)" in said[0]


def test_a_loop_may_tell_its_start_and_go_in_strides(training, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="8", notify=said.append) as recorder:
        recorder.step(0)
        for step in range(1, 31):
            training.update(step)
            if step % 5 == 0:
                recorder.step(step)
    assert recorder.run.steps == (0, 10, 20, 25, 30)
    assert not said


def test_recording_goes_on_where_it_was(training, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 12)
    assert recorder.last_step == 12
    before = stamps(recorder.run)
    with training.record(tmp_path / "run", checkpoint_every="5", notify=said.append) as recorder:
        assert recorder.last_step == 12
        training.go(recorder, 13, 20)
    assert recorder.run.steps == (0, 5, 10, 12, 15, 20)
    after = stamps(recorder.run)
    assert {name: after[name] for name in before} == before
    assert not said


def test_a_step_recorded_twice_is_left_alone_where_it_is_equal(training, again, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 10)
    before = stamps(recorder.run)
    repeated = again()
    with repeated.record(tmp_path / "run", checkpoint_every="5", notify=said.append) as recorder:
        repeated.go(recorder, 1, 15)
    after = stamps(recorder.run)
    assert {name: after[name] for name in before} == before
    assert recorder.run.steps == (0, 5, 10, 15)
    assert not said


def test_a_step_recorded_twice_is_said_and_replaced_where_it_differs(training, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 10)
    training.network.load_state_dict(training.states[5])  # and the optimiser is another: other bits come out
    with training.record(tmp_path / "run", checkpoint_every="5", notify=said.append) as recorder:
        training.go(recorder, 6, 10)
    assert said == [
        "step 10 was recorded before with other weights, as where training goes on from an earlier step and "
        "its bits come out differently: it is replaced"
    ]
    assert same(Run.open(tmp_path / "run").weights(10), training.states[10])


def test_another_training_is_refused_at_its_first_step_and_nothing_is_changed(training, again, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 10)
    before = stamps(recorder.run)
    other = again(seed=1)
    with (
        pytest.raises(RunError, match="began with other weights at step 0: it is of another training"),
        other.record(tmp_path / "run", checkpoint_every="5") as recorder,
    ):
        other.go(recorder, 1, 10)
    assert stamps(recorder.run) == before


def test_an_exception_leaves_no_checkpoint_of_half_a_step(training, tmp_path):
    recorder = training.record(tmp_path / "run", checkpoint_every="5")

    def breaks():
        with recorder:
            training.go(recorder, 1, 7)
            training.update(8)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks()
    assert Run.open(tmp_path / "run").steps == (0, 5)


def test_a_loop_that_goes_back_records_anew(training, tmp_path, said):
    with training.record(tmp_path / "run", checkpoint_every="5", notify=said.append) as recorder:
        training.go(recorder, 1, 12)
        training.network.load_state_dict(training.states[5])
        training.go(recorder, 6, 15)
    run = Run.open(tmp_path / "run")
    assert run.steps == (0, 5, 10, 15)
    assert [text[:7] for text in said] == ["step 10"]
    assert all(same(run.weights(step), training.states[step]) for step in run.steps)


def test_what_is_logged_is_the_curve_between_checkpoints(training, tmp_path):
    losses = {}
    with training.record(tmp_path / "run", checkpoint_every="4") as recorder:
        for step in range(1, 9):
            losses[step] = training.update(step)
            recorder.log(train_loss=losses[step])
            recorder.step(step)
    curves, known = recorder.run.curves, {info.step: info for info in recorder.run.checkpoints}
    assert curves["step"].tolist() == list(range(9))
    for step, loss, accuracy in zip(
        curves["step"].tolist(), curves["train_loss"], curves["train_accuracy"], strict=True
    ):
        evaluated = known.get(step)
        assert loss == (evaluated.train_loss if evaluated else losses[step].item())
        assert math.isnan(accuracy) == (evaluated is None)


def test_what_is_logged_is_the_checkpoints_own_where_nothing_is_evaluated(training, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="2", evaluate=False) as recorder:
        for step in range(1, 5):
            training.update(step)
            recorder.log(train_loss=float(step), test_accuracy=0.5)
            recorder.step(step)
    start, middle, end = recorder.run.checkpoints
    assert math.isnan(start.train_loss)
    assert (middle.train_loss, end.train_loss) == (2, 4)
    assert end.test_accuracy == 0.5
    assert math.isnan(end.test_loss)


def test_what_is_not_evaluated_is_not_called_not_memorised(training, tmp_path, cli):
    given = {"outcome": "fit.test_accuracy", "above": 0.1}
    with training.record(tmp_path / "run", evaluate=False) as recorder:
        assert recorder.last_step is None
        training.go(recorder, (recorder.last_step or 0) + 1, 3)
    shown = " ".join(cli("show", tmp_path / "run").out.split())
    assert "it is not known when it memorised or grokked, since its accuracies were not computed" in shown
    with training.record(tmp_path / "run", evaluate=False, **given) as recorder:
        assert list(range((recorder.last_step or 0) + 1, 5)) == [4]
        recorder.measure("fit")
    shown = " ".join(cli("show", tmp_path / "run").out.split())
    assert "grokked at step 0 (fit.test_accuracy ≥ 0.1)" in shown
    with training.record(tmp_path / "numbers", train=NUMBERS, test=NUMBERS, layers="0") as recorder:
        training.go(recorder, 1, 2)
    assert recorder.run.config["model"]["view"] == {"layers": ["0"]}
    shown = " ".join(cli("show", tmp_path / "numbers").out.split())
    assert "nothing says when it memorised or grokked, since it has no accuracies" in shown


def test_points_that_tell_no_accuracy_do_not_undo_a_transition(training, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="100", evaluate=False) as recorder:
        for step in range(1, 31):
            recorder.log(train_loss=1.0)
            if step % 5 == 0:
                recorder.log(test_accuracy=0.5 + step / 50)
            recorder.step(step)
    assert recorder.run.grokking_step(0.8) == 15
    assert Run.open(tmp_path / "run").curve_of("test_accuracy")[0].tolist() == [5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize(
    ("metrics", "words"), [({"lr": 1.0}, "unknown metric 'lr'"), ({"loss": 1}, "train_loss")]
)
def test_what_is_no_loss_or_accuracy_is_refused(training, tmp_path, metrics, words):
    with training.record(tmp_path / "run") as recorder, pytest.raises(UnknownName, match=words):
        recorder.log(**metrics)


def test_a_value_that_is_no_number_is_refused(training, tmp_path):
    with (
        training.record(tmp_path / "run") as recorder,
        pytest.raises(UsageError, match="train_loss must be a number"),
    ):
        recorder.log(train_loss=torch.ones(2))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_numbers_are_kept_in_float32_or_wider(again, tmp_path, dtype):
    training = again(dtype=dtype)
    with training.record(tmp_path / "run", checkpoint_every="5") as recorder:
        training.go(recorder, 1, 5)
    weights = recorder.run.weights(5)
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    assert weights["0.weight"].dtype == kept
    assert torch.equal(weights["0.weight"], training.states[5]["0.weight"].to(kept))
    assert recorder.run.config["training"]["dtype"] == str(kept).removeprefix("torch.")


def test_wrappers_are_peeled_wherever_they_are(training, tmp_path):
    training.network[0] = torch.compile(training.network[0], backend="eager")
    wrapped = torch.optim.swa_utils.AveragedModel(training.network)
    with training.record(tmp_path / "run", model=torch.compile(training.network)) as recorder:
        recorder.step(0)
    assert "0.weight" in recorder.run.weights(0)
    assert not any("_orig_mod" in name for name in recorder.run.weights(0))
    with training.record(tmp_path / "averaged", model=wrapped) as averaged:
        averaged.step(0)
    assert averaged.run.weights(0).keys() == recorder.run.weights(0).keys()


def test_lazy_layers_are_refused(training, tmp_path):
    with pytest.raises(UsageError, match="lazy layers"):
        training.record(tmp_path / "run", model=nn.LazyLinear(3))
    assert not (tmp_path / "run").exists()


def test_the_loops_autocast_does_not_reach_the_evaluation(training, again, tmp_path):
    with training.record(tmp_path / "run", checkpoint_every="2") as recorder:
        training.go(recorder, 1, 2)
    cast = again()
    with cast.record(tmp_path / "cast", checkpoint_every="2") as other:
        cast.update(1)
        other.step(1)
        cast.update(2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            other.step(2)
    assert other.run.checkpoints[-1].train_loss == recorder.run.checkpoints[-1].train_loss


def test_numbers_to_be_predicted_take_the_mean_square_and_have_no_accuracy(tmp_path):
    torch.manual_seed(0)
    inputs = torch.randn(12, 4, 3)
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 2))
    data = inputs, torch.randn(12, 2)
    with grokscope.record(tmp_path / "run", model=head, train=data, test=data) as recorder:
        recorder.step(0)
    (info,) = recorder.run.checkpoints
    with torch.no_grad():
        expected = F.mse_loss(head(inputs).double(), data[1].double()).item()
    assert info.train_loss == pytest.approx(expected, rel=1e-12)
    assert math.isnan(info.train_accuracy)
    assert recorder.run.config["training"]["loss"] == "mse"


def test_a_loader_of_batches_is_read_without_disturbing_it(training, tmp_path):
    pairs = torch.utils.data.TensorDataset(*training.examples("train"))
    loader = torch.utils.data.DataLoader(pairs, batch_size=8, shuffle=True)
    before = torch.get_rng_state()
    with training.record(tmp_path / "run", train=loader, examples=20) as recorder:
        assert torch.equal(torch.get_rng_state(), before)
        recorder.step(0)
    assert recorder.measure("weight_norm").steps == [0]
