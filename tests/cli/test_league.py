"""`grokscope league`: on runs that are given, on its own, and again of what it wrote."""

import csv
import json

import pytest

from grokscope import load_plugins
from grokscope.cli.league import _wanted
from grokscope.reproduce import league as own

TINY = """
[clauw]
recipe = "clauw"
groks = true
first = [5, 2]
seconds = [60, 30]
expensive = [9, 6]
quick = { p = 13, hidden = [16], train_fraction = 0.6, steps = 40 }

["weight decay 10"]
recipe = "clauw"
groks = false
first = [5, 2]
seconds = [60, 30]
expensive = [9, 6]
settings = { weight_decay = 10.0 }
quick = { p = 13, hidden = [16], train_fraction = 0.6, steps = 40 }
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Two small settings in the place of the league's own."""
    path = tmp_path / "league.toml"
    path.write_text(TINY)
    monkeypatch.setattr(own, "FILE", path)


def test_its_own_settings_are_trained_once_and_found_again(cli, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["league", "--quick", "--seeds", "1", "-m", "weight_norm", "--workers", "1"]
    first = cli(*command, "-o", "table.csv", "--rows", "rows.csv", "--page", "league.html")
    assert first.code == 0, first.err
    assert "2 runs are left to train and measure: about 1 minutes of one core" in first.err
    assert "there are no ranks" in first.out
    assert len(list((tmp_path / "runs").iterdir())) == 2
    none = cli(*command, "--finished", "--out", "elsewhere")
    assert none.code == 2
    assert "--finished must be given where runs of the league's own are finished, got none in elsewhere" in (
        none.err
    )
    with open("rows.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["setting"] for row in rows if row["setting"]} <= {"clauw", "weight decay 10"}
    assert {row["run"] for row in rows} == {path.name for path in (tmp_path / "runs").iterdir()}
    again = cli(*command, "--json")
    assert "0 runs are left" in again.err
    finished = cli(*command[:2], "--seeds", "2", *command[4:], "--finished", "--json")
    assert (finished.code, finished.out) == (0, again.out), finished.err
    assert "left to train" not in finished.err
    assert len(list((tmp_path / "runs").iterdir())) == 2
    told = json.loads(again.out)
    columns = {place["column"] for place in told["places"]}
    assert columns <= {row["column"] for row in rows}
    assert cli("league", "--from", "rows.csv", "-o", "again.csv", "--rows", "rows-again.csv").code == 0
    for one, other in (("table.csv", "again.csv"), ("rows.csv", "rows-again.csv")):
        assert (tmp_path / one).read_bytes() == (tmp_path / other).read_bytes()
    assert (tmp_path / "league.html").read_text().startswith("<!doctype html>")


STRANGER = """
from grokscope import Column, hookimpl, measure

@measure(columns=[Column("size", "how large the first weight is")], source="own", knows=[])
def strangers(weights):
    "The size of a weight."
    return {"size": float(next(iter(weights.values())).abs().max())}

@hookimpl
def grokscope_measures():
    return [strangers]
"""


def test_given_runs_are_called_after_what_differs_and_a_new_measure_joins(
    cli, trained, tmp_path, stranger_here
):
    stranger_here("strange", STRANGER)
    where = ["--results", tmp_path / "kept", "--json", "--steps", "log:6", "--train-threshold", "0.9"]
    measures = ["-m", "weight_norm,strangers,sharpness,attention_entropy", "--expensive", "last"]
    done = cli("league", trained, *measures, *where)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["never"] == {"clauw, p 13, train_fraction 0.5, hidden [24]": 1}
    places = {place["column"]: place for place in told["places"]}
    assert {"strangers.size", "weight_norm.l2_all", "control.noise", "control.copy"} <= set(places)
    assert places["strangers.size"]["must_know"] == ""
    assert places["strangers.size"]["ms"] > 0
    assert told["tested"] == 0
    assert places["sharpness.trace"]["resolution"] is None, "it was measured once"
    assert "attention_entropy has no value in clauw, p 13" in " ".join(told["notes"])
    none = json.loads(cli("league", trained, *measures[:2], "--expensive", "none", *where).out)
    assert not any(place["column"].startswith("sharpness") for place in none["places"])
    assert told["answer"].startswith("Nothing can be said of")


def test_every_measure_is_taken_unless_expensive_ones_are_left_out():
    plugins = load_plugins()
    expensive = {each.title for each in plugins.registered if each.measure.expensive}
    assert expensive
    assert set(_wanted(None, None, plugins).measures) == {each.title for each in plugins.registered}
    assert set(_wanted(None, "none", plugins).measures) == {
        each.title for each in plugins.registered if each.title not in expensive
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "missing.csv"], "missing.csv must be a CSV file that --rows wrote"),
        (["--from", "rows.csv", "run"], "league must be given runs or --from, got both"),
        (["run", "--quick"], "--quick, --seeds and --finished must be given without runs"),
        (["run", "--finished"], "--quick, --seeds and --finished must be given without runs"),
        (["--quick", "--steps", "last"], "--steps must be given with runs"),
        (["--from", "rows.csv", "--set", "llc.draws=9"], "--from must be given alone"),
        (["--from", "rows.csv", "--expensive", "all"], "--from must be given alone"),
        (["run", "--page", "league.txt"], "must be an .html file"),
        (["run", "--figure", "league.gif"], "must end in .png, .svg, .pdf"),
    ],
)
def test_what_cannot_be_is_one_sentence(cli, words, said):
    ended = cli("league", *words)
    assert ended.code == 2
    assert said in ended.err
