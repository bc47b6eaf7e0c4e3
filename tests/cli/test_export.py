"""`grokscope export` as a user meets it: files, what is computed, refusals, exit codes."""

import csv
import io
import json

import pytest

from grokscope import Run, analyze


@pytest.fixture
def stored(run_path):
    analyze(run_path, "fit,weight_norm")
    return run_path


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_what_is_stored_goes_out_and_nothing_is_computed(stored, fresh, tmp_path):
    cells = len(Run.open(stored).cells())
    events = ["-o", tmp_path / "o.csv", "--tensorboard", tmp_path / "tb"]
    parquet = ["-o", tmp_path / "out.parquet"]
    exported = fresh(["export", stored, *events], ["export", stored, *parquet])
    first, both = ({name.split(".")[0] for name in modules} for _, modules in exported)
    assert not {"torch", "scipy", "matplotlib"} & both
    assert "pandas" not in first  # pyarrow looks for it itself
    assert (tmp_path / "out.parquet").exists()
    assert len(Run.open(stored).cells()) == cells
    assert {row["measure"] for row in rows((tmp_path / "o.csv").read_text())} == {
        "curve",
        "fit",
        "weight_norm",
    }
    assert list((tmp_path / "tb" / "run").iterdir())


def test_named_measures_are_computed_when_missing(cli, stored, tmp_path):
    arguments = ("-m", "oinfo,fit", "--set", "oinfo.clusters=4", "--steps", "last", "--no-curve", "-q")
    ended = cli("export", stored, *arguments, "-o", tmp_path / "out.json")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found["columns"]["measure"]) == {"oinfo", "fit"}
    assert set(found["columns"]["step"]) == {60}
    assert {measure["parameters"].get("clusters") for measure in found["measures"]} == {4, None}


def test_csv_on_stdout_is_only_csv(cli, stored):
    ended = cli("export", stored, "-o", "-", "--wide", "--steps", "0,60")
    assert [row["step"] for row in rows(ended.out)] == ["0", "60"]
    assert "weight_norm.l2:layers.0.weight" in rows(ended.out)[0]
    assert rows(cli("export", stored, "-o", "-", "--steps", "0").out)[0]["measure"] == "curve"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "export needs a file, -o results.parquet"),
        (("-o", "out.xlsx"), "a table's file must end in .parquet, .csv, .json, got out.xlsx"),
        (("-o", "out.csv", "--set", "oinfo.clusters=4"), "--set is for measures that are computed"),
        (("-o", "out.csv", "--baseline", "last"), "--baseline is for measures that are computed"),
        (("-o", "out.csv", "--workers", "2"), "--workers is for measures that are computed"),
        (("-o", "out.csv", "-m", "oinf"), "unknown measure or column 'oinf': did you mean oinfo"),
        (("-o", "out.csv", "--steps", "17"), "there is no checkpoint at step 17"),
    ],
)
def test_what_cannot_be_gets_one_sentence(cli, stored, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    ended = cli("export", stored, *arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out.*"))


def test_a_directory_that_is_no_run_costs_only_itself(cli, stored, tmp_path):
    ended = cli("export", stored, tmp_path / "nowhere", "-o", tmp_path / "out.csv")
    assert ended.code == 3
    assert "nowhere is no run" in ended.err
    assert {row["run"] for row in rows((tmp_path / "out.csv").read_text())} == {"run"}
    ended = cli("export", tmp_path / "nowhere", "-o", tmp_path / "none.csv")
    assert ended.code == 2
    assert not (tmp_path / "none.csv").exists()


def test_what_is_left_out_or_easily_mistaken_is_said(cli, run_path, tmp_path):
    ended = cli("export", run_path, run_path, "-o", tmp_path / "out.csv")
    assert ended.code == 0
    assert ended.err == "run: no measures are stored; --measure, or grokscope analyze, computes them\n"
    assert cli("export", run_path, "-o", tmp_path / "out.csv", "-q").err == ""


def test_a_file_that_cannot_be_written(cli, stored, tmp_path):
    ended = cli("export", stored, "-o", tmp_path / "nowhere" / "out.csv")
    assert ended.code == 1
    assert "cannot be written" in ended.err
