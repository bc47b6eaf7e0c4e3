"""`grokscope predict`: tables at every width, CSV, JSON, the list of hypotheses, exit codes."""

import csv
import io
import json
import shutil

import pytest


@pytest.fixture
def runs(run_path, tmp_path):
    return [run_path, shutil.copytree(run_path, tmp_path / "again")]


def test_tables_say_what_so_few_runs_cannot(cli, runs):
    ended = cli("predict", *runs, "-m", "weight_norm", "--until", "10", "-q")
    assert ended.code == 0, ended.err
    assert "up to step 10: 2 runs, of which 0 grok" in ended.out
    assert "! 0 of 2 runs grok and 2 do not" in ended.out
    assert "undecided  norm_not_needed" in ended.out
    assert "not measured: it needs oinfo" in " ".join(ended.out.split())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_tables_fit(cli, runs, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    ended = cli(
        "predict", *runs, "-m", "weight_norm,oinfo", "--until", "10", "--test-threshold", "0.01", "-q"
    )
    assert max(map(len, ended.out.splitlines())) <= width
    assert "…" not in ended.out.replace(" … ", "")  # nothing is cut off


def test_csv_and_json(cli, runs, tmp_path):
    arguments = ["predict", *runs, "-m", "weight_norm", "--until", "10", "-q"]
    assert cli(*arguments, "--csv", tmp_path / "out.csv").code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [row["feature"] for row in rows[:3]] == ["value", "slope", "peak"]
    assert (rows[0]["column"], rows[0]["runs"], rows[0]["auroc"]) == ("weight_norm.l2_all", "2", "")
    assert cli(*arguments, "--csv", "-").out == (tmp_path / "out.csv").read_text()
    told = json.loads(cli(*arguments, "--json").out)
    assert told["until"] == 10
    assert list(told["runs"].values()) == [False, False]
    assert told["settings"].keys() == told["runs"].keys()
    assert told["predictors"][0]["auroc"] is None
    (norm,) = [each for each in told["hypotheses"] if each["name"] == "norm_not_needed"]
    assert norm["verdict"] == "undecided"


def test_hypotheses_are_listed(cli):
    ended = cli("predict", "--list")
    assert ended.code == 0
    assert "early_synergy_peak" in ended.out
    assert "Clauw et al. 2024" in ended.out
    said = " ".join(ended.out.split())
    assert "is larger in runs that grok than in those that do not; needs oinfo.synergy" in said
    assert "runs of one seed, one of each kind, side by side: plain, perturbed; Tan & Huang" in said


def test_plugins_shows_them(cli):
    assert "hypotheses: early_synergy_peak" in " ".join(cli("plugins").out.split())


def test_what_cannot_be_is_refused(cli, runs):
    assert cli("predict").code == 2
    assert "predict needs run directories" in cli("predict").err
    assert "--budget must be a step or 'own', got 'soon'" in cli("predict", *runs, "--budget", "soon").err
    assert cli("predict", *runs, "-m", "weight_nrom").code == 2


HYPOTHESIS = """
from grokscope import Column, hookimpl, hypothesis, measure

@measure(columns=[Column("one", "1")])
def constant(weights):
    '''One.'''
    return {"one": 1.0}

@hypothesis(claim="It holds\\x1b[31m.", columns=["constant.one"], source="mine")
def broken(results):
    '''Nothing.'''
    raise RuntimeError("no idea")

@hypothesis(claim="It holds.", columns=["constant.one"], source="mine")
def sound(results):
    '''One.'''
    return results.values("constant.one")[0]

@hookimpl
def grokscope_measures():
    return [constant]

@hookimpl
def grokscope_hypotheses():
    return [broken, sound]
"""


def test_a_strangers_hypothesis_that_raises_is_named_and_the_others_go_on(runs, stranger_here, cli):
    stranger_here("strange", HYPOTHESIS)
    ended = cli("predict", *runs, "-m", "constant")
    assert ended.code == 3, ended.err
    assert "failed: hypothesis broken: it fails: RuntimeError: no idea" in ended.err
    assert "holds in 2 of 2 runs" in ended.out
    assert "\x1b[31m." not in ended.out
