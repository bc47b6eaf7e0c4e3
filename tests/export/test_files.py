"""A table says the same in every format, wide and long, stored and just measured; and hides nothing."""

import io
import json
import math
import sys
import types

import pandas
import pyarrow.parquet
import pytest

from grokscope import (
    Column,
    Run,
    UsageError,
    analyze,
    analyze_many,
    hookimpl,
    load_plugins,
    measure,
    write_table,
)
from grokscope.export import collect, long_table, wide_table
from grokscope.measure import Row
from grokscope.report.text import csv_of
from grokscope.run import Cell

NAMES = "fit,weight_norm,oinfo,cka"


def read(path):
    """Any of the three files as a DataFrame."""
    if path.suffix == ".parquet":
        return pandas.read_parquet(path)
    if path.suffix == ".json":
        return pandas.DataFrame(json.loads(path.read_text())["columns"])
    return pandas.read_csv(path, float_precision="round_trip")  # not the default of every pandas


def plain(frame):
    """A frame's rows as tuples in which what is missing is None and numbers are floats."""
    return [
        tuple(None if pandas.isna(v) else v if isinstance(v, str) else float(v) for v in row)
        for row in frame.astype(object).to_numpy()
    ]


@pytest.mark.parametrize("wide", [False, True])
def test_every_format_holds_the_same(measured_runs, tmp_path, wide):
    read_back = []
    for ending in ("parquet", "csv", "json"):
        path = tmp_path / f"out.{ending}"
        write_table(measured_runs, path, wide=wide)
        frame = read(path)
        blank = frame.replace("", None)  # an empty layer and none at all are one in CSV
        read_back.append((list(frame.columns), plain(blank)))
    assert read_back[0] == read_back[1] == read_back[2]
    assert len(read_back[0][1]) > 10


def test_what_is_stored_is_what_was_measured(measured_runs):
    found = analyze_many(measured_runs, NAMES)
    assert sum(results.computed for results in found.runs.values()) == 0
    rows = {tuple(row.values()) for row in found.long()}
    for source in (found, measured_runs):
        table = long_table(collect(source), curve=False)
        assert list(table.columns)[:9] == [
            *("run", "hidden", "steps", "step", "measure", "layer", "column", "value", "text"),
        ]
        told = {
            (*start, text if value is None else value)
            for *start, value, text in zip(*list(table.columns.values())[:9], strict=True)
        }
        assert told == rows
    assert csv_of(long_table(collect(found)).columns).splitlines() != []


def test_the_wide_table_is_that_of_the_comparison(measured_runs):
    found = analyze_many(measured_runs, NAMES)
    for source in (found, measured_runs):
        table = wide_table(collect(source), curve=False)
        assert set(table.columns) == set(found.columns)
        for name, values in found.columns.items():
            expected = [None if v == "" or (isinstance(v, float) and math.isnan(v)) else v for v in values]
            assert list(table.columns[name]) == expected


def test_provenance_is_in_the_rows_and_beside_them(measured_runs, tmp_path):
    found = analyze_many(measured_runs, NAMES)
    for name, source in (("measured", found), ("stored", measured_runs)):
        write_table(source, tmp_path / f"{name}.parquet", wide=True)
        about = json.loads(pyarrow.parquet.read_schema(tmp_path / f"{name}.parquet").metadata[b"grokscope"])
        by_name = {entry["measure"]: entry for entry in about["measures"]}
        assert set(by_name) == {"fit", "weight_norm", "oinfo", "cka"}
        assert by_name["oinfo"]["plugin"] == "oinfo"
        assert by_name["oinfo"]["distribution"] == "grokscope"
        assert by_name["oinfo"]["source"].startswith("Clauw et al. 2024")
        assert by_name["oinfo"]["parameters"]["clusters"] == 10
        assert by_name["oinfo"]["columns"]["synergy"]["unit"] == "nats"
        assert [run["run"] for run in about["runs"]] == ["run", "deeper"]
        assert about["runs"][1]["model"]["hidden"] == [8, 6]
        assert "local" not in about["runs"][0]
    names = ["measure", "version", "parameters", "baseline"]
    one, other = (
        set(plain(pandas.DataFrame(long_table(collect(source)).columns)[names]))
        for source in (found, measured_runs)
    )
    assert one == other >= {("cka", 1, '{"split":"train"}', 0), ("curve", None, None, None)}


