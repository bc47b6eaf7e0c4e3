"""The guide to other papers tells what the committed verdicts say, and these are of claims that there are."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from grokscope import load_plugins
from grokscope.statistics import CONFIDENCE
from grokscope.statistics.judging import Decision, decide, share_decides
from grokscope.statistics.over_runs import clopper_pearson

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted((EXAMPLES / "results" / "others").glob("*.json"))
FOUND = {path.stem: json.loads(path.read_text()) for path in FILES}
GUIDE = (EXAMPLES / "guides" / "papers-others.md").read_text()
OTHERS = ("nanda", "omnigrok", "kumar", "prieto", "demoss", "xu")


def test_the_guides_tables_are_those_of_the_data():
    command = [sys.executable, EXAMPLES / "field_tables.py", *FILES]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for table in made.strip().split("\n\n"):
        assert table in GUIDE, "run examples/field_tables.py and put its tables into the guide"


def test_all_claims_and_figures_are_told_and_have_been_asked():
    plugins = [plugin for plugin in load_plugins().plugins if plugin.name in OTHERS]
    assert len(plugins) == len(OTHERS)
    asked = {part["hypothesis"] for found in FOUND.values() for part in parts(found)}
    asked |= {claim["name"] for found in FOUND.values() for claim in found.get("hypotheses", ())}
    figures = {figure.name: figure for plugin in plugins for figure in plugin.figures}
    claims = {claim.name for plugin in plugins for claim in plugin.hypotheses}
    claims |= {part.hypothesis.name for figure in figures.values() for part in figure.asks}
    assert asked == claims
    assert set(figures) < set(FOUND)
    for name in (*claims, *figures):
        assert f"`{name}`" in GUIDE


def parts(found):
    return [part for reading in found.get("readings", ()) for part in reading["parts"]]


def test_verdicts_follow_from_what_was_found():
    """By the rule as it is now."""
    for found in FOUND.values():
        for part in parts(found):
            assert part["verdict"] == decide(part["outcomes"]), part
        for claim in found.get("hypotheses", ()):
            numbers = claim["numbers"]
            assert numbers["p"] <= numbers["p_adjusted"] <= 1
            if "hold" in numbers:
                assert numbers["hold"] == sum(effect > 0 for effect in claim["effects"].values())
                assert numbers["runs"] == len(claim["effects"])
                limits = clopper_pearson(int(numbers["hold"]), int(numbers["runs"]), CONFIDENCE)
                assert (numbers["low"], numbers["high"]) == pytest.approx(limits)
                assert numbers["share"] == numbers["hold"] / numbers["runs"]
                # Where it can be said of less than half of those that it is about, it is undecided too.
                silent = 2 * numbers["runs"] < silence(claim) + numbers["runs"]
                expected = Decision.UNDECIDED if silent else share_decides(numbers["share"])
                assert claim["verdict"] == expected, claim["name"]


def silence(claim):
    """How many cases of a claim cannot be said."""
    said = re.search(r", (\d+) cannot be said", claim["text"])
    return int(said[1]) if said else 0


def test_the_data_names_no_path_of_a_machine():
    for path in FILES:
        assert '"/' not in path.read_text(), f"{path.name} names a path: make it with --out runs"


def test_the_data_is_small():
    assert sum(path.stat().st_size for path in FILES) < 200_000
