"""A figure from training to drawing: what is there is reused, what is missing said; it can be stopped."""

import json
import sys
from dataclasses import replace

import pytest

from grokscope.errors import DataError, SettingError, UsageError
from grokscope.reproduce import reproduce
from grokscope.reproduce.account import as_dict, spread
from grokscope.reproduce.figure import HELD, UNDECIDED


@pytest.fixture(autouse=True)
def no_data(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GROKSCOPE_DATA_DIR", raising=False)


def test_a_figure_is_trained_measured_drawn_and_judged(toy, tmp_path):
    said = []
    found = reproduce(toy, out=tmp_path / "runs", progress=lambda words, done, total: said.append(words))
    assert [len(paths) for paths in found.paths.values()] == [2, 2, 2, 1]
    assert [part.verdict for part in found.parts] == [HELD, HELD]
    assert found.parts[0].outcomes == (True, True)
    assert not found.failures
    assert {"training plain", "measuring toy-1, plain"} <= set(said)
    parts = found.found["plain, synergistic units"]
    for results in parts.runs.values():
        assert results.config["training"]["masked_units"]
    figure = found.draw()
    assert len(figure.axes) == 4 + 1 + 1  # panels, a right axis, and the colours of steps
    assert found.stand_ins == {"mnist": "digits"}
    assert found.verdict == UNDECIDED  # its `beyond` says that digits decide nothing
    assert replace(found, caveats=[]).verdict == HELD


def test_what_is_there_is_reused(toy, tmp_path):
    first = reproduce(toy, out=tmp_path / "runs")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")}
    again = reproduce(toy, out=tmp_path / "runs")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.safetensors")} == before
    assert again.paths == first.paths
    assert all(not results.computed for found in again.found.values() for results in found.runs.values())
    assert as_dict(again) == as_dict(first)


def test_seeds_and_quick_make_less(toy, tmp_path):
    quick = reproduce(toy, quick=True, out=tmp_path / "runs")
    assert quick.seeds == "1"
    [results] = quick.found["plain"].runs.values()
    assert results.steps == [0, 5, 10]
    [results] = quick.found["large"].runs.values()
    assert results.steps == [0]
    more = reproduce(toy, quick=True, seeds=2, out=tmp_path / "runs")
    assert {len(found.runs) for found in more.found.values()} == {2}


def test_it_can_be_stopped_and_goes_on(toy, tmp_path):
    asked = []

    def stop():
        asked.append(None)
        return len(asked) > 3

    assert reproduce(toy, out=tmp_path / "runs", stop=stop) is None
    found = reproduce(toy, out=tmp_path / "runs")
    assert [part.verdict for part in found.parts] == [HELD, HELD]


def test_data_that_is_said_to_be_somewhere_must_be_there(toy, tmp_path):
    with pytest.raises(DataError, match="train-images"):
        reproduce(toy, out=tmp_path / "runs", data_dir=tmp_path)


def test_a_run_that_fails_is_named_and_the_others_go_on(toy, tmp_path):
    plain = toy.groups["plain"]
    broken = replace(
        plain, runs=replace(plain.runs, settings={**plain.runs.settings, "lr": 1e6, "init_scale": 1e6})
    )
    found = reproduce(replace(toy, groups={**toy.groups, "large": broken}), out=tmp_path / "runs", seeds=1)
    assert found.failures
    assert found.parts[0].verdict == UNDECIDED
    assert found.parts[1].verdict == HELD
    found.draw()


def test_seeds_must_be_positive(toy):
    with pytest.raises(SettingError, match="at least 1"):
        reproduce(toy, seeds=0)


def test_the_command_prints_the_claim_beside_what_was_found(toy, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = cli("reproduce", "toy-1", "--seeds", "1", "--workers", "1", "-o", "toy.svg", "--out", "runs")
    assert ended.code == 0, ended.err
    assert (tmp_path / "toy.svg").read_text().startswith("<?xml")
    for words in ("Toys show something.", "held (in 1 of 1): a larger start", "Verdict: undecided", "1 seed"):
        assert words in ended.out
    assert "On digits, which stands in for mnist" in " ".join(ended.out.split())
    assert "digits stands in for mnist: task mnist needs train-images" in ended.err
    assert "undecided: digits are no MNIST" in " ".join(ended.out.split())
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "figure: toy.svg" in ended.err


def test_the_command_prints_json_and_names_the_figure_by_itself(toy, cli, tmp_path):
    ended = cli("reproduce", "toy-1", "--quick", "--json", "-q", "--workers", "1")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["figure"] == "toy-1"
    assert told["quick"] is True
    assert told["parts"][0]["outcomes"] == [True]
    assert (tmp_path / "toy-1-quick.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "runs").is_dir()


def test_the_command_lists_the_figures(cli):
    ended = cli("reproduce", "--list")
    assert ended.code == 0
    for name in ("tan-16", "clauw-9", "golechha-4", "2408.08944"):
        assert name in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "which figure"),
        (("clauw-22",), "did you mean clauw-2"),
        (("clauw-2", "-o", "figure.gif"), "must end in .png, .svg, .pdf"),
        (("clauw-2", "-o", "nowhere/figure.png"), "directory that exists"),
        (("clauw-2", "--seeds", "0"), "--seeds"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(arguments, words, cli, tmp_path):
    ended = cli("reproduce", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_nothing_is_trained(cli, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = cli("reproduce", "clauw-2")
    assert ended.code == 2
    assert "pip install 'grokscope[report]'" in ended.err
    assert not list(tmp_path.iterdir())


def test_drawing_needs_matplotlib_too(toy, tmp_path, monkeypatch):
    found = reproduce(toy, seeds=1, quick=True, out=tmp_path / "runs")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        found.draw()


def test_numbers_over_seeds_are_short():
    assert spread([1.0, float("nan"), 3.0]) == "2 (1 to 3) in 2 of 3"
    assert spread([float("nan")]) == "–"


@pytest.mark.slow
def test_clauw_2_quickly(cli, tmp_path):
    """One seed at weight decay 0.1: it memorises, generalises late, and its figure is drawn."""
    ended = cli("reproduce", "clauw-2", "--quick", "--json", "-q", "-o", "clauw-2.png")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["seeds"] == {"weight decay 0.1": 1}
    assert (tmp_path / "clauw-2.png").stat().st_size > 10_000
