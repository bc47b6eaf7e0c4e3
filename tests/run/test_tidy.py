"""`Run.results()`: everything that is stored, once, with what it was computed with."""

import math
import sys

import numpy as np
import pandas
import pytest

from grokscope import UsageError
from grokscope.measure import Row
from grokscope.run import Cell, CellKey, Run


def cell(run, step, *rows, measure="family:height", version=1, parameters='{"tau":0.5}', **other):
    checkpoint = {info.step: info.sha256 for info in run.checkpoints}[step]
    key = CellKey(checkpoint, measure, version, parameters, run.data_hash, run.noise_seed)
    return Cell(key._replace(**other), step, rows)


def test_a_row_for_every_number_and_word_with_what_made_it(run):
    whole = Row((), {"mean": 1.5, "how": "exactly", "gap": math.nan, "none": ""}, {"bins": np.arange(3)})
    run.store([cell(run, 10, whole, Row(("a", "b"), {"mean": math.inf}))])
    run.store([cell(run, 0, Row((), {"mean": 2.0}), version=2, parameters="{}")])
    run.store([cell(run, 0, measure="other:height")._replace(note="does not apply")])
    frame = Run.open(run.path).results()
    assert list(frame.columns) == [
        *("run", "step", "measure", "layer", "column", "value", "text"),
        *("plugin", "version", "parameters", "baseline"),
    ]
    rows = [tuple(row)[:7] for row in frame.astype(object).where(frame.notna(), None).to_numpy()]
    assert rows == [
        ("run", 0, "height", "", "mean", 2.0, None),
        ("run", 10, "height", "", "mean", 1.5, None),
        ("run", 10, "height", "", "how", None, "exactly"),
        ("run", 10, "height", "a,b", "mean", math.inf, None),
    ]
    assert frame["version"].tolist() == [2, 1, 1, 1]
    assert frame["parameters"].tolist() == ["{}", *['{"tau":0.5}'] * 3]
    assert set(frame["plugin"]) == {"family"}
    assert frame["baseline"].isna().all()


def test_a_baseline_is_told_by_its_step(run):
    first = run.checkpoints[0].sha256
    against = [f'{{"@baseline":"{sha}","tau":1}}' for sha in (first, "0" * 64)]
    run.store([cell(run, 10, Row((), {"mean": 1.0}), parameters=each) for each in against])
    frame = run.results()
    assert set(frame["parameters"]) == {'{"tau":1}'}
    assert sorted(frame["baseline"].fillna(-1)) == [-1, 0]


def test_what_is_no_result_of_this_run_s_checkpoints_is_left_out(run):
    row = Row((), {"mean": 1.0})
    run.store([cell(run, 0, row, **{name: "f" * 64}) for name in ("checkpoint", "data", "noise")])
    assert run.results().empty


def test_nothing_stored_gives_a_table_of_the_same_columns_and_types(run):
    empty = run.results()
    run.store([cell(run, 0, Row((), {"mean": 1.0}))])
    full = run.results()
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)
    for name in ("step", "value", "version", "baseline"):
        assert empty[name].dtype == full[name].dtype == pandas.DataFrame({name: full[name]})[name].dtype


def test_without_pandas_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"a DataFrame needs pandas: pip install 'grokscope\[pandas\]'"):
        run.results()
