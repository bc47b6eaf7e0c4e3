"""What was imported can grow, is tried without being written, and tells all that is wrong at once."""

import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

from grokscope import Run, analyze
from grokscope.errors import DamagedFile, RunError, UsageError

SIZES = {"model.d_model": 8, "model.heads": 2, "model.d_head": 4, "model.d_mlp": 12}
SETTINGS = {**SIZES, "task.p": 11, "task.train_fraction": 0.3, "task.split": "python"}


def write(folder, states, *steps, suffix="safetensors"):
    for step in steps:
        if suffix == "pt":
            torch.save(states[step], folder / f"{step}.pt")
        else:
            save_file(states[step], folder / f"{step}.safetensors")


@pytest.mark.parametrize("link", [False, True])
def test_more_checkpoints_are_added(ours, states, bring, tmp_path, link):
    write(tmp_path, states, 20, 40)
    first = bring(link=link)
    found = analyze(first, "fit")
    stamps = {path: path.stat().st_mtime_ns for path in (first.path / "checkpoints").iterdir()}
    write(tmp_path, states, 0, 60)
    (tmp_path / "20.safetensors").unlink()  # as a Trainer does that keeps the last few
    grown = bring(link=link)
    assert bring.told == ["steps 0, 60 are added to the run"]
    grown = Run.open(grown.path)
    assert (grown.problems, grown.steps) == ([], ours.steps)
    assert grown.config == first.config  # the run stays the run that it was
    for step in ours.steps:
        assert all(torch.equal(grown.weights(step)[name], value) for name, value in states[step].items())
    for path, stamp in stamps.items():
        assert path.stat().st_mtime_ns == stamp
    after = analyze(grown, "fit")
    assert after.computed == 2
    assert after.columns["fit.test_loss"][1:3] == found.columns["fit.test_loss"]
    bring(link=link)
    assert bring.told == ["nothing is new: the run has all these checkpoints"]
    table = json.loads((grown.path / "imported.json").read_text())
    assert [row.get("added", False) for row in table["checkpoints"]] == [True, False, False, True]


def test_equal_weights_from_another_file_are_nothing_new(states, bring, tmp_path):
    write(tmp_path, states, 0, 20)
    bring()
    for name in ("0", "20"):
        (tmp_path / f"{name}.safetensors").unlink()
    torch.save({f"module.{name}": value for name, value in states[20].items()}, tmp_path / "20.pt")
    bring()
    assert bring.told == ["nothing is new: the run has all these checkpoints"]


def test_other_weights_and_other_runs_are_not_added_to(states, bring, tmp_path):
    write(tmp_path, states, 0, 20)
    run = bring()
    before = sorted(run.path.rglob("*"))
    save_file(states[40], tmp_path / "20.safetensors")
    write(tmp_path, states, 60)
    with pytest.raises(
        RunError, match=r"holds other weights at step 20 than .*20\.safetensors, which was ch"
    ):
        bring()
    write(tmp_path, states, 20)
    with pytest.raises(
        RunError, match=r"holds another run: task\.train_fraction is 0\.3 there and 0\.4 here"
    ):
        bring(settings={**SETTINGS, "task.train_fraction": 0.4})
    with pytest.raises(RunError, match=r"the checkpoints in .* are copied: those that are added must be"):
        bring(link=True)
    assert sorted(run.path.rglob("*")) == before
    (run.path / "imported.json").unlink()
    with pytest.raises(RunError, match="these are not the checkpoints that were imported first"):
        bring()
    (tmp_path / "60.safetensors").unlink()
    assert bring().steps == (0, 20)
    write(tmp_path, states, 60)
    assert bring().steps == (0, 20, 60)


def test_what_was_lost_of_a_grown_run_is_written_again(states, bring, tmp_path):
    for link in (False, True):
        write(tmp_path, states, 0, 20)
        bring(out=f"link-{link}", link=link)
        write(tmp_path, states, 40)
        run = bring(out=f"link-{link}", link=link)
        for step in (0, 40):
            (run.path / f"checkpoints/{step:08d}.safetensors").unlink()
        run = bring(out=f"link-{link}", link=link)
        assert Run.open(run.path).steps == (0, 20, 40)
        assert Run.open(run.path).problems == []
        (tmp_path / "40.safetensors").unlink()


