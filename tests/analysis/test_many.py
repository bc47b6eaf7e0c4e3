"""Several runs are measured as each alone, in shared processes, and put side by side."""

import math
import shutil
import types

import pytest

from grokscope import (
    Column,
    Comparison,
    Run,
    StorageError,
    UnknownName,
    analyze,
    analyze_many,
    hookimpl,
    load_plugins,
    measure,
    train,
)


@pytest.fixture
def runs(run_path, tmp_path):
    """A trained run, another of another network, and a copy of the first."""
    settings = {"task.p": 13, "task.train_fraction": 0.5, "model.hidden": [8, 6], "training.steps": 30}
    deeper = train("modadd", settings=settings | {"training.checkpoint_every": "10"}, out=tmp_path / "deeper")
    return [run_path, deeper.path, shutil.copytree(run_path, tmp_path / "copies" / "run")]


def test_each_run_gives_what_it_gives_alone(runs):
    alone = [analyze(path, "fit,weight_norm", refresh=True) for path in runs]
    found = analyze_many([Run.open(runs[0]), *runs[1:]], "fit,weight_norm", refresh=True)
    assert isinstance(found, Comparison)
    assert [results.columns for results in found.runs.values()] == [results.columns for results in alone]
    assert not found.failed
    # Two are called `run`: these go by their paths.
    assert list(found.runs) == [str(runs[0]), "deeper", str(runs[2])]
    assert analyze_many(runs, "fit,weight_norm").columns["run"] == found.columns["run"]
    assert sum(results.computed for results in analyze_many(runs, "fit").runs.values()) == 0


def test_one_that_comes_twice_is_taken_once(runs):
    assert len(analyze_many([runs[0], runs[0], Run.open(runs[0])], "fit").runs) == 1


def test_processes_are_shared_and_give_the_same(runs, monkeypatch):
    monkeypatch.setattr("grokscope.analysis.session.CHECKPOINTS_PER_WORKER", 2)
    seen = []
    options = {"progress": lambda *told: seen.append(told[:2])}
    two = analyze_many(runs, "fit,weight_norm", workers=2, refresh=True, **options)
    one = analyze_many(runs, "fit,weight_norm", refresh=True)
    assert [results.columns for results in two.runs.values()] == [r.columns for r in one.runs.values()]
    assert [results.computed for results in two.runs.values()] == [14, 8, 14]
    assert seen == [(count, 36) for count in range(37)]
    for path in runs:
        assert len(Run.open(path).cells()) == (8 if path.name == "deeper" else 14)


def test_rows_hold_every_column_of_every_run(runs):
    found = analyze_many(runs[:2], "weight_norm,fit", steps="last")
    settings = {
        "hidden": ["24", "8,6"],
        "steps": [60, 30],
    }
    assert found.settings == settings
    first, second = found.rows()
    assert list(first) == list(second) == list(found.columns)
    assert list(first)[:4] == ["run", "hidden", "steps", "step"]
    names = list(found.declared)
    assert [name.split(".")[0] for name in names] == sorted(
        (name.split(".")[0] for name in names), reverse=True
    )
    assert math.isnan(first["weight_norm.l2:layers.2.weight"])
    assert second["weight_norm.l2:layers.2.weight"] > 0
    tidy = list(found.long())
    assert list(tidy[0]) == ["run", "hidden", "steps", "step", "measure", "layer", "column", "value"]
    assert not [row for row in tidy if row["run"] == "run" and row["layer"] == "layers.2.weight"]
    frame = found.to_pandas()
    assert list(frame.index.names) == ["run", "step"]
    assert frame.loc[("deeper", 30), "hidden"] == "8,6"


def test_a_run_whose_results_cannot_be_stored_costs_only_itself(runs, monkeypatch):
    store = Run.store

    def full(self, cells):
        if self.path == runs[0]:
            raise StorageError("the disk is full")
        store(self, cells)

    monkeypatch.setattr(Run, "store", full)
    found = analyze_many(runs[:2], "fit", refresh=True)
    assert list(found.runs) == ["deeper"]
    assert {path: str(error) for path, error in found.failed.items()} == {str(runs[0]): "the disk is full"}
    with pytest.raises(StorageError, match="the disk is full"):
        analyze(runs[0], "fit", refresh=True)
    monkeypatch.setattr("grokscope.analysis.session.CHECKPOINTS_PER_WORKER", 2)
    found = analyze_many(runs[:2], "fit", refresh=True, workers=2)
    assert list(found.runs) == ["deeper"]
    assert list(found.failed) == [str(runs[0])]


def test_what_no_run_can_give_is_refused_at_once(runs, tmp_path):
    with pytest.raises(UnknownName, match="did you mean fit"):
        analyze_many([tmp_path / "nowhere", runs[0]], "fti")
    nothing = analyze_many([tmp_path / "nowhere"], "fit")
    assert not nothing.runs
    assert list(nothing.failed) == [str(tmp_path / "nowhere")]
    assert nothing.columns == {"run": [], "step": []}


def test_names_of_measures_may_be_an_iterator_and_failures_stay_with_their_run(runs):
    @measure(columns=[Column("value", "a number")])
    def picky(probe):
        """Refuse deep networks."""
        if len(probe.model.layers) > 2:
            raise ValueError("too deep")
        return {"value": 1.0}

    module = types.ModuleType("picky_plugin")
    module.grokscope_measures = hookimpl(lambda: [picky])
    module.grokscope_measures.__name__ = "grokscope_measures"
    found = analyze_many(runs[:2], iter(["picky"]), plugins=load_plugins(extra=[module]))
    assert not found.runs["run"].failures
    assert len(found.runs["deeper"].failures) == 4
    assert found.columns["picky.value"][:7] == [1.0] * 7
