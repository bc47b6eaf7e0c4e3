"""What grokscope itself needs of a measure it asks for by a declared role: a stranger's may have it too."""

import types

import numpy as np
import pytest

from grokscope import (
    Column,
    Comparison,
    PluginError,
    Results,
    Run,
    UsageError,
    hookimpl,
    load_plugins,
    phases,
    score,
)
from grokscope import measure as declare
from grokscope.measure import Row
from grokscope.run import Cell, CellKey
from grokscope.training.subnetwork import find_sources

STEPS = np.arange(0, 1000, 10)


def results(roles):
    """A run whose columns are called anything, and have roles."""
    rise = 1 / (1 + np.exp(-(STEPS - 500) / 50))
    return Results(
        run="r",
        columns={"step": STEPS.tolist()} | {name: (at + 1 + rise).tolist() for at, name in enumerate(roles)},
        declared={name: Column("x", "a number", role=role) for name, role in roles.items()},
        grokking_step=600,
        memorisation_step=100,
        curve={
            "step": STEPS,
            "train_accuracy": (STEPS >= 100).astype(float),
            "test_accuracy": rise,
            "train_loss": 1 - rise,
            "test_loss": 1 - rise,
        },
    )


def test_score_controls_for_the_column_that_is_declared_so():
    found = results({"size.x": "control", "other.x": ""})
    assert score(Comparison({"r": found}, {}, {})).control == "size.x"
    assert score(Comparison({"r": found}, {}, {}), control="other.x").control == "other.x"
    with pytest.raises(UsageError, match="no measured column is declared as what is controlled for"):
        score(Comparison({"r": results({"other.x": ""})}, {}, {}))


def test_phases_read_the_columns_that_are_declared_so():
    assert phases(results({"up.x": "synergy", "down.x": "redundancy"})).found
    assert phases(results({"up.x": "", "down.x": ""}), synergy="up.x", redundancy="down.x").found
    assert phases(results({"up.x": "synergy"})).note == "phases need redundancy, which were not measured"


@declare(
    columns=[Column("value", "a number", role="control")],
    arrays={"where": "groups of units", "which": "the best groups"},
    array_roles={"groups": "where", "synergistic": "which"},
)
def halves(weights):
    """Nothing in particular."""
    return {"value": 1.0, "where": np.array([0, 0, 1, 1]), "which": np.array([1])}


@pytest.fixture(scope="module")
def plugins():
    brought = types.SimpleNamespace(
        __name__="stranger", grokscope_measures=hookimpl(specname="grokscope_measures")(lambda: [halves])
    )
    return load_plugins([brought])


def test_of_several_columns_of_a_role_grokscopes_own_is_the_first(plugins):
    assert [r.title for r in plugins.registered if any(c.role == "control" for c in r.measure.columns)] == [
        "weight_norm",
        "halves",
    ]
    assert plugins.column_of("control") == "weight_norm.l2_all"
    with pytest.raises(UsageError, match="no installed measure declares a column whose role is colour"):
        plugins.column_of("colour")


def test_a_sub_network_is_of_the_measure_that_stores_its_arrays(run_path, plugins, monkeypatch):
    monkeypatch.setattr("grokscope.training.subnetwork.load_plugins", lambda: plugins)
    run = Run.open(run_path)
    checkpoint = run.checkpoints[-1]
    key = CellKey(checkpoint.sha256, "stranger:halves", 1, "{}", run.data_hash, run.noise_seed)
    arrays = {"where": np.array([0, 0, 1, 1]), "which": np.array([1])}
    run.store([Cell(key, checkpoint.step, (Row((), {"value": 1.0}, arrays),))])
    (found,) = find_sources({"subnetwork": f"{run_path}@{checkpoint.step}"})
    assert found.settings()["masked_units"] == [0, 1]
    (inverse,) = find_sources({"subnetwork": f"{run_path}@{checkpoint.step}:inverse"})
    assert inverse.settings()["masked_units"] == [2, 3]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"columns": [Column("x", "1", role="contrl")]},
            "role of x must be control, synergy, redundancy or nothing, got 'contrl'",
        ),
        ({"array_roles": {"group": "a"}}, "array_roles must be of groups, synergistic, got 'group'"),
        ({"array_roles": {"groups": "b"}}, r"array_roles must name its arrays \(a\), got 'b'"),
    ],
)
def test_a_role_that_nobody_asks_for_is_refused(options, sentence):
    with pytest.raises(PluginError, match=sentence):
        declare(**{"columns": [Column("x", "1")], "arrays": {"a": "1"}, "name": "m", **options})(
            lambda weights: {}
        )
