"""`analyze -m` takes a column, as `plot` does; measures alone are shown whole."""

import csv
import io

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


def test_the_table_on_80_columns_keeps_the_first_checkpoint(cli, run_path, monkeypatch):
    from grokscope import Run

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Run, "memorisation_step", lambda self, threshold=0.99: 20)
    monkeypatch.setattr(Run, "grokking_step", lambda self, threshold=0.95: 40)
    for measures in ("fit", "oinfo,weight_norm,abelian"):
        header = cli("analyze", run_path, "-m", measures, "--per-layer").out.splitlines()[0].split()
        assert "0" in header
        assert "60" in header
