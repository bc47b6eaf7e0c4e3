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
    assert answer(found) in " ".join(GUIDE.split())
