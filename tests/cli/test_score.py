"""`score` and `phases` on a trained run: tables that fit, CSV, JSON, what is refused."""

import csv
import io
import json
import re
import shutil

import pytest


@pytest.fixture
def runs(run_path, tmp_path):
    return [run_path, shutil.copytree(run_path, tmp_path / "other")]


def test_the_control_is_measured_by_itself_and_only_what_was_asked_for_is_scored(cli, run_path):
    ended = cli("score", run_path, "-m", "fit", "--json", "-q")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    columns = {row["column"] for row in found["rows"]}
    assert "weight_norm.l2_all" in columns
    assert {name.split(".")[0] for name in columns - {"weight_norm.l2_all"}} == {"fit"}
    words = {"leads", "lags", "coincides", "confounded", "twin", "unresolved", "undecided"}
    assert set(found["rules"]) == words
    assert {summary["verdict"] for summary in found["summaries"]} <= {"undecided", "twin"}


def test_another_control_and_other_thresholds(cli, run_path):
    ended = cli(
        "score", run_path, "-m", "weight_norm", "--control", "fit.train_loss", "--json", "-q",
        "--train-threshold", "0.2", "--test-threshold", "0.01",
    )  # fmt: skip
    found = json.loads(ended.out)
    assert found["control"] == "fit.train_loss"
    assert (found["train"], found["test"]) == (0.2, 0.01)
    assert {row["column"].split(".")[0] for row in found["rows"]} == {"weight_norm", "fit"}
    refused = cli("score", run_path, "-m", "fit", "--control", "weight_norm.l3", "-q")
    assert refused.code == 2
    assert "unknown column 'weight_norm.l3': did you mean weight_norm.l" in refused.err
    assert cli("score", run_path, "--control", "wieght_norm.l2_all", "-q").code == 2
    assert "above 0" in cli("score", run_path, "-m", "fit", "--confidence", "1", "-q").err


def test_csv_has_runs_settings_and_columns(cli, runs):
    ended = cli("score", *runs, "-m", "fit", "--csv", "-", "-q")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert len(rows) == 2 * 5
    assert {"run", "column", "grokking_step", "lead", "log_lead", "spearman", "kendall", "partial"} <= set(
        rows[0]
    )
    ended = cli("score", *runs, "-m", "fit", "--csv", "-", "--summary", "-q")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert [row["column"] for row in rows][-1] == "weight_norm.l2_all"
    assert rows[0]["verdict"] == "undecided"


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("command", [["score", "-m", "fit,weight_norm,oinfo"], ["phases"]])
@pytest.mark.parametrize("several", [False, True])
def test_tables_fit(cli, runs, monkeypatch, width, command, several):
    monkeypatch.setenv("COLUMNS", str(width))
    ended = cli(*command, *(runs if several else runs[:1]), "-q")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= width
    assert "verdict" in ended.out or "change" in ended.out or "phases need" in ended.out
    assert not re.search(r"nan|None", ended.out)


def test_a_directory_that_is_no_run_is_named_and_the_others_go_on(cli, run_path, tmp_path):
    ended = cli("score", run_path, tmp_path / "nowhere", "-m", "fit", "-q")
    assert ended.code == 3
    assert "nowhere" in ended.err
    assert "fit" in ended.out


def test_phases_as_json(cli, runs):
    ended = cli("phases", *runs, "--json", "-q")
    found = json.loads(ended.out)
    assert len(found["runs"]) == 2
    assert "feature learning" in found["rule"]
    assert found["runs"][0]["note"].startswith("phases need 12 checkpoints")
