"""What files and logs say of a training's losses, settings and curve is compared, and brought along."""

import csv
import json

import pytest
import torch
from safetensors.torch import save_file

from grokscope import Run
from grokscope.errors import DamagedFile, RunError, SettingError, UsageError
from grokscope.importing.curvefiles import metric_of, read_curves

SIZES = {"model.d_model": 8, "model.heads": 2, "model.d_head": 4, "model.d_mlp": 12}
TASK = {"task.p": 11, "task.train_fraction": 0.3, "task.split": "python"}


@pytest.fixture
def losses(ours):
    """What is computed of each checkpoint."""
    return {info.step: info for info in ours.checkpoints}


def test_losses_that_are_not_those_of_the_split_are_asked_about(states, losses, bring, tmp_path):
    for step, state in states.items():
        said = losses[step].train_loss / (40 if step == 60 else 1)
        stored = {"model": state, "step": step, "train_loss": torch.tensor(said), "config": {"seed": 1}}
        torch.save(stored, tmp_path / f"{step}.pt")
    bring("*.pt", step_from=None)
    (said,) = bring.told
    file, loss = tmp_path / "60.pt", losses[60].train_loss
    assert said == (
        f"{file} says train loss {loss / 40:.2g} at step 60, this split gives {loss:.2g}: "
        "is the split another one? (config.seed = 1)"
    )


def of_published(states, losses, train, **config):
    """One file with a list of states every 20 steps and losses at each."""
    return {
        "state_dicts": list(states.values()),
        "epochs": list(states),
        "train_losses": [train(step, losses) for step in range(61)],
        "test_accs": [100 * losses[step // 20 * 20].test_accuracy for step in range(61)],
        "config": config,
    }


def test_lists_by_step_are_compared(states, losses, bring, tmp_path):
    def right(step, losses):
        return losses[step].train_loss if step in losses else 9.0

    same = {"p": 11, "frac_train": 0.3, "lr": 0.1, "num_heads": 2, "seed": 0}
    torch.save(of_published(states, losses, right, **same), tmp_path / "a.pth")
    bring("a.pth", step_from=None)
    assert bring.told == []
    late = of_published(states, losses, lambda step, losses: right(max(0, step - 1), losses), **same)
    torch.save(late, tmp_path / "a.pth")  # the loss of before the update, as many loops log it
    bring("a.pth", step_from=None, out="late")
    assert bring.told == []
    other = of_published(states, losses, right, p=11, frac_train=0.5, seed=7)
    torch.save(other, tmp_path / "a.pth")
    bring("a.pth", step_from=None, out="other")
    assert bring.told == [
        f"{tmp_path / 'a.pth'} says config.frac_train = 0.5 where the run has task.train_fraction = 0.3, "
        "config.seed = 7 where the run has training.seed = 0: give them with `settings` if they are right"
    ]
    torch.save(of_published(states, losses, lambda step, losses: 1e-9), tmp_path / "a.pth")
    bring("a.pth", step_from=None, out="wrong")
    assert bring.told[0].endswith(", and 2 more steps differ: is the split another one?")


def test_accuracies_are_compared_in_points(states, losses, bring, tmp_path):
    state = {"net": states[60], "iteration": 60, "val_acc": losses[60].test_accuracy + 0.1}
    torch.save(state, tmp_path / "60.pt")
    bring("60.pt", step_from=None)
    assert "says test accuracy" in bring.told[0]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("train_loss", "train_loss"),
        ("train/loss", "train_loss"),
        ("Loss/Train", "train_loss"),
        ("loss", "train_loss"),
        ("trainLoss", "train_loss"),
        ("val_acc", "test_accuracy"),
        ("eval_accuracy", "test_accuracy"),
        ("curve/test_loss", "test_loss"),
        ("test_losses", "test_loss"),
        ("lr", ""),
        ("train_val_loss", ""),
        ("ema_loss", ""),
        ("loss_accuracy", ""),
    ],
)
def test_which_metric_a_name_is(name, metric):
    assert metric_of(name)[0] == metric


ROWS = [
    {"step": 10, "train_loss": 0.5},
    {"step": 10, "val_acc": 0.25},
    {"step": 30, "train_loss": 0.25, "lr": 1},
    {"step": 50, "train_loss": 0.125, "val_acc": 1.0},
]


def as_csv(folder):
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", "train_loss", "val_acc", "lr"])
        writer.writeheader()
        writer.writerows(ROWS)
    return folder / "log.csv"


def as_lines(folder):
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, ROWS)) + "\n")
    return folder / "log.jsonl"


def as_trainer(folder):
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 3, "log_history": ROWS}))
    return folder / "trainer_state.json"


