"""The guide on the league tells what the committed data gives, and the data gives the league again."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from grokscope import load_plugins
from grokscope.report.figures.league import FIRST
from grokscope.report.league import answer, knowledge, league_csv, outcome, read_rows
from grokscope.statistics.league import league

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = EXAMPLES / "results"
TABLE, ROWS = RESULTS / "league.csv", RESULTS / "league-rows.csv"
GUIDE = (EXAMPLES / "guides" / "league.md").read_text()
FIGURE = (EXAMPLES / "league.svg").read_text()


def test_the_guides_table_is_that_of_the_data():
    command = [sys.executable, EXAMPLES / "league_table.py", TABLE]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made in GUIDE, f"run {' '.join(map(str, command[1:]))} and put its table into the guide"


def test_the_data_is_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 5_000_000


@pytest.fixture(scope="module")
def found():
    """Every place of the table, by its column."""
    with TABLE.open(newline="") as stream:
        return {row["column"]: row for row in csv.DictReader(stream)}


def mean(row, name):
    """A mean with its interval, as the guide has it."""
    middle, low, high = (f"{float(row[f'{name}{end}']):+.2f}" for end in ("", "_low", "_high"))
    return f"{middle} ({low} to {high})"


def runs(found, names):
    """In how many runs that grok a column changes first, and in how many of the others."""
    return {name: tuple(int(found[name][f"{of}_runs"]) for of in ("first", "alarms")) for name in names}


def above_zero(found, name):
    return {column for column, row in found.items() if row[f"{name}_low"] and float(row[f"{name}_low"]) > 0}


def aurocs(found, name=""):
    of = [row[f"{kind}{name}"] for row in found.values() for kind in ("auroc", "moved_auroc")]
    return [float(value) for value in of if value]


def shares(found, names, of):
    """The least and the largest percentage of runs among columns, `of` first or alarms."""
    every = [100 * int(found[name][f"{of}_runs"]) / int(found[name][f"{of}_of_runs"]) for name in names]
    return round(min(every)), round(max(every))


def test_nothing_foretells(found):
    assert above_zero(found, "foresight") == {"oinfo.synergy_bins"}, "before any correction"
    assert min(float(row["p_adjusted"]) for row in found.values() if row["p_adjusted"]) == 1
    assert {row["foretells"] for row in found.values()} == {"False"}
    assert min(aurocs(found, "_p_adjusted")) == pytest.approx(0.435, abs=0.005)


def test_what_the_guide_says_of_columns_is_in_the_data(found):
    early = above_zero(found, "ahead")
    gini = {f"fourier.gini_{of}embedding" for of in ("", "un")}
    assert early == {"fit.train_loss", "linear_probe.train", "control.drift", *gini}
    early -= {"control.drift"}
    assert (shares(found, early, "first"), shares(found, early, "alarms")) == ((50, 83), (24, 87))
    said = {
        "oinfo.synergy_bins": (20, 0),
        "cd.cd": (16, 0),
        "pmi.pmi": (13, 0),
        "fit.test_loss": (34, 3),
        "oinfo.synergy": (10, 9),
        "weight_norm.l2_all": (7, 7),
        "llc.llc": (18, 7),
        "ntk_distance.centred_distance": (22, 11),
        "circuit_complexity.kl_mean": (16, 4),
        "sharpness.trace": (17, 9),
        "hessian_spectrum.largest": (17, 15),
        "commutator_defect.defect": (13, 14),
        "dropout_robustness.area": (1, 15),
        "control.noise": (0, 0),
        "control.copy": (0, 23),
    }
    assert runs(found, said) == said
    quiet = [name for name, (_, alarms) in said.items() if not alarms]
    assert [found[name]["first_settings"] for name in quiet] == ["4", "3", "2", "0"]
    places = list(found)
    assert (places.index("llc.llc"), places.index("predicted_accuracy.epsilon")) == (18, 49)
    assert mean(found["llc.llc"], "foresight") == "+0.04 (-0.12 to +0.20)"
    assert mean(found["fit.test_loss"], "ahead") == "+0.12 (-0.00 to +0.23)"
    dear = {each.title for each in load_plugins().registered if each.measure.expensive}
    assert not {name.partition(".")[0] for name in early} & dear
    partial = {
        "abelian.agreement": "+0.47 (+0.08 to +0.87)",
        "fourier.excluded_loss": "+0.43 (+0.09 to +0.77)",
        "circuit_complexity.kl_mean": "-0.35 (-0.66 to -0.03)",
        "pmi.pmi": "-0.18 (-0.33 to -0.03)",
    }
    assert {name: mean(found[name], "partial") for name in partial} == partial
    assert (len(aurocs(found)), round(max(aurocs(found)), 2)) == (268, 0.94)
    assert found["stable_rank.stable_rank"]["moved_auroc"].startswith("0.941")
    assert found["oinfo.synergy"]["auroc"].startswith("0.88")


def test_every_installed_measure_is_in_it(found):
    assert {each.title for each in load_plugins().registered} <= {name.partition(".")[0] for name in found}


def test_the_figure_is_of_the_data(found):
    """Its columns with their places, and the sentence above them."""
    for place, name in enumerate(found, 1):
        shown = place <= FIRST or name.startswith("control.")
        told = f"{name.removeprefix('control.')} (control)" if name.startswith("control.") else name
        there = any(f">{told}{mark}  {place}<" in FIGURE for mark in ("", "†"))
        assert there == shown, f"{name} at place {place}"


@pytest.mark.slow  # every labelling of the settings, for every column
def test_the_committed_rows_give_the_committed_league_and_what_the_guide_says():
    again = league(*read_rows(ROWS))
    made = list(csv.DictReader(league_csv(again, knowledge(load_plugins())).splitlines()))
    with TABLE.open(newline="") as stream:
        committed = list(csv.DictReader(stream))
    assert len(made) == len(committed)
    for one, other in zip(made, committed, strict=True):
        for name, value in one.items():
            assert value == other[name] or float(value) == pytest.approx(float(other[name]), rel=1e-6), name
    assert answer(again) in " ".join(GUIDE.replace("\n> ", " ").split())
    assert outcome(again) in FIGURE
