"""The guide on the league tells what the committed data gives, and the data gives the league again."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from grokscope import load_plugins
from grokscope.report.league import answer, knowledge, league_csv, read_rows
from grokscope.statistics.league import league

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = EXAMPLES / "results"
FULL, ALL = ((RESULTS / f"{name}.csv", RESULTS / f"{name}-rows.csv") for name in ("league", "league-all"))
GUIDE = (EXAMPLES / "guides" / "league.md").read_text()


def test_the_guides_table_is_that_of_the_data():
    command = [sys.executable, EXAMPLES / "league_table.py", FULL[0]]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made in GUIDE, f"run {' '.join(map(str, command[1:]))} and put its table into the guide"


def test_the_data_is_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 5_000_000


def places(table):
    with table.open(newline="") as stream:
        return {row["column"]: row for row in csv.DictReader(stream)}


def shares(found, names, of):
    """The least and the largest percentage of runs among columns, `of` first or alarms."""
    every = [100 * int(found[name][f"{of}_runs"]) / int(found[name][f"{of}_of_runs"]) for name in names]
    return round(min(every)), round(max(every))


def ps(found):
    return [
        float(row[f"{name}_p_adjusted"] or 1) for row in found.values() for name in ("auroc", "moved_auroc")
    ]


@pytest.mark.parametrize("table", [FULL[0], ALL[0]], ids=["full", "all"])
def test_nothing_foretells(table):
    found = places(table)
    above = [name for name, row in found.items() if row["foresight_low"] and float(row["foresight_low"]) > 0]
    assert above == []
    assert min(ps(found)) > 0.05


def test_what_the_guide_says_of_columns_at_full_size_is_in_the_data():
    found = places(FULL[0])
    early = {name for name, row in found.items() if row["ahead_low"] and float(row["ahead_low"]) > 0}
    fourier = {f"restricted_loss{end}" for end in ("", "_train", "_test")}
    fourier |= {"gini_embedding", "gini_unembedding"}
    assert early == {"fit.train_loss", "linear_probe.train", *(f"fourier.{name}" for name in fourier)}
    assert (shares(found, early, "first"), shares(found, early, "alarms")) == ((48, 87), (24, 87))
    said = {
        "oinfo.synergy_bins": ("19", "0"),
        "cd.cd": ("16", "0"),
        "predicted_accuracy.epsilon": ("16", "0"),
        "pmi.pmi": ("13", "0"),
        "fit.test_loss": ("35", "3"),
        "oinfo.synergy": ("10", "9"),
        "weight_norm.l2_all": ("7", "7"),
        "control.noise": ("0", "0"),
        "control.copy": ("0", "23"),
    }
    assert {name: (found[name]["first_runs"], found[name]["alarms_runs"]) for name in said} == said
    quiet = [found[name]["first_settings"] for name, (_, alarms) in said.items() if alarms == "0"]
    assert quiet == ["4", "3", "3", "2", "0"]
    ahead = [f"{float(found['fit.test_loss'][f'ahead{end}']):.2f}" for end in ("", "_low", "_high")]
    assert ahead == ["0.12", "-0.00", "0.23"]
    assert min(ps(found)) == pytest.approx(0.38, abs=0.005)
    aurocs = [float(row[name]) for row in found.values() for name in ("auroc", "moved_auroc") if row[name]]
    assert (len(aurocs), round(max(aurocs), 2)) == (218, 0.94)
    assert found["stable_rank.stable_rank"]["moved_auroc"].startswith("0.941")
    assert found["oinfo.synergy"]["auroc"].startswith("0.88")


def test_both_tables_rank_columns_alike():
    full, every = (places(table) for table, _ in (FULL, ALL))
    both = [name for name in full if full[name]["rank"] and every.get(name, {}).get("rank")]
    found = spearmanr(*([float(each[name]["foresight"]) for name in both] for each in (full, every)))
    assert (len(both), round(found.statistic, 2)) == (109, 0.94)


def test_what_the_guide_says_of_every_measure_is_in_the_data():
    found, plugins = places(ALL[0]), load_plugins()
    said = {
        "oinfo.synergy_bins": ("9", "0"),
        "llc.llc": ("7", "3"),
        "ntk_distance.centred_distance": ("9", "3"),
        "circuit_complexity.kl_mean": ("7", "2"),
        "sharpness.trace": ("7", "4"),
        "hessian_spectrum.largest": ("7", "6"),
        "commutator_defect.defect": ("6", "5"),
        "dropout_robustness.area": ("1", "5"),
    }
    assert {name: (found[name]["first_runs"], found[name]["alarms_runs"]) for name in said} == said
    dear = {each.title for each in plugins.registered if each.measure.expensive}
    expensive = [name for name in found if name.partition(".")[0] in dear]
    assert (expensive[0], list(found).index("llc.llc")) == ("llc.llc", 17)
    early = {name for name, row in found.items() if row["ahead_low"] and float(row["ahead_low"]) > 0}
    assert not early.intersection(expensive)
    assert "control.drift" in early
    foresight = [f"{float(found['llc.llc'][f'foresight{end}']):+.2f}" for end in ("", "_low", "_high")]
    assert foresight == ["+0.03", "-0.16", "+0.22"]
    first = [f"{float(found['oinfo.synergy_bins'][f'foresight{end}']):+.2f}" for end in ("", "_low", "_high")]
    assert (next(iter(found)), first) == ("oinfo.synergy_bins", ["+0.19", "-0.00", "+0.38"])
    assert sum(bool(row[name]) for row in found.values() for name in ("auroc", "moved_auroc")) == 268
    missing = {each.title for each in plugins.registered} - {name.partition(".")[0] for name in found}
    assert missing == set()


@pytest.mark.slow  # every labelling of the settings, for every column
@pytest.mark.parametrize(("table", "rows"), [FULL, ALL], ids=["full", "all"])
def test_the_committed_rows_give_the_committed_league_and_what_the_guide_says(table, rows):
    found = league(*read_rows(rows))
    made = list(csv.DictReader(league_csv(found, knowledge(load_plugins())).splitlines()))
    with table.open(newline="") as stream:
        committed = list(csv.DictReader(stream))
    assert len(made) == len(committed)
    for one, other in zip(made, committed, strict=True):
        for name, value in one.items():
            assert value == other[name] or float(value) == pytest.approx(float(other[name]), rel=1e-6), name
    assert answer(found) in " ".join(GUIDE.replace("\n> ", " ").split())
