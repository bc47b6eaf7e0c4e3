"""`--subnetwork`: which units stay, what the run holds of it, and what is said where they cannot be known."""

import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from grokscope import Run, analyze, train
from grokscope.cli import app
from grokscope.errors import RunError, SettingError, UnknownName
from grokscope.training import resolve_config

STEP = 30


@pytest.fixture(scope="session")
def source(trained, tmp_path_factory):
    """A run with its synergistic multiplet stored at one step; never written to by a test."""
    path = shutil.copytree(trained, tmp_path_factory.mktemp("source") / "run")
    analyze(path, "oinfo", steps=str(STEP))
    return path


def stored(path):
    (cell,) = (cell for key, cell in Run.open(path).cells().items() if key.measure == "oinfo:oinfo")
    arrays = cell.rows[0].arrays
    return np.isin(arrays["cluster"], arrays["synergy_multiplet"])


def subnetwork(source, out, *, suffix="", **settings):
    named = {"training.subnetwork": f"{source}@{STEP}{suffix}"}
    return train("modadd", settings={**named, **settings}, out=out)


@pytest.mark.parametrize("inverse", [False, True])
def test_only_the_units_of_the_multiplet_are_trained_or_only_the_others(source, tmp_path, inverse):
    run = subnetwork(source, tmp_path / "sub", suffix=":inverse" if inverse else "")
    inside = torch.from_numpy(stored(source))
    assert 0 < inside.sum() < len(inside)
    gone = inside if inverse else ~inside
    begun = Run.open(source).weights(0)
    for step in run.steps:
        weights = run.weights(step)
        into, out = weights["layers.0.weight"], weights["layers.1.weight"]
        assert not into[gone].any()
        assert not out[:, gone].any()
        if step == 0:
            assert torch.equal(into[~gone], begun["layers.0.weight"][~gone])
            assert torch.equal(out[:, ~gone], begun["layers.1.weight"][:, ~gone])
    assert (weights["layers.0.weight"][~gone] != begun["layers.0.weight"][~gone]).any()