def as_events(folder):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "events")) as writer:
        for row in ROWS:
            for name in row.keys() - {"step"}:
                writer.add_scalar(name, row[name], row["step"])
    return folder / "events"


@pytest.mark.parametrize("written", [as_csv, as_lines, as_trainer, as_events])
def test_a_curve_is_read(tmp_path, written):
    curve = read_curves(written(tmp_path))
    assert [point[0] for point in curve.points] == [10, 30, 50]
    assert curve.at(10) == {"train_loss": 0.5, "test_accuracy": 0.25}
    assert curve.at(30) == {"train_loss": 0.25}
    assert curve.at(20) == {}
    assert curve.columns == {"train_loss": "train_loss", "test_accuracy": "val_acc"}


@pytest.mark.parametrize("link", [False, True])
def test_the_run_s_curve_is_as_fine_as_the_log(states, bring, tmp_path, link):
    folder = tmp_path / "ckpt"
    folder.mkdir()
    for step in (0, 20, 40):
        save_file(states[step], folder / f"{step}.safetensors")
    options = {"link": link, "curves": as_csv(tmp_path), "pattern": "ckpt/*"}
    bring(**options)
    assert bring.told == [
        f"in {tmp_path / 'log.csv'}, val_acc is test_accuracy",
        f"1 of the 3 points in {tmp_path / 'log.csv'} lie after the last checkpoint",
    ]
    save_file(states[60], folder / "60.safetensors")
    run = Run.open(bring(**options).path)
    (run.path / "index.h5").unlink()
    run = Run.open(run.path)
    assert run.curves["step"].tolist() == [0, 10, 20, 30, 40, 50, 60]
    steps, values = run.curve_of("test_accuracy")
    assert steps.tolist() == [0, 10, 20, 40, 50, 60]
    assert values[[1, 4]].tolist() == [0.25, 1.0]
    assert run.problems == []
    bring("ckpt/*", out="plain")
    with pytest.raises(
        RunError, match="was imported without `curves`: import all of it with them into another"
    ):
        bring(out="plain", curves=options["curves"], pattern="ckpt/*")


def test_a_curve_is_compared_where_there_are_checkpoints(states, bring, tmp_path):
    torch.save(states[20], tmp_path / "20.pt")
    (tmp_path / "log.csv").write_text("step,train_loss\n20,0.001\n")
    bring("20.pt", curves=tmp_path / "log.csv")
    assert bring.told[0].startswith(
        f"{tmp_path / 'log.csv'} says train loss 0.001 at step 20, this split gives"
    )


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (
            "a,b\n1,2\n",
            UsageError,
            "must have a column with the step, such as step and train_loss; .* has a, b",
        ),
        ("step,lr\n1,2\n", UsageError, "must have a column with a loss or an accuracy"),
        ("", UsageError, "has nothing"),
        ("step,loss\n1.5,2\n", UsageError, "a step must be a whole number within 0 and 99999999, got 1.5"),
        ('{"step": 1\n', DamagedFile, "is no CSV, JSON or JSON Lines file"),
        ("[" * 100_000, DamagedFile, "nested too deeply"),
    ],
)
def test_other_files_are_no_curves(tmp_path, text, error, words):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(error, match=words):
        read_curves(tmp_path / "log.csv")
    with pytest.raises(UsageError, match="is not there"):
        read_curves(tmp_path / "gone.csv")


def test_damaged_events_are_refused_in_a_sentence(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\x00\x01garbage" * 50)
    with pytest.raises((DamagedFile, UsageError), match="events"):
        read_curves(tmp_path / "events.out.tfevents.1")


def test_a_recipe_stands_for_what_is_not_given(states, bring, tmp_path):
    recipe = tmp_path / "theirs.toml"
    recipe.write_text(
        'name = "theirs"\n[task]\nname = "modadd"\np = 11\ntrain_fraction = 0.4\n'
        '[model]\nname = "transformer"\n'
        "d_model = 8\nheads = 2\nd_head = 4\nd_mlp = 12\n[training]\nlr = 0.5\nsteps = 3\nseed = 4\n"
    )
    torch.save(states[20], tmp_path / "20.pt")
    given = {"recipe": str(recipe), "settings": {"task.train_fraction": 0.3}}
    run = bring("20.pt", task="", model="", **given)
    assert run.config["task"]["train_fraction"] == 0.3
    assert (run.config["model"]["d_model"], run.config["training"]["lr"]) == (8, 0.5)
    assert (run.config["training"]["steps"], run.seed) == (20, 4)
    with pytest.raises(SettingError, match="recipe theirs is for task modadd, not for modmul"):
        bring("20.pt", task="modmul", out="other", **given)
    with pytest.raises(SettingError, match="`model` must be given where no `recipe` is"):
        bring("20.pt", model="", out="other")
