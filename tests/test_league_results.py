"""The guide on the league tells what the committed data gives, and the data gives the league again."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from grokscope import load_plugins
from grokscope.report.league import answer, knowledge, league_csv, read_rows
from grokscope.statistics.league import league

EXAMPLES = Path(__file__).parents[1] / "examples"
TABLE, ROWS = (EXAMPLES / "results" / name for name in ("league.csv", "league-rows.csv"))
GUIDE = (EXAMPLES / "guides" / "league.md").read_text()


def test_the_guides_table_is_that_of_the_data():
    command = [sys.executable, EXAMPLES / "league_table.py", TABLE]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made in GUIDE, f"run {' '.join(map(str, command[1:]))} and put its table into the guide"


def test_the_data_is_small():
    assert sum(path.stat().st_size for path in (TABLE, ROWS)) < 1_000_000


def test_what_the_guide_says_of_columns_is_in_the_data():
    with TABLE.open(newline="") as stream:
        places = {row["column"]: row for row in csv.DictReader(stream)}
    early = {name for name, row in places.items() if row["ahead_low"] and float(row["ahead_low"]) > 0}
    fourier = {f"fourier.restricted_loss{end}" for end in ("", "_train", "_test")}
    others = {"mid.mid_centred", "cka.cka", "linear_probe.test", "fourier.gini_unembedding"}
    assert early == {"fit.test_loss", *fourier, *others}
    shares = [
        [int(places[name][f"{of}_runs"]) / int(places[name][f"{of}_of_runs"]) for name in others]
        for of in ("first", "alarms")
    ]
    assert [(round(100 * min(each)), round(100 * max(each))) for each in shares] == [(56, 75), (17, 75)]
    said = {
        "fit.test_loss": ("16", "4"),
        "effective_sparsity.share": ("9", "0"),
        "oinfo.synergy_bins": ("7", "0"),
        "heavy_tail.xmin": ("6", "0"),
        "oinfo.synergy": ("2", "2"),
        "weight_norm.l2_all": ("0", "0"),
        "control.copy": ("0", "8"),
        "hessian_spectrum.largest": ("8", "2"),
        "sharpness.trace": ("10", "4"),
        "ntk_distance.centred_distance": ("9", "2"),
        "circuit_complexity.kl_mean": ("9", "4"),
        "commutator_defect.defect": ("1", "5"),
        "dropout_robustness.area": ("1", "3"),
        "llc.llc": ("6", "4"),
    }
    assert {name: (places[name]["first_runs"], places[name]["alarms_runs"]) for name in said} == said
    above = [name for name, row in places.items() if row["foresight_low"] and float(row["foresight_low"]) > 0]
    assert above == []
    ps = [
        float(row[f"{name}_p_adjusted"] or 1) for row in places.values() for name in ("auroc", "moved_auroc")
    ]
    assert min(ps) > 0.05
    assert sum(bool(row[name]) for row in places.values() for name in ("auroc", "moved_auroc")) == 270
    assert list(places).index("hessian_spectrum.largest") == 9
    missing = {each.title for each in load_plugins().registered} - {name.partition(".")[0] for name in places}
    assert missing == set()


@pytest.mark.slow  # every labelling of the settings, for every column
def test_the_committed_rows_give_the_committed_league_and_what_the_guide_says():
    found = league(*read_rows(ROWS))
    made = list(csv.DictReader(league_csv(found, knowledge(load_plugins())).splitlines()))
    with TABLE.open(newline="") as stream:
        committed = list(csv.DictReader(stream))
    assert len(made) == len(committed)
    for one, other in zip(made, committed, strict=True):
        for name, value in one.items():
            assert value == other[name] or float(value) == pytest.approx(float(other[name]), rel=1e-6), name
    assert answer(found) in " ".join(GUIDE.replace("\n> ", " ").split())