def test_one_run_and_its_directory_do_as_well(measured_runs, tmp_path):
    for number, one in enumerate((measured_runs[0], str(measured_runs[0]), Run.open(measured_runs[0]))):
        write_table(one, tmp_path / f"{number}.csv")
    write_table(measured_runs[:1], tmp_path / "list.csv")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_types_are_one_per_column(measured_runs, tmp_path):
    write_table(measured_runs, tmp_path / "long.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "long.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types == {
        **dict.fromkeys(("run", "hidden", "measure", "layer", "column", "text"), "string"),
        **dict.fromkeys(("plugin", "parameters"), "string"),
        **dict.fromkeys(("steps", "step", "version", "baseline"), "int64"),
        "value": "double",
    }
    write_table(measured_runs, tmp_path / "wide.parquet", wide=True)
    schema = pyarrow.parquet.read_schema(tmp_path / "wide.parquet")
    assert str(schema.field("oinfo.search").type) == "string"
    assert str(schema.field("oinfo.synergy").type) == "double"


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_equal_results_give_equal_bytes(measured_runs, tmp_path, ending):
    paths = [tmp_path / f"{number}.{ending}" for number in (1, 2)]
    for path in paths:
        write_table([Run.open(run) for run in measured_runs], path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_sets_of_parameters_are_told_apart_and_said(runs):
    analyze(runs[0], "oinfo", settings={"oinfo.clusters": 4}, steps="last")
    collected = collect(runs)
    assert collected.notes == [
        "oinfo is stored with 2 sets of parameters: oinfo[clusters=10], oinfo[clusters=4]"
    ]
    wide = wide_table(collected).columns
    assert "oinfo.synergy" not in wide
    four = analyze(runs[0], "oinfo", settings={"oinfo.clusters": 4}, steps="last").columns["oinfo.synergy"]
    assert [value for value in wide["oinfo[clusters=4].synergy"] if value is not None] == four
    assert len([value for value in wide["oinfo[clusters=10].synergy"] if value is not None]) == 11


def test_of_several_versions_the_newest_is_taken_and_that_is_said(runs):
    run = Run.open(runs[0])
    version = max(key.version for key in run.cells() if key.measure == "robustness:weight_norm")
    new = [
        Cell(key._replace(version=key.version + 1), cell.step, (Row((), {"l2_all": 7.0}),))
        for key, cell in run.cells().items()
        if key.measure == "robustness:weight_norm"
    ]
    run.store(new)
    collected = collect(runs)
    gone = f"weight_norm is left out in version {version}, which a newer one has replaced"
    assert list(collected.notes) == [f"run: {gone}", f"deeper: {gone}"]
    assert {v.value for v in collected.values() if v.measure == "weight_norm"} == {7.0}
    assert set(run.results().query("measure == 'weight_norm'")["version"]) == {version, version + 1}


def test_two_baselines_have_no_place_in_a_wide_table(runs, tmp_path):
    analyze(runs[0], "cka", baseline="last")
    frame = pandas.DataFrame(long_table(collect(runs[:1])).columns).query("measure == 'cka' and step == 30")
    assert set(frame["baseline"]) == {0, 60}
    target = tmp_path / "out.csv"
    target.write_text("as it was")
    with pytest.raises(UsageError, match="cka at step 0 is stored for several baselines"):
        write_table(runs, target, wide=True)
    assert target.read_text() == "as it was"
    against = analyze(runs[0], "cka", baseline="last")
    assert set(long_table(collect(against), curve=False).columns["baseline"]) == {60}


def named_twice(name):
    @measure(columns=[Column("value", "a number")], name="twice")
    def twice(weights):
        """Return a number."""
        return {"value": {"one": 1.0, "two": 2.0}[name]}

    module = types.ModuleType(name)
    module.grokscope_measures = hookimpl(lambda: [twice])
    module.grokscope_measures.__name__ = "grokscope_measures"
    return module


def test_measures_of_one_name_are_told_apart_by_their_plugins(runs):
    plugins = load_plugins(extra=[named_twice("one"), named_twice("two")])
    found = analyze(runs[0], "one:twice,two:twice", plugins=plugins, steps="last")
    for source in (found, runs[:1]):
        table = wide_table(collect(source, "last"))
        assert table.columns["one:twice.value"] == [1.0]
        assert table.columns["two:twice.value"] == [2.0]
        assert {"one", "two"} <= set(long_table(collect(source)).columns["plugin"])


def test_losses_and_accuracies_of_training_are_there(measured_runs):
    run = Run.open(measured_runs[0])
    frame = pandas.DataFrame(long_table(collect([run])).columns)
    curve = frame[(frame["measure"] == "curve") & (frame["column"] == "test_loss")]
    assert curve["step"].tolist() == run.curves["step"].tolist()
    assert curve["value"].tolist() == run.curves["test_loss"].tolist()
    wide = wide_table(collect([run], "10,30"))
    assert wide.columns["step"] == [10, 30]
    assert wide.columns["train_accuracy"] == [run.checkpoints[at].train_accuracy for at in (1, 3)]
    assert "test_loss" not in wide_table(collect([run]), curve=False).columns
    assert "curve" not in long_table(collect([run]), curve=False).columns["measure"]
    few = long_table(collect([run], "10,30")).columns
    assert set(few["step"]) == {10, 30}


def test_a_run_without_results_is_said_and_still_has_its_losses(trained):
    collected = collect([trained])
    assert collected.notes == ["run: no measures are stored; `measures`, or grokscope analyze, computes them"]
    assert set(long_table(collected).columns["measure"]) == {"curve"}
    assert len(wide_table(collected).columns["step"]) == 7


def test_settings_of_mixed_types_become_one_type(measured_runs):
    from dataclasses import replace

    collected = collect(measured_runs)
    mixed = {"a": [1, 2.5], "b": [True, None], "c": [1, "x"], "d": [None, 3], "e": [None, None]}
    table = wide_table(replace(collected, settings=mixed))
    assert [table.types[name] for name in "abcde"] == ["number", "truth", "text", "whole", "text"]
    assert {*table.columns["c"]} == {"1", "x"}


def test_a_table_is_no_formula(runs, tmp_path):
    run = Run.open(runs[0])
    key = next(key for key, cell in run.cells().items() if cell.step == 0)
    row = Row(("=cmd()",), {"words": "@SUM(A1)", "number": -1.5})
    run.store([Cell(key._replace(measure="evil:evil"), 0, (row,))])
    write_table(runs[:1], tmp_path / "out.csv")
    lines = [line for line in (tmp_path / "out.csv").read_text().splitlines() if "evil" in line]
    assert [line.split(",")[2:7] for line in lines] == [
        ["evil", "'=cmd()", "words", "", "'@SUM(A1)"],
        ["evil", "'=cmd()", "number", "-1.5", ""],
    ]
    write_table(runs[:1], tmp_path / "out.csv", wide=True)
    assert "evil.words:=cmd()" in (tmp_path / "out.csv").read_text().splitlines()[0]
    write_table(runs[:1], tmp_path / "out.parquet")
    frame = pandas.read_parquet(tmp_path / "out.parquet").query("measure == 'evil'")
    assert frame["text"].tolist()[0] == "@SUM(A1)"
    about = json.loads(pyarrow.parquet.read_schema(tmp_path / "out.parquet").metadata[b"grokscope"])
    assert [m["distribution"] for m in about["measures"] if m["measure"] == "evil"] == [None]


def test_half_a_surrogate_pair_does_not_stop_a_file(runs, tmp_path):
    run = Run.open(runs[0])
    key = next(key for key, cell in run.cells().items() if cell.step == 0)
    row = Row((), {"words": "a\ud800b"})
    run.store([Cell(key._replace(measure="evil:evil"), 0, (row,))])
    for ending in ("csv", "json", "parquet"):
        write_table(runs[:1], tmp_path / f"out.{ending}")
        assert "a?b" in read(tmp_path / f"out.{ending}")["text"].tolist()


@pytest.mark.parametrize("name", ["out.xlsx", "out", "parquet"])
def test_another_ending_is_refused(measured_runs, tmp_path, name):
    with pytest.raises(UsageError, match=r"must end in \.parquet, \.csv, \.json, got"):
        write_table(measured_runs, tmp_path / name)


def test_without_pyarrow_it_says_what_to_install_and_csv_needs_nothing(measured_runs, tmp_path, monkeypatch):
    for module in ("pandas", "pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"a Parquet file needs pyarrow: pip install 'grokscope\[parquet\]'"):
        write_table(measured_runs, tmp_path / "out.parquet")
    write_table(measured_runs, tmp_path / "out.csv")
    monkeypatch.undo()
    assert len(pandas.read_csv(io.StringIO((tmp_path / "out.csv").read_text()))) > 100