@pytest.fixture
def mixed(states, tmp_path):
    """A folder of a job that was killed: an empty file, a half of one, and one without a step."""
    write(tmp_path, states, 0, 20)
    (tmp_path / "40.safetensors").write_bytes(b"")
    (tmp_path / "60.safetensors").write_bytes((tmp_path / "20.safetensors").read_bytes()[:-100])
    shutil.copy(tmp_path / "20.safetensors", tmp_path / "best.safetensors")
    return tmp_path


def test_all_problems_are_said_at_once(mixed, bring):
    pattern = "*.safetensors"
    with pytest.raises(UsageError) as caught:
        bring(pattern, step_from=r"^(\d+)")
    said = str(caught.value)
    assert said.startswith("3 problems: (1) ")
    assert "40.safetensors is empty" in said
    assert "60.safetensors is damaged" in said
    assert "must find a whole number in 'best.safetensors', found nothing" in said
    assert said.endswith("; `skip_damaged` leaves out files that are damaged or do not say their step")
    (mixed / "best.safetensors").unlink()
    with pytest.raises(DamagedFile, match="2 problems: "):
        bring(pattern, step_from=r"^(\d+)")
    with pytest.raises(DamagedFile, match=r"40\.safetensors is empty; it is not read; `skip_damaged` leaves"):
        bring(pattern, step_from=r"^(\d+)", leave_out=["6*"])
    assert not (mixed / "imported").exists()


def test_damaged_files_are_left_out_on_request(mixed, bring):
    run = bring("*.safetensors", step_from=r"^(\d+)", skip_damaged=True)
    assert run.steps == (0, 20)
    assert [said.partition(": ")[0] for said in bring.told] == ["left out"] * 3
    with pytest.raises(UsageError, match="`skip_damaged` must leave something"):
        bring("[46]0.safetensors", skip_damaged=True, out="other")
    with pytest.raises(UsageError, match=r"`leave_out` must name files among `checkpoints`: none fits 'x\*'"):
        bring(leave_out="x*", out="other")
    with pytest.raises(UsageError, match="every file of `checkpoints` is left out"):
        bring(leave_out=["*"], out="other")


def test_what_does_not_fit_is_not_skipped(mixed, states, bring):
    torch.save({"w": torch.ones(1)}, mixed / "30.pt")
    with pytest.raises(UsageError, match=r"30\.pt does not fit the network"):
        bring("*", step_from=r"^(\d+)", skip_damaged=True)
    assert not (mixed / "imported").exists()


def test_wrappers_may_differ_from_file_to_file(states, bring, tmp_path):
    torch.save(states[0], tmp_path / "0.pt")
    torch.save({f"module._orig_mod.{name}": value for name, value in states[20].items()}, tmp_path / "20.pt")
    assert torch.equal(bring().weights(20)["pos_embed"], states[20]["pos_embed"])


def test_a_dry_run_writes_nothing_and_shows_everything(mixed, cli):
    given = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    command = [
        *("import", mixed / "run", "--checkpoints", mixed / "*.safetensors", "--step-from", r"^(\d+)"),
        *("--task", "modadd", "--model", "transformer", *given),
    ]
    before = sorted(mixed.rglob("*"))
    shown = cli(*command, "--dry-run")
    assert shown.code == 3
    assert sorted(mixed.rglob("*")) == before
    assert "0.safetensors" in shown.out
    assert "2 checkpoints to import" in shown.out
    assert sum(line.startswith("problem: ") for line in shown.err.splitlines()) == 3
    told = json.loads(cli(*command, "--dry-run", "--json").out)
    assert [row["step"] for row in told["checkpoints"]] == [0, 20]
    assert len(told["problems"]) == 3
    made = cli(*command, "--skip-damaged", "--quiet")
    assert made.code == 0
    run = Run.open(mixed / "run")
    assert [row["train_loss"] for row in told["checkpoints"]] == [info.train_loss for info in run.checkpoints]
    again = cli(*command, "--skip-damaged", "--dry-run")
    assert again.code == 0
    assert "0 checkpoints to import; 2 are in" in " ".join(again.out.split())
