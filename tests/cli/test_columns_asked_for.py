"""`analyze -m` takes a column, as `plot` does; measures alone are shown whole."""

import csv
import io
import json

import pytest


def headers(ended):
    return next(csv.reader(io.StringIO(ended.out)))


@pytest.mark.parametrize("name", ["l1_all", "weight_norm.l1_all"])
def test_a_column_alone_is_shown(cli, run_path, name):
    ended = cli("analyze", run_path, "-m", f"{name},fit", "--steps", "0,60", "--csv", "-")
    assert ended.code == 0, ended.err
    columns = headers(ended)
    assert columns[:2] == ["step", "weight_norm.l1_all"] or "weight_norm.l1_all" in columns
    assert not [column for column in columns if column.startswith("weight_norm.") and "l1_all" not in column]
    assert "fit.train_loss" in columns
    assert "l1_all" in cli("analyze", run_path, "-m", name, "--steps", "0").out


def test_a_column_of_several_runs(cli, run_path):
    ended = cli("analyze", run_path, run_path, "-m", "l1_all", "--steps", "0", "--csv", "-")
    assert [column for column in headers(ended) if "." in column] == ["weight_norm.l1_all"]


def test_what_is_neither_measure_nor_column(cli, run_path):
    ended = cli("analyze", run_path, "-m", "l1_al")
    assert ended.code == 2
    assert "unknown measure or column 'l1_al'" in ended.err
    assert cli("analyze", run_path, "-m", "test_loss").code == 2


def test_every_command_that_measures_takes_columns_and_names_that_come_twice(cli, run_path):
    scored = cli("score", run_path, "-m", "l1_all", "-m", "fit.train_loss", "-o", "-")
    assert scored.code == 0, scored.err
    assert {row["column"] for row in csv.DictReader(io.StringIO(scored.out))} == {
        *("weight_norm.l1_all", "fit.train_loss"),
        "weight_norm.l2_all",  # the control
    }
    exported = cli("export", run_path, "-m", "l1_all", "--no-curve", "-o", "-")
    assert {row["column"] for row in csv.DictReader(io.StringIO(exported.out))} == {"l1_all"}
    predicted = cli("predict", run_path, "-m", "l1_all", "--until", "10", "-o", "-")
    assert {row["column"] for row in csv.DictReader(io.StringIO(predicted.out))} == {"weight_norm.l1_all"}


@pytest.mark.parametrize("words", [("analyze", "-m", "fit"), ("score", "-m", "fit"), ("phases",)])
def test_a_file_is_o_and_its_ending_says_what_is_in_it(cli, run_path, tmp_path, words):
    table, data = tmp_path / "found.csv", tmp_path / "found.json"
    assert cli(words[0], run_path, *words[1:], "-o", table).code == 0
    assert cli(words[0], run_path, *words[1:], "--csv", "-").out == table.read_text()
    assert cli(words[0], run_path, *words[1:], "--output", data).code == 0
    assert json.loads(data.read_text()) == json.loads(cli(words[0], run_path, *words[1:], "--json").out)
    refused = cli(words[0], run_path, "-o", "found.parquet")
    assert refused.code == 2
    assert "`grokscope export -o` writes Parquet" in refused.err


def test_the_table_on_80_columns_keeps_the_first_checkpoint(cli, run_path, monkeypatch):
    from grokscope import Run

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Run, "memorisation_step", lambda self, threshold=0.99: 20)
    monkeypatch.setattr(Run, "grokking_step", lambda self, threshold=0.95: 40)
    for measures in ("fit", "oinfo,weight_norm,abelian"):
        header = cli("analyze", run_path, "-m", measures, "--per-layer").out.splitlines()[0].split()
        assert "0" in header
        assert "60" in header
