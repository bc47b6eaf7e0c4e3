"""What says that a run has generalised stands in its run.toml, once, and everything that asks follows it."""

import json
import math

import numpy as np
import pytest

from grokscope import Run, analyze, analyze_many, import_checkpoints, load_plugins, predict, score
from grokscope.errors import RunError, SettingError, UnknownName
from grokscope.report.page.content import content_of
from grokscope.run.config import RUN_FILE
from grokscope.run.outcome import Goal, goals_of, outcome_table


@pytest.fixture
def said(run_path):
    """A way to say what the outcome of a trained run is."""

    def say(column, **bound):
        run = Run.open(run_path)
        return Run.create(run_path, {**run.config, "outcome": {"column": column, **bound}})

    return say


def first_of_three(steps, holds):
    return next(
        (int(steps[at]) for at in range(len(steps) - 2) if all(holds[at : at + 3])),
        None,
    )


def test_a_goal_is_reached_from_above_or_below():
    steps, falls = [0, 1, 2, 3, 4, 5], np.array([3.0, 0.5, 2.0, 1.0, 0.9, math.nan])
    assert Goal("test_loss", 1.0, above=False).first_step(steps, falls, 2) == 3
    assert Goal("test_loss", 1.0, above=False).first_step(steps, falls) is None
    assert Goal("test_loss", 2.0).first_step(steps, falls, 1) == 0


@pytest.mark.parametrize(
    ("column", "counterpart"),
    [
        ("test_loss", "train_loss"),
        ("fit.test_loss", "fit.train_loss"),
        ("linear_probe.accuracy:test", "linear_probe.accuracy:train"),
        ("latest.value", None),
        ("weight_norm.l2_all", None),
    ],
)
def test_memorised_is_the_same_of_the_training_split(column, counterpart):
    memorised, outcome = goals_of({"outcome": {"column": column, "below": 0.5}})
    assert outcome == Goal(column, 0.5, above=False)
    assert memorised == (None if counterpart is None else Goal(counterpart, 0.5, above=False))


def test_steps_are_those_of_the_outcome_and_the_run_stays_the_run(said, run_path):
    before = Run.open(run_path)
    curve = before.curves
    bound = float(np.median(curve["test_loss"]))
    run = said("test_loss", above=bound)
    assert (run.id, run.data_hash, run.noise_seed) == (before.id, before.data_hash, before.noise_seed)
    again = Run.open(run_path)
    assert again.grokking_step() == first_of_three(curve["step"], curve["test_loss"] >= bound)
    assert again.memorisation_step() == first_of_three(curve["step"], curve["train_loss"] >= bound)
    results = analyze(again, "weight_norm", steps="first,last")
    assert results.transitions() == (results.memorisation_step, results.grokking_step)
    assert results.grokking_step == again.grokking_step()
    said("test_loss", below=1e-9)
    assert Run.open(run_path).grokking_step() is None


def test_a_measured_column_is_measured_wherever_it_is_needed(said, run_path):
    norms = np.array(analyze(run_path, "weight_norm").columns["weight_norm.l2_all"])
    bound = float(np.sort(norms)[len(norms) // 2])
    run = said("weight_norm.l2_all", above=bound)
    results = analyze(run, "fit")
    assert "weight_norm.l2_all" in results.columns
    assert results.grokking_step == first_of_three(results.steps, norms >= bound)
    assert Run.open(run_path).grokking_step() == results.grokking_step
    assert results.memorisation_step is None
    assert results.rising().tolist() == norms.tolist()


def test_what_is_said_of_runs_follows_the_outcome(said, run_path, cli):
    run = said("test_loss", above=0.0)
    found = score(analyze_many([run], "weight_norm,fit"), since="start")
    copy = next(row for row in found.rows if row.column == "fit.test_loss")
    assert copy.spearman == pytest.approx(1)
    assert found.outcome == "test_loss ≥ 0"
    assert "test_loss stands wherever test accuracy is said" in found.notes[0]
    told = predict(analyze_many([said("weight_norm.l2_all", above=0)], "weight_norm"))
    assert "nothing says when it memorises" in next(iter(told.excluded.values()))
    run = said("test_loss", above=0.0)
    shown = " ".join(cli("show", run_path).out.split())
    assert "it has generalised where test_loss ≥ 0" in shown
    assert "grokked at step 0 (test_loss ≥ 0)" in shown
    assert json.loads(cli("score", run_path, "-m", "fit", "--json").out)["outcome"] == "test_loss ≥ 0"
    drawn = cli("plot", run_path, "-m", "weight_norm.l2_all")
    assert (drawn.code, "loss (log scale)" in drawn.out) == (0, True)
    assert "accuracy" in drawn.out
    drawn = {"title": "", "per_layer": False, "pareto": None, "notes": ()}
    page = content_of(analyze_many([run], "fit"), None, {}, **drawn)
    assert page["thresholds"] == (
        "Memorised: the first step from which train_loss is at least 0 for three evaluations in a row; "
        "grokked: likewise test_loss, 0."
    )


def test_a_run_without_accuracies_is_drawn_without_them(cli, tmp_path, monkeypatch):
    import torch

    x = torch.arange(12.0)[:, None]
    monkeypatch.setattr(f"{__name__}.line", lambda: torch.nn.Linear(1, 1), raising=False)
    monkeypatch.setattr(f"{__name__}.doubled", lambda: ((x, 2 * x), (x + 0.5, 2 * x + 1)), raising=False)
    for step in range(7):
        weights = {"weight": torch.tensor([[2 * min(1.0, step / 4)]]), "bias": torch.zeros(1)}
        torch.save(weights, tmp_path / f"step_{step}.pt")
    run = import_checkpoints(
        tmp_path / "run",
        str(tmp_path / "*.pt"),
        model=f"{__name__}:line",
        task=f"{__name__}:doubled",
        step_from=r"step_(\d+)",
        outcome="test_loss",
        below=0.1,
    )
    # Seven checkpoints ask for two evaluations in a row.
    assert (run.asked_in_a_row, run.memorisation_step(), run.grokking_step()) == (2, 4, 4)
    drawn = cli("plot", run.path)
    assert drawn.code == 0, drawn.err
    assert "accuracy" not in drawn.out
    assert "loss (log scale)" in drawn.out
    assert cli("plot", run.path, "-o", tmp_path / "a.png").code == 0


@pytest.mark.parametrize(
    "given",
    [
        ("test_loss", None, None),
        ("test_loss", 1.0, 2.0),
        (None, 1.0, None),
        ("test_loss", math.inf, None),
        ("test_loss", True, None),
    ],
)
def test_what_is_no_bound_is_refused(given):
    with pytest.raises(SettingError, match=r"`above`"):
        outcome_table(*given)


def test_a_column_that_nobody_brings_is_refused():
    plugins = load_plugins()
    for column in ("test_los", "weight_norm.l3", "nothing.at_all"):
        with pytest.raises(UnknownName):
            plugins.outcome(column, None, 1.0)
    assert plugins.outcome("weight_norm.l2_all", 1, None) == {"column": "weight_norm.l2_all", "above": 1.0}


def test_a_hostile_outcome_is_named(run_path):
    text = (run_path / RUN_FILE).read_text()
    for table in ('column = "test_loss"', "column = 3\nabove = 1", 'column = "a"\nabove = nan', "x = 1"):
        (run_path / RUN_FILE).write_text(f"{text}\n[outcome]\n{table}\n")
        with pytest.raises(RunError, match="cannot be read as a run's configuration"):
            Run.open(run_path)
