"""The tables of `predict` say of each column how surely it foretells whether and when, best first."""

import math
from io import StringIO

import pytest
from rich.console import Console

from grokscope.report.predictions import prediction_table
from grokscope.statistics.predict import Prediction, Predictor

NAN = math.nan
WHETHER = ("+", 0.91, 0.7, 0.99, 0.0004, 0.004)
WHEN = (0.62, 0.1, 0.8, 0.012, 0.048)


def row(column, feature="value", whether=("", *[NAN] * 5), when=(NAN,) * 5):
    return Predictor(column, feature, 8, 4, *whether, 4, *when)


def prediction(*rows, **rest):
    return Prediction(rows, {f"r{at}": at < 4 for at in range(8)}, **rest)


def lines_of(found, width):
    told = StringIO()
    Console(file=told, width=width).print(prediction_table(found, width))
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


def words(line):
    return " ".join(line.split())


ROWS = (
    row("oinfo.synergy", whether=("-", 0.55, 0.3, 0.8, 0.4, 1.0), when=(-3.0, -9.0, 0.1, 0.7, 1.0)),
    row("weight_norm.l2_all", "slope", whether=WHETHER, when=WHEN),
    row("weight_norm.l2_all", "peak"),
)


def test_where_there_is_room_whether_and_when_stand_side_by_side():
    lines = lines_of(prediction(*ROWS), 100)
    assert (
        lines[0]
        == "up to each run's memorisation step: 8 runs, of which 4 grok as far as they go and 4 do not"
    )
    header = next(line for line in lines if "AUROC" in line)
    assert words(header) == "AUROC interval p adj R² interval p adj"
    best, other = lines.index("weight_norm.l2_all"), lines.index("oinfo.synergy")
    assert best < other, "the surest first"
    assert words(lines[best + 1]) == "slope + 0.91 0.70…0.99 <.001 0.004 0.62 0.10…0.80 0.012 0.048"
    assert words(lines[best + 2]) == "peak – – – – – – – –"
    assert words(lines[other + 1]) == "value - 0.55 0.30…0.80 0.400 1.000 <-1 <-1…0.10 0.700 1.000"
    assert "interval: 95% bootstrap" in lines


def test_where_there_is_none_they_stand_below_each_other():
    lines = lines_of(prediction(*ROWS), 60)
    whether, when = (next(at for at, line in enumerate(lines) if word in line) for word in ("AUROC", "R²"))
    assert whether < when
    assert lines.count("weight_norm.l2_all") == 2
    assert "slope 0.62 0.10…0.80 0.012 0.048" in map(words, lines)


@pytest.mark.parametrize(
    ("only", "told", "untold"), [({"whether": WHETHER}, "AUROC", "R²"), ({"when": WHEN}, "R²", "AUROC")]
)
def test_what_nothing_is_known_of_has_no_table(only, told, untold):
    text = "\n".join(lines_of(prediction(row("oinfo.synergy", **only)), 100))
    assert told in text
    assert untold not in text


def test_who_was_left_out_and_what_to_mind_is_said():
    excluded = {"a": "it never memorises", "b": "it never memorises", "c": "it has no synergy"}
    found = prediction(*ROWS, until=50, budget=400, excluded=excluded, warnings=("few runs",))
    lines = lines_of(found, 100)
    assert lines[:3] == [
        "up to step 50: 8 runs, of which 4 grok by step 400 and 4 do not",
        "left out: a, b: it never memorises",
        "left out: c: it has no synergy",
    ]
    assert lines[-1] == "! few runs"