def test_it_is_trained_as_its_source_was_and_holds_all_that_it_needs(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    run = subnetwork(copy, tmp_path / "sub")
    whole = Run.open(source)
    training = run.config["training"]
    assert run.config["task"] == whole.config["task"]
    assert run.config["model"] == whole.config["model"]
    own = {"subnetwork", "masked_units", "masked_layer"}
    assert {n: v for n, v in training.items() if n not in own} == {
        n: v for n, v in whole.config["training"].items() if n not in own
    }
    assert training["subnetwork"] == f"{whole.id}@{STEP}"
    assert training["masked_units"] == np.flatnonzero(~stored(source)).tolist()
    shutil.rmtree(copy)
    tables = {table: dict(run.config[table]) for table in ("task", "model", "training")}
    del tables["task"]["name"]
    given = {f"{table}.{name}": value for table, found in tables.items() for name, value in found.items()}
    again = train("modadd", settings=given, out=tmp_path / "again")
    assert again.id == run.id
    assert all(torch.equal(v, run.weights(60)[n]) for n, v in again.weights(60).items())


@pytest.mark.parametrize("inverse", [False, True])
def test_synergistic_dropout_has_the_units_of_the_multiplet_or_the_others(source, tmp_path, inverse):
    text = f"{source}@{STEP}{':inverse' if inverse else ''}"
    run = train("modadd", settings={"training.synergistic_dropout": text}, out=tmp_path / "run")
    training, whole = run.config["training"], Run.open(source)
    inside = stored(source)
    assert training["dropped_units"] == np.flatnonzero(~inside if inverse else inside).tolist()
    assert training["synergistic_dropout"] == f"{whole.id}@{STEP}{':inverse' if inverse else ''}"
    assert training["lr"] == whole.config["training"]["lr"]
    assert all(torch.equal(v, run.weights(0)[n]) for n, v in whole.weights(0).items())
    named = {"training.dropped_units": training["dropped_units"], "training.synergistic_dropout": run.id}
    same = resolve_config("modadd", settings={"training.synergistic_dropout": text})
    assert same["training"]["dropped_units"] == training["dropped_units"]
    assert resolve_config("modadd", settings=named)["training"]["dropped_units"] == training["dropped_units"]
    other = {"training.synergistic_dropout": text, "training.synergistic_dropout_share": 0.2}
    assert resolve_config("modadd", settings=other)["training"] != same["training"]
    with pytest.raises(
        SettingError, match=r"training\.synergistic_dropout must name a run with the same initial"
    ):
        train("modadd", settings={**other, "training.seed": 9}, out=tmp_path / "elsewhere")


def test_a_sub_network_can_have_synergistic_dropout_of_its_own(source):
    both = {"training.subnetwork": f"{source}@{STEP}", "training.synergistic_dropout": f"{source}@{STEP}"}
    training = resolve_config("modadd", settings=both)["training"]
    assert sorted(training["masked_units"] + training["dropped_units"]) == list(range(24))


def test_the_same_command_finds_its_run_and_where_the_source_lies_does_not_matter(source, tmp_path):
    run = subnetwork(source, tmp_path / "sub")
    moved = shutil.copytree(source, tmp_path / "moved@home")
    assert subnetwork(moved, tmp_path / "sub").id == run.id


def test_flags_go_over_what_the_source_was_trained_with(source, tmp_path):
    run = subnetwork(source, tmp_path / "sub", **{"training.steps": 7, "training.weight_decay": 0.5})
    assert (run.steps[-1], run.config["training"]["weight_decay"]) == (7, 0.5)


def test_masked_units_are_constant_for_the_measures(source, tmp_path):
    run = subnetwork(source, tmp_path / "sub")
    results = analyze(run, "oinfo,fit,weight_norm,activation_sparsity")
    assert not results.failures
    masked = len(run.config["training"]["masked_units"])
    assert min(results.columns["oinfo.constant_units"]) >= masked
    assert max(results.columns["oinfo.synergy_neurons"]) <= 24 - masked


def test_without_a_stored_multiplet_it_says_what_to_run(trained, tmp_path):
    with pytest.raises(SettingError) as caught:
        subnetwork(trained, tmp_path / "sub")
    assert f"run `grokscope analyze {trained} --measure oinfo --steps {STEP}` first" in str(caught.value)
    assert not (tmp_path / "sub").exists()


SETTINGS = ("subnetwork", "synergistic_dropout")


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_command_that_it_says_stores_what_was_missing(source, tmp_path, setting):
    copy = shutil.copytree(source, tmp_path / "a copy")
    given = {f"training.{setting}": f"{copy}@{STEP}:clusters=7:inverse:min_size=3"}
    with pytest.raises(SettingError, match="stored at step 30, got none with clusters=7 with min_size=3"):
        resolve_config("modadd", settings=given)
    with pytest.raises(SettingError) as caught:
        resolve_config("modadd", settings=given)
    command = shlex.split(re.search("run `grokscope (.*)` first", str(caught.value))[1])
    assert command[-4:] == ["--set", "oinfo.clusters=7", "--set", "oinfo.min_size=3"]
    assert CliRunner().invoke(app, command).exit_code == 0
    found = resolve_config("modadd", settings=given)["training"]
    assert found[setting] == f"{Run.open(source).id}@{STEP}:inverse:clusters=7:min_size=3"


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize(
    ("suffix", "error", "words"),
    [
        (":nosuch=7", UnknownName, "unknown parameter of oinfo 'nosuch': did you mean search"),
        (":cluster=7", UnknownName, "unknown parameter of oinfo 'cluster': did you mean clusters"),
        (":clusters=few", SettingError, "oinfo.clusters must be int >= 2, <= 62, got 'few'"),
        (":clusters=7:clusters=8", SettingError, "must say each thing once"),
    ],
)
def test_settings_that_no_result_can_have_are_refused(source, setting, suffix, error, words):
    with pytest.raises(error) as caught:
        resolve_config("modadd", settings={f"training.{setting}": f"{source}@{STEP}{suffix}"})
    assert words in str(caught.value)


def test_where_there_is_no_multiplet_it_does_not_say_to_look_again(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    run = Run.open(copy)
    (cell,) = (cell for key, cell in run.cells().items() if key.measure == "oinfo:oinfo")
    row = cell.rows[0]
    empty = row._replace(arrays={**row.arrays, "synergy_multiplet": np.zeros(0, int)})
    for version, found in ((98, {"rows": (empty,)}), (99, {"rows": (), "note": "it makes no sense here"})):
        run.store([cell._replace(key=cell.key._replace(version=version), **found)])
        with pytest.raises(
            SettingError, match=r"a step with a synergistic multiplet, got .*: take another"
        ) as e:
            resolve_config("modadd", settings={"training.subnetwork": f"{copy}@{STEP}"})
        assert ("(it makes no sense here)" in str(e.value)) == (version == 99)


def test_without_a_measure_of_multiplets_it_names_none(source, monkeypatch):
    monkeypatch.setenv("GROKSCOPE_DISABLE_PLUGINS", "oinfo")
    with pytest.raises(SettingError, match="where no measure of sub-networks is installed"):
        resolve_config("modadd", settings={"training.subnetwork": f"{source}@{STEP}"})


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_multiplet_of_what_is_no_hidden_layer_is_refused_as_it_was_given(source, tmp_path, setting):
    copy = shutil.copytree(source, tmp_path / "copy")
    analyze(copy, "oinfo", steps=str(STEP), settings={"oinfo.layer": "layers.0_pre"})
    given = f"{copy}@{STEP}:layer=layers.0_pre"
    with pytest.raises(SettingError) as caught:
        train("modadd", settings={f"training.{setting}": given}, out=tmp_path / "sub")
    command = f"`grokscope analyze {copy} --measure oinfo --steps 30 --set oinfo.layer=layers.0_post`"
    assert str(caught.value) == (
        f"training.{setting} must name a multiplet of units of layers.0_post, got {given}, one of "
        f"layers.0_pre: take :layer=layers.0_post, which {command} stores"
    )
    assert not (tmp_path / "sub").exists()


def test_what_cannot_be_dropped_is_refused_by_the_setting_that_was_given(source, tmp_path, monkeypatch):
    monkeypatch.setattr("grokscope.models.mlp.MLP.drops", False)
    with pytest.raises(SettingError, match=r"training\.synergistic_dropout must be left out with model mlp"):
        train("modadd", settings={"training.synergistic_dropout": f"{source}@{STEP}"}, out=tmp_path / "sub")


@pytest.mark.parametrize(
    ("setting", "layer"), [("subnetwork", "masked_layer"), ("synergistic_dropout", "dropped_layer")]
)
def test_a_layer_beside_a_result_that_has_one_is_refused(source, setting, layer):
    given = {setting: f"{source}@{STEP}", layer: "layers.0_post"}
    with pytest.raises(SettingError, match=f"`{layer}` must be left out with `{setting}`"):
        resolve_config("modadd", settings=given)
    assert resolve_config("modadd", settings={**given, layer: "none"})


def test_another_start_is_refused(source, tmp_path):
    for settings in ({"training.seed": 1}, {"training.init_scale": 2.0}, {"model.hidden": [30]}):
        with pytest.raises(SettingError, match="must name a run with the same initial weights"):
            subnetwork(source, tmp_path / "sub", **settings)
    assert not (tmp_path / "sub").exists()
    copy = shutil.copytree(source, tmp_path / "copy")
    next((copy / "checkpoints").glob("*00000.safetensors")).unlink()
    with pytest.raises(SettingError, match="which has no checkpoint at step 0"):
        subnetwork(copy, tmp_path / "sub")


def test_a_step_without_checkpoint_and_a_directory_without_run_are_refused(source, tmp_path):
    with pytest.raises(UnknownName, match="unknown step '31': did you mean 30"):
        resolve_config("modadd", settings={"training.subnetwork": f"{source}@31"})
    with pytest.raises(RunError, match="is no run"):
        resolve_config("modadd", settings={"training.subnetwork": f"{tmp_path}@30"})


def test_of_several_results_one_must_be_chosen(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    analyze(copy, "oinfo", steps=str(STEP), settings={"oinfo.max_size": 3})

    def masked(suffix):
        given = {"training.subnetwork": f"{copy}@{STEP}{suffix}"}
        return resolve_config("modadd", settings=given)["training"]["masked_units"]

    with pytest.raises(SettingError, match=r"must name one result.*add one of :max_size=10, :max_size=3"):
        masked("")
    assert masked(":max_size=10") == np.flatnonzero(~stored(source)).tolist()
    assert len(masked(":max_size=3")) > len(masked(":max_size=10"))
    assert sorted(masked(":max_size=3") + masked(":max_size=3:inverse")) == list(range(24))
    assert masked(":max_size=3:grouping=ward") == masked(":max_size=3")  # it came later than results do


@pytest.mark.parametrize("suffix", ["", ":inverse"])
def test_a_multiplet_of_all_units_leaves_nothing_to_mask(source, tmp_path, suffix):
    copy = shutil.copytree(source, tmp_path / "copy")
    run = Run.open(copy)
    (cell,) = (cell for key, cell in run.cells().items() if key.measure == "oinfo:oinfo")
    row = cell.rows[0]
    arrays = {**row.arrays, "synergy_multiplet": np.unique(row.arrays["cluster"])}
    run.store([cell._replace(rows=(row._replace(arrays=arrays),), key=cell.key._replace(version=99))])
    with pytest.raises(SettingError, match="must name a multiplet of some units, got all 24"):
        resolve_config("modadd", settings={"training.subnetwork": f"{copy}@{STEP}{suffix}"})


def test_another_network_at_the_step_has_no_multiplet(source, tmp_path):
    """What is stored belongs to a checkpoint's content, and not to its name."""
    copy = shutil.copytree(source, tmp_path / "copy")
    run = Run.open(copy)
    run.save_checkpoint(STEP, {name: value + 1 for name, value in run.weights(STEP).items()}, {})
    with pytest.raises(SettingError, match="must have a synergistic multiplet stored at step 30, got none"):
        resolve_config("modadd", settings={"training.subnetwork": f"{copy}@{STEP}"})
